import { Type } from '../kernel/index.js';
import { section } from './schemaParts.js';

/** `sip`: listeners, what peers are told, bounds of the engine. */
export const sip = section('SIP signalling', {
  engine: Type.Enum(['embedded', 'drachtio'], {
    description: 'embedded: our own SIP stack in this process; drachtio: an external drachtio-server',
    default: 'embedded',
  }),
  listen: Type.Array(Type.String({ description: 'udp://HOST:PORT, tcp://, tls://, ws:// or wss://' }), {
    description: 'Addresses that the embedded engine listens on. HOST is a numeric address; IPv6 in brackets',
    minItems: 1,
    uniqueItems: true,
    default: ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060'],
  }),
  advertise: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
    description: 'What peers are told instead of the address listened on: an entry of sip.listen -> HOST or HOST:PORT',
    default: {},
  }),
  localNets: Type.Array(Type.String({ description: 'ADDRESS/BITS or ADDRESS', minLength: 2 }), {
    description:
      'Networks on this side of the NAT: their peers are told the address listened on, whatever sip.advertise says',
    default: [],
  }),
  cluster: section('Several nodes on one Redis', {
    listen: Type.Optional(
      Type.String({
        description:
          'tcp://HOST:PORT or udp://HOST:PORT, on a network of the nodes: where the others bring calls for telephones that are connected to this node. Only addresses of nodes that say in Redis that they are up are heard. The same transport on all nodes. Absent: each node calls over its own connections alone',
        minLength: 8,
      }),
    ),
  }),
  largeRequests: Type.Enum(['tcp', 'udp'], {
    description:
      'Requests of more than 1300 bytes to where the URI does not say transport=udp. tcp: over TCP if there is a tcp:// listener and the peer takes it, else over UDP (RFC 3261 18.1.1). udp: always over UDP',
    default: 'tcp',
  }),
  responsesFrom: Type.Enum(['peer', 'anyone'], {
    description:
      'Whose responses count: peer: those from the address that the request went to; anyone: all that name its branch, for peers that answer from another of their addresses',
    default: 'peer',
  }),
  maxConnections: Type.Integer({
    description:
      'TCP, TLS and WebSocket connections open at a time; beyond it silent ones give way, then new ones are closed',
    minimum: 1,
    maximum: 1_000_000,
    default: 4096,
  }),
  idleConnectionSeconds: Type.Integer({
    description:
      'A connection without a message or keepalive for this long is closed, unless a dialog, a registration or an open request needs it; 0: never',
    minimum: 0,
    maximum: 604_800,
    default: 3600,
  }),
  keepAliveSeconds: Type.Integer({
    description:
      'A double CRLF (RFC 5626) this often over silent connections that Tandem opened; one that stops answering it is closed. 0: none',
    minimum: 0,
    maximum: 3600,
    default: 0,
  }),
  gatherMs: Type.Number({
    description:
      'Longest time in milliseconds that a datagram waits for others, so that several are taken at a time. Only while two or more come in that time; 0: none waits',
    minimum: 0,
    maximum: 5,
    default: 3,
  }),
  maxMessageBytes: Type.Integer({
    description: 'Longer messages are refused: 513 for a datagram, 400 and a closed connection for a stream',
    minimum: 1024,
    maximum: 1_048_576,
    default: 65_536,
  }),
  maxHeaders: Type.Integer({
    description: 'Messages with more header fields are refused',
    minimum: 16,
    maximum: 2000,
    default: 200,
  }),
  userAgent: Type.String({
    description:
      'Value of User-Agent and Server. Without a version, which would tell scanners what to try; empty: neither is written. Refusals to addresses that nobody lists never have it',
    pattern: '^[!-~ ]*$',
    maxLength: 100,
    default: 'tandem',
  }),
  tls: section(
    'TLS of the listeners tls:// and wss://, and of connections to others. Files are read anew when they change',
    {
      certificates: Type.Array(
        Type.Object(
          {
            certificate: Type.String({
              description: 'PEM file: the certificate, then those that sign it',
              minLength: 1,
            }),
            key: Type.String({ description: 'PEM file of its private key', minLength: 1 }),
          },
          { additionalProperties: false },
        ),
        { description: 'The first serves clients that ask for no name, or for one that none holds', default: [] },
      ),
      authorities: Type.Optional(
        Type.String({ description: 'PEM file: who may have signed the certificates of others', minLength: 1 }),
      ),
      clientCertificates: Type.Boolean({
        description: 'Ask clients for a certificate, and refuse those without a good one',
        default: false,
      }),
    },
  ),
  webSocket: section('SIP over WebSocket (RFC 7118)', {
    origins: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description: 'Web pages that may connect, as https://HOST[:PORT]; default: all',
      }),
    ),
  }),
  drachtio: section('The drachtio-server to use when sip.engine is drachtio', {
    host: Type.String({ description: 'Host name or address', minLength: 1, default: '127.0.0.1' }),
    port: Type.Integer({ description: 'Control port', minimum: 1, maximum: 65_535, default: 9022 }),
    secret: Type.String({ description: 'Shared secret of the control connection', default: '' }),
  }),
});
