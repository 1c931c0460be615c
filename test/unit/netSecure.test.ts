import { rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { ManualClock, SystemClock, type TandemError } from '../../src/kernel/index.js';
import { NodeNetwork, type StreamDial, TlsIdentity, type TlsSettings } from '../../src/net/index.js';
import { type Certificate, certificateFolder, makeCertificate, writeCertificate } from '../support/certificates.js';
import { HeardStream, echoStream } from '../support/netSinks.js';

const IP = '127.0.31.5';
const NOTHING = { datagramSockets: 0, connectedPeers: 0, listeners: 0, streams: 0 };

const authority = makeCertificate({ name: 'Test Authority', authority: true });
const issued = (name: string, extra: object = {}): Certificate =>
  makeCertificate({ name, alternatives: [`DNS:${name}`], issuer: authority, ...extra });

const made = {
  authority,
  pbx: makeCertificate({ name: 'pbx', alternatives: ['DNS:pbx.example', `IP:${IP}`], issuer: authority }),
  other: issued('other.example'),
  sip: makeCertificate({ name: 'sip', alternatives: ['URI:sip:voice.example'], issuer: authority }),
  expired: issued('old.example', { from: new Date('2020-01-01'), until: new Date('2021-01-01') }),
  self: makeCertificate({ name: 'self.example', alternatives: ['DNS:self.example'] }),
};

interface Site {
  readonly network: NodeNetwork;
  readonly identity: TlsIdentity;
  readonly folder: string;
  readonly problems: TandemError[];
}

/** A network whose certificates are the named ones, in that order; it trusts the test's authority alone. */
function site(
  t: Test,
  names: readonly (keyof typeof made)[],
  extra: Partial<TlsSettings> = {},
  clock = new SystemClock(),
) {
  const folder = certificateFolder(made);
  const problems: TandemError[] = [];
  const certificates = names.map((name) => ({
    certificate: join(folder, `${name}.pem`),
    key: join(folder, `${name}.key`),
  }));
  const settings = { certificates, authorities: join(folder, 'authority.pem'), ...extra };
  const identity = new TlsIdentity(settings, clock, (problem) => problems.push(problem));
  t.teardown(() => {
    identity.close();
    rmSync(folder, { recursive: true });
  });
  const network = new NodeNetwork({
    clock,
    tls: identity,
    webSocket: { maxMessageBytes: 65_536, origins: ['https://phone.example'] },
  });
  return { network, identity, folder, problems } satisfies Site;
}

/** Dials an echo server with that certificate. @returns the code of the close, or undefined when the echo came */
async function dial(t: Test, name: keyof typeof made, how: StreamDial): Promise<string | undefined> {
  const { network } = site(t, [name]);
  const listener = await network.listenStream(
    { address: IP, port: 0 },
    (connection) => echoStream(connection),
    how.protocol,
  );
  const heard = new HeardStream();
  const connection = network.connectStream(listener.local, heard, how);
  connection.write(Buffer.from('hello'));
  await heard.until(() => heard.text === 'hello' || heard.closes.length > 0);
  const code = heard.text === 'hello' ? undefined : (heard.closes[0] ?? 'closed');
  connection.close();
  await heard.until(() => heard.closes.length === 1);
  listener.close();
  return code;
}

for (const protocol of ['tls', 'wss'] as const) {
  t.test(`${protocol} goes to peers only whose certificate holds the name that was asked for`, async (t) => {
    t.equal(await dial(t, 'pbx', { protocol, serverName: 'pbx.example' }), undefined, 'by name');
    t.equal(await dial(t, 'pbx', { protocol }), undefined, 'by address');
    t.equal(await dial(t, 'sip', { protocol, serverName: 'voice.example' }), undefined, 'by SIP URI, RFC 5922 §7.1');
    t.equal(await dial(t, 'other', { protocol, serverName: 'pbx.example' }), 'ERR_TLS_CERT_ALTNAME_INVALID');
    t.equal(await dial(t, 'expired', { protocol, serverName: 'old.example' }), 'CERT_HAS_EXPIRED');
    t.equal(await dial(t, 'self', { protocol, serverName: 'self.example' }), 'DEPTH_ZERO_SELF_SIGNED_CERT');
  });
}

t.test('a client gets the certificate of the name it asks for, the first one otherwise', async (t) => {
  const { network } = site(t, ['pbx', 'other']);
  const listener = await network.listenStream({ address: IP, port: 0 }, (connection) => echoStream(connection), 'tls');
  const subject = async (servername: string): Promise<unknown> => {
    const socket = await handshake({ host: IP, port: listener.local.port, servername, rejectUnauthorized: false });
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  t.equal(await subject('other.example'), 'other.example');
  t.equal(await subject('pbx.example'), 'pbx');
  t.equal(await subject('unknown.example'), 'pbx');
  t.equal(await subject(''), 'pbx');
  listener.close();
});

t.test('TLS below 1.2 is refused', async (t) => {
  const { network } = site(t, ['pbx']);
  const listener = await network.listenStream({ address: IP, port: 0 }, (connection) => echoStream(connection), 'tls');
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
  await t.rejects(handshake({ host: IP, port: listener.local.port, rejectUnauthorized: false, ...old }));
  listener.close();
});

t.test('where clients need certificates, those without a good one are refused', async (t) => {
  const { network, folder } = site(t, ['pbx'], { clientCertificates: true });
  let accepted = 0;
  const listener = await network.listenStream(
    { address: IP, port: 0 },
    (connection) => {
      accepted++;
      return echoStream(connection);
    },
    'tls',
  );
  const stranger = new HeardStream();
  const open = connect({ host: IP, port: listener.local.port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  open.on('error', () => {});
  open.on('close', () => stranger.onClose('refused'));
  await stranger.until(() => stranger.closes.length > 0);
  t.equal(accepted, 0);
  const heard = new HeardStream();
  const known = network.connectStream(listener.local, heard, { protocol: 'tls' });
  known.write(Buffer.from('x'));
  await heard.until(() => heard.text === 'x');
  t.equal(accepted, 1);
  known.close();
  await heard.until(() => heard.closes.length > 0);
  listener.close();
  t.ok(folder);
});

t.test('a new certificate is served without a restart; a broken one leaves the old in place', async (t) => {
  const clock = new ManualClock();
  const { network, folder, identity, problems } = site(t, ['pbx'], {}, clock as never);
  const listener = await network.listenStream({ address: IP, port: 0 }, (connection) => echoStream(connection), 'tls');
  const subject = async (): Promise<unknown> => {
    const socket = await handshake({ host: IP, port: listener.local.port, rejectUnauthorized: false });
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };
  t.equal(await subject(), 'pbx');
  writeCertificate(folder, 'pbx', issued('renewed.example'));
  identity.reload();
  t.equal(await subject(), 'renewed.example');
  writeCertificate(folder, 'pbx', { ...made.pbx, certificate: 'not a certificate' });
  identity.reload();
  t.equal(problems[0]?.code, 'certificate_invalid');
  t.equal(await subject(), 'renewed.example');
  listener.close();
});

t.test('without certificates neither tls nor wss is served, and files that are none are named', async (t) => {
  const network = new NodeNetwork();
  for (const protocol of ['tls', 'wss'] as const) {
    await t.rejects(
      network.listenStream({ address: IP, port: 0 }, () => new HeardStream(), protocol),
      { code: 'certificate_missing' },
    );
  }
  const missing = { certificates: [{ certificate: '/nowhere/a.pem', key: '/nowhere/a.key' }] };
  t.throws(() => new TlsIdentity(missing, new SystemClock(), () => {}), { code: 'certificate_invalid' });
});

t.test('a WebSocket needs the subprotocol sip and, from a browser, an origin on the list', async (t) => {
  const { network } = site(t, ['pbx']);
  const listener = await network.listenStream({ address: IP, port: 0 }, (connection) => echoStream(connection), 'ws');
  const url = `ws://${IP}:${listener.local.port}`;
  const outcome = (protocols: string[], origin?: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(url, protocols, origin === undefined ? {} : { origin });
      socket.on('open', () => {
        resolve(`open ${socket.protocol}`);
        socket.terminate();
      });
      socket.on('error', (error) => resolve(error.message));
    });
  t.equal(await outcome(['sip']), 'open sip');
  t.equal(await outcome(['sip'], 'https://phone.example'), 'open sip');
  t.match(await outcome(['sip'], 'https://evil.example'), /403/);
  t.match(await outcome(['chat']), /400/);
  t.match(await outcome([]), /400/);
  const status = await new Promise((resolve) => {
    request(`http://${IP}:${listener.local.port}/`, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).end();
  });
  t.equal(status, 426, 'other requests are told what this is');
  listener.close();
});

t.test('messages keep their bounds over a WebSocket; one beyond the limit ends it', async (t) => {
  const { network } = site(t, ['pbx']);
  const chunks: number[] = [];
  const listener = await network.listenStream(
    { address: IP, port: 0 },
    (connection) => {
      t.equal(connection.messages, true);
      const heard = echoStream(connection);
      const next = heard.onData;
      heard.onData = (chunk) => {
        chunks.push(chunk.length);
        next(chunk);
      };
      return heard;
    },
    'ws',
  );
  const heard = new HeardStream();
  const connection = network.connectStream(listener.local, heard, { protocol: 'ws' });
  connection.write(Buffer.from('one'));
  connection.write(Buffer.from([0xff, 0xfe, 0x00]));
  connection.write(Buffer.alloc(65_536, 'x'));
  await heard.until(() => heard.chunks === 3);
  t.same(chunks, [3, 3, 65_536], 'text, octets, the longest');
  connection.write(Buffer.alloc(65_537, 'x'));
  await heard.until(() => heard.closes.length === 1);
  t.same(chunks.length, 3);
  listener.close();
  t.same(network.dump(), NOTHING);
});

t.test('a peer that answers no ping is given up', async (t) => {
  const clock = new ManualClock();
  const { network } = site(t, ['pbx'], {}, clock as never);
  const accepted = new HeardStream();
  const listener = await network.listenStream({ address: IP, port: 0 }, () => accepted, 'ws');
  const socket = new WebSocket(`ws://${IP}:${listener.local.port}`, 'sip', { autoPong: false });
  const pinged = new Promise<void>((resolve) => socket.on('ping', () => resolve()));
  await new Promise((resolve) => socket.on('open', resolve));
  clock.advance(25_000);
  await pinged;
  t.same(accepted.closes, []);
  clock.advance(25_000);
  await accepted.until(() => accepted.closes.length === 1);
  t.same(accepted.closes, ['ETIMEDOUT']);
  listener.close();
});

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options, () => resolve(socket));
    socket.on('error', reject);
  });
}
