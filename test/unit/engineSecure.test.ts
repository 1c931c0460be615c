import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { NodeNetwork, SimResolver, TlsIdentity } from '../../src/net/index.js';
import {
  type Dialog,
  type EngineHandler,
  type IncomingInvite,
  type SipEngine,
  type TransportName,
  createEngine,
} from '../../src/sip/index.js';
import { type Certificate, certificateFolder, makeCertificate } from '../support/certificates.js';

const A = '127.0.31.6';
const B = '127.0.31.7';

const authority = makeCertificate({ name: 'Test Authority', authority: true });
const a = makeCertificate({ name: 'a', alternatives: ['DNS:a.example', `IP:${A}`], issuer: authority });
const b = makeCertificate({
  name: 'b',
  alternatives: ['DNS:b.example', 'DNS:other.example', `IP:${B}`],
  issuer: authority,
});

interface Side {
  readonly engine: SipEngine;
  readonly network: NodeNetwork;
  readonly uri: string;
}

const quiet: EngineHandler = { onInvite: (invite) => void invite.respond(486), onRequest: (r) => void r.respond(200) };

async function side(
  t: Test,
  spec: { address: string; transport: TransportName; certificate: Certificate; handler: EngineHandler },
): Promise<Side> {
  const { address, transport, certificate, handler } = spec;
  const clock = new SystemClock();
  const folder = certificateFolder({ own: certificate, authority });
  const tls = new TlsIdentity(
    {
      certificates: [{ certificate: join(folder, 'own.pem'), key: join(folder, 'own.key') }],
      authorities: join(folder, 'authority.pem'),
    },
    clock,
    (problem) => t.fail(problem.message),
  );
  const network = new NodeNetwork({ clock, tls });
  const engine = await createEngine({
    network,
    clock,
    random: new SystemRandom(),
    resolver: new SimResolver({ 'b.example': [B], 'other.example': [B], 'wrong.example': [B] }, { clock }),
    listen: [{ transport, address, port: 0 }],
    handler,
  });
  t.teardown(() => {
    engine.stop();
    tls.close();
    rmSync(folder, { recursive: true });
  });
  const port = (engine.listening[0] as string).split(':').at(-1);
  return { engine, network, uri: `${port};transport=${transport === 'wss' ? 'ws' : transport}` };
}

const outcome = (engine: SipEngine, uri: string): Promise<string> =>
  new Promise((resolve) => {
    const sent = engine.request(
      { method: 'OPTIONS', uri },
      { onResponse: (response, origin) => resolve(`${response.status} ${origin}`) },
    );
    if ('refusal' in sent) resolve(sent.refusal);
  });

t.test('a call over TLS: its dialog works both ways, and ends', async (t) => {
  const called = deferred<IncomingInvite>();
  const ended = deferred<string>();
  const callee = await side(t, {
    address: B,
    transport: 'tls',
    certificate: b,
    handler: {
      ...quiet,
      onInvite: (invite) => {
        invite.listener = { onCancel: () => {}, onAck: () => called.resolve(invite) } as never;
        invite.respond(200);
        if (invite.dialog !== undefined)
          invite.dialog.listener = {
            onRequest: (request) => void request.respond(200),
            onInvite: () => {},
            onTerminated: (end) => ended.resolve(end),
          };
      },
    },
  });
  const caller = await side(t, { address: A, transport: 'tls', certificate: a, handler: quiet });
  const dialog = await new Promise<Dialog>((resolve, reject) => {
    caller.engine.invite(
      { uri: `sip:x@b.example:${callee.uri}` },
      {
        onProvisional: () => {},
        onAnswered: (_response, made) => {
          made.ack();
          resolve(made);
        },
        onFailed: (response, origin) => reject(new Error(`${response.status} ${origin}`)),
      },
    );
  });
  const { dialog: far } = await called.promise;
  const heard = deferred<string>();
  dialog.listener = {
    onRequest: (request) => {
      heard.resolve(request.request.method);
      request.respond(200);
    },
    onInvite: () => {},
    onTerminated: () => {},
  };
  far?.request('INFO', {}, { onResponse: () => {} });
  t.equal(await heard.promise, 'INFO', 'the callee asks over the connection that the caller opened');
  const answer = deferred<number>();
  dialog.request('BYE', {}, { onResponse: (response) => answer.resolve(response.status) });
  t.equal(await answer.promise, 200);
  t.equal(await ended.promise, 'remote_bye');
  t.equal(caller.network.dump().streams, 1);
  t.equal(callee.network.dump().streams, 1, 'one connection carried it all');
});

