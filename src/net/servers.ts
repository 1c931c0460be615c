/** The servers behind `listenStream`: one per protocol, all of them of `net.Server`. */
import { type Server as HttpServer, type ServerOptions, createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type Server, type Socket, createServer } from 'node:net';
import { type TlsOptions, createServer as createTlsServer } from 'node:tls';
import type { WebSocket } from 'ws';
import { type StreamProtocol, TandemError } from '../kernel/index.js';
import { MIN_TLS, type TlsIdentity } from './tlsIdentity.js';
import type { SipWebSocketGate } from './webSocketStream.js';

export interface StreamServerParts {
  readonly tls: TlsIdentity | undefined;
  readonly gate: SipWebSocketGate;
  readonly onSocket: (socket: Socket) => void;
  readonly onWebSocket: (webSocket: WebSocket, socket: Socket) => void;
}

/** How long a handshake of TLS, or the request that asks for a WebSocket, may take. */
const HANDSHAKE_MS = 10_000;
const HTTP: ServerOptions = {
  headersTimeout: HANDSHAKE_MS,
  requestTimeout: HANDSHAKE_MS,
  connectionsCheckingInterval: HANDSHAKE_MS / 2,
  maxHeaderSize: 16_384,
  noDelay: true,
};

/** @returns a server that does not listen yet, or why there can be none */
export function createStreamServer(protocol: StreamProtocol, parts: StreamServerParts): Server | TandemError {
  const { tls } = parts;
  if (protocol === 'tcp') return createServer({ noDelay: true }, parts.onSocket);
  if (protocol === 'ws') return withUpgrades(createHttpServer(HTTP), parts);
  if (tls === undefined) {
    const message = `${protocol} needs a certificate: set sip.tls.certificates`;
    return new TandemError({ code: 'certificate_missing', message });
  }
  const server =
    protocol === 'tls'
      ? createTlsServer({ ...tlsOptions(tls), noDelay: true }, parts.onSocket)
      : withUpgrades(createHttpsServer({ ...HTTP, ...tlsOptions(tls) }), parts);
  // For clients without SNI, who get the certificate of the server itself.
  const unfollow = tls.follow((certificate) => server.setSecureContext({ ...certificate, minVersion: MIN_TLS }));
  server.on('close', unfollow);
  // Whoever fails the handshake is gone already; without a listener Node would keep the socket.
  server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy());
  return server;
}

function tlsOptions(tls: TlsIdentity): TlsOptions {
  const { clientCertificates = false } = tls.settings;
  return {
    SNICallback: (name, answer) => answer(null, tls.contextFor(name === '' ? undefined : name)),
    minVersion: MIN_TLS,
    handshakeTimeout: HANDSHAKE_MS,
    requestCert: clientCertificates,
    rejectUnauthorized: clientCertificates,
  };
}

/** Serves WebSockets only: any other request is told so. */
function withUpgrades<T extends HttpServer>(server: T, { gate, onWebSocket }: StreamServerParts): T {
  server.maxHeadersCount = 100;
  server.on('request', (_request, response) => {
    response.writeHead(426, { upgrade: 'websocket', connection: 'close', 'content-type': 'text/plain' });
    response.end('SIP over WebSocket is spoken here (RFC 7118)');
  });
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    gate.handle(request, socket, head, (webSocket) => onWebSocket(webSocket, request.socket));
  });
  return server;
}
