export type * from './face.js';
export type * from './ports.js';
export { createEngine, type EngineOptions } from './engine.js';
export { Locator, type LocatorParts } from './locate/locator.js';
export { type NextHop, type Target, isNumericHost, nextHopOfText } from './locate/nextHop.js';
export { flowToNode } from './proxy/nodeFlow.js';
export { leadsToNode } from './transport/flows.js';
export type { ListenSpec } from './transport/hop.js';
export { DEFAULT_TIMERS, type TimerSettings } from './transaction/timers.js';
export { SipMessage, SipRequest, SipResponse } from './message/message.js';
export { type MessageLimits, type ParseFailure, parseMessage } from './message/parse.js';
export { type SipUri, equalUri, parseUri, printUri, unescapeUser, uriParam } from './message/uri.js';
export { type NameAddr, param, parseNameAddr, splitList } from './message/nameAddr.js';
export { canonicalName } from './message/headerNames.js';
export {
  type Challenged,
  DigestClient,
  type DigestCredentials,
  type DigestRefusal,
  type DigestRequest,
} from './auth/client.js';
export { DigestServer, type DigestServerOptions, type Proof } from './auth/server.js';
export { reasonPhrase } from './message/reasons.js';
export { type OverloadGate, type OverloadWord, overloadWord } from './transport/overload.js';