t.test('a connection is never shared by two names, and a wrong name gets no call', async (t) => {
  const callee = await side(t, { address: B, transport: 'tls', certificate: b, handler: quiet });
  const caller = await side(t, { address: A, transport: 'tls', certificate: a, handler: quiet });
  t.equal(await outcome(caller.engine, `sip:b.example:${callee.uri}`), '200 network');
  t.equal(await outcome(caller.engine, `sip:b.example:${callee.uri}`), '200 network');
  t.equal(caller.network.dump().streams, 1);
  t.equal(await outcome(caller.engine, `sip:other.example:${callee.uri}`), '200 network');
  t.equal(caller.network.dump().streams, 2, 'the second name has its own, checked connection');
  t.equal(await outcome(caller.engine, `sip:wrong.example:${callee.uri}`), '503 transport');
});

for (const transport of ['ws', 'wss'] as const) {
  t.test(`a browser over ${transport} is reached by its connection, whatever its Contact says`, async (t) => {
    const answered = deferred<IncomingInvite>();
    const server = await side(t, {
      address: B,
      transport,
      certificate: b,
      handler: {
        ...quiet,
        onInvite: (invite) => {
          invite.listener = { onCancel: () => {}, onAck: () => answered.resolve(invite) } as never;
          invite.respond(200);
        },
      },
    });
    const port = server.uri.split(';')[0];
    const socket = new WebSocket(`${transport}://${B}:${port}`, 'sip', { ca: authority.certificate });
    const messages: string[] = [];
    const arrived: (() => void)[] = [];
    socket.on('message', (data) => {
      messages.push((data as Buffer).toString());
      for (const wake of arrived.splice(0)) wake();
    });
    const message = async (start: string): Promise<string> => {
      for (;;) {
        const found = messages.find((text) => text.startsWith(start));
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => arrived.push(resolve));
      }
    };
    await new Promise((resolve) => socket.on('open', resolve));
    const via = `SIP/2.0/${transport.toUpperCase()} 4f3k.invalid;branch=`;
    const lines = (first: string, to: string, cseq: string, branch: string): string =>
      `${[first, `Via: ${via}z9hG4bK${branch}`, 'Max-Forwards: 70', 'From: <sip:me@web.example>;tag=1', `To: ${to}`, 'Call-ID: c1', `CSeq: ${cseq}`, 'Contact: <sip:q8@4f3k.invalid;transport=ws>', 'Content-Length: 0'].join('\r\n')}\r\n\r\n`;
    socket.send(lines(`INVITE sip:you@${B};transport=ws SIP/2.0`, '<sip:you@web.example>', '1 INVITE', '1'));
    const ok = await message('SIP/2.0 200');
    t.match(ok, new RegExp(`Contact: <sip:${B.replaceAll('.', '\\.')}:${port};transport=ws>`));
    t.match(ok, new RegExp(`Via: SIP/2.0/${transport.toUpperCase()} 4f3k.invalid.*received=`));
    const to = /^To: (.*)\r$/m.exec(ok)?.[1] ?? '';
    socket.send(lines(`ACK sip:${B}:${port} SIP/2.0`, to, '1 ACK', '2'));
    const { dialog } = await answered.promise;
    const status = deferred<number>();
    dialog?.request('BYE', {}, { onResponse: (response) => status.resolve(response.status) });
    const bye = await message('BYE sip:q8@4f3k.invalid;transport=ws');
    const head = bye.split('\r\n').filter((line) => /^(Via|From|To|Call-ID|CSeq):/.test(line));
    socket.send(`${['SIP/2.0 200 OK', ...head, 'Content-Length: 0'].join('\r\n')}\r\n\r\n`);
    t.equal(await status.promise, 200);
    socket.send('\r\n\r\n');
    await message('\r\n');
    socket.terminate();
  });
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}
