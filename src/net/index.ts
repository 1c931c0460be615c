export type {
  DatagramSink,
  DatagramSocket,
  NameResolver,
  NamingRecord,
  Network,
  RecordsOutcome,
  ResolveOutcome,
  ServiceRecord,
  SocketAddress,
  StreamConnection,
  StreamDial,
  StreamListener,
  StreamProtocol,
  StreamSink,
} from '../kernel/index.js';
export { type HttpAnswer, type HttpAsk, HttpClient, type HttpClientOptions } from './httpClient.js';
export { type NetworkDump, NodeNetwork, type NodeNetworkOptions } from './network.js';
export { type CertificateFiles, TlsIdentity, type TlsSettings } from './tlsIdentity.js';
export { type WebSocketLimits } from './webSocketStream.js';
export { interfaceAddresses } from './addresses.js';
export { connectFrugally } from './frugalConnect.js';
export { type TextServer, serveText } from './textServer.js';
export { RtpPair, type RtpPairSink, bindRtpPair } from './rtpSockets.js';
export { SystemResolver, type SystemResolverOptions } from './resolver.js';
export { PERFECT_LINK, type SimLink } from './sim/link.js';
export { type SimPacket, type TraceEntry, type Verdict } from './sim/packet.js';
export { SimWorld, type SimWorldOptions } from './sim/world.js';
export { type SimHost } from './sim/host.js';
export { SimResolver } from './sim/resolver.js';
