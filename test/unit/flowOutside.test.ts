/** What flows reach outside: web servers through the guard, and speech from a program of this machine. */
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type RequestListener, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SystemClock } from '../../src/kernel/index.js';
import { LocalSpeech } from '../../src/media/play/tts.js';
import { egressPolicy } from '../../src/media/stream/egress.js';
import { type HttpAnswer, type HttpAsk, HttpClient } from '../../src/net/index.js';

const HOST = '127.0.43.30';
const clock = new SystemClock();

const clientOf = (t: Test, networks: readonly string[] = ['127.0.0.0/8']): HttpClient => {
  const client = new HttpClient({ clock, mayConnect: egressPolicy(networks), userAgent: 'tandem/test' });
  t.teardown(() => client.close());
  return client;
};

const serverOf = async (t: Test, serve: RequestListener): Promise<string> => {
  const server = createServer(serve);
  server.listen(0, HOST);
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://${HOST}:${(server.address() as AddressInfo).port}`;
};

const ask = (client: HttpClient, url: string, more: Partial<HttpAsk> = {}): Promise<HttpAnswer> =>
  new Promise((resolve) => {
    client.fetch({ method: 'GET', url, query: [], headers: [], timeoutMs: 2000, maxBytes: 100, ...more }, resolve);
  });

t.test('asks with query, headers and credentials; redirections are answers', async (t) => {
  const seen: { url: string | undefined; auth: string | undefined; version: unknown }[] = [];
  const base = await serverOf(t, ({ url, headers }, response) => {
    seen.push({ url, auth: headers.authorization, version: headers['exotel-version'] });
    response.writeHead(302, { Location: 'http://127.0.0.1/' }).end('moved');
  });
  const client = clientOf(t);
  const url = base.replace('://', '://user:p%40ss@');
  const answer = await ask(client, `${url}/x?a=1#frag`, {
    query: [
      ['Stream[Status]', 'a b&c'],
      ['From', '+91'],
    ],
    headers: [['Exotel-Version', '1.0']],
  });
  t.match(answer, { ok: true, status: 302, body: Buffer.from('moved') });
  t.match(seen, [
    {
      url: '/x?a=1&Stream%5BStatus%5D=a+b%26c&From=%2B91',
      auth: `Basic ${Buffer.from('user:p@ss').toString('base64')}`,
      version: '1.0',
    },
  ]);
  t.equal(seen.length, 1);
  t.same(client.dump(), { running: 0 });
});

t.test('long answers are cut, or refused where the whole is wanted', async (t) => {
  const base = await serverOf(t, (_request, response) => response.end('x'.repeat(1000)));
  const client = clientOf(t);
  const cut = await ask(client, base);
  t.equal(cut.ok && cut.body.length, 100);
  t.match(await ask(client, base, { whole: true }), { ok: false, reason: /longer than 100/ });
  t.match(await ask(client, base, { whole: true, maxBytes: 1000 }), { ok: true });
  t.match(await ask(client, base, { maxBytes: 0 }), { ok: true, status: 200 });
});

t.test('slow, broken and cut answers are failures in time', async (t) => {
  const client = clientOf(t);
  const never = await serverOf(t, () => {});
  t.match(await ask(client, never, { timeoutMs: 50 }), { ok: false, reason: 'no answer in time' });
  const drips = await serverOf(t, (_request, response) => void response.write('x'));
  t.match(await ask(client, drips, { timeoutMs: 80 }), { ok: false, reason: 'no answer in time' });
  const cuts = await serverOf(t, (_request, response) => {
    response.writeHead(200, { 'Content-Length': 50 });
    response.write('x', () => response.destroy());
  });
  t.match(await ask(client, cuts), { ok: false });
  t.match(await ask(client, `http://${HOST}:1/`), { ok: false, reason: /ECONNREFUSED/ });
  t.match(await ask(client, 'http://no.such.host.invalid/'), { ok: false });
  t.match(await ask(client, cuts, { headers: [['X', 'a\r\nB: c']] }), { ok: false });
});

t.test('internal addresses are refused, however they are written and whatever names resolve to them', async (t) => {
  let asked = 0;
  const base = await serverOf(t, (_request, response) => {
    asked++;
    response.end();
  });
  const { port } = new URL(base);
  const client = clientOf(t, []);
  const urls = [
    base,
    `http://2130706433:${port}/`,
    `http://0x7f000001:${port}/`,
    `http://[::1]:${port}/`,
    `http://[::ffff:127.0.43.30]:${port}/`,
    `http://localhost:${port}/`,
    'http://169.254.169.254/latest/meta-data/',
    'http://10.0.0.1/',
    'file:///etc/passwd',
    'ftp://example.com/',
    'not a url',
  ];
  for (const url of urls) t.match(await ask(client, url), { ok: false }, url);
  t.equal(asked, 0);
});

t.test('cancelled questions are never answered', async (t) => {
  const base = await serverOf(t, () => {});
  const client = clientOf(t);
  const limits = { query: [], headers: [], timeoutMs: 60_000, maxBytes: 1 } as const;
  const never = (): void => void t.fail('answered');
  client.fetch({ method: 'GET', url: base, ...limits }, never).cancel();
  client.fetch({ method: 'POST', url: 'nonsense', ...limits }, never).cancel();
  client.fetch({ method: 'GET', url: base, ...limits }, never);
  t.same(client.dump(), { running: 1 });
  client.close();
  t.same(client.dump(), { running: 0 });
});

t.test('speech comes from the first program that is installed, by standard input, and is kept', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-tts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const command = join(folder, 'say');
  await writeFile(command, `#!/bin/sh\necho run >> ${folder}/runs\n{ printf '%s:' "$2"; cat; } > "$1"\n`);
  await chmod(command, 0o755);
  const program = (path: string) => ({
    command: path,
    arguments: (wavFile: string, voice: string | undefined) => [wavFile, voice ?? ''],
  });
  const speech = new LocalSpeech({ clock, programs: [program(join(folder, 'missing')), program(command)] });
  const both = await Promise.all([speech.speak('Hello; $(id)', 'en'), speech.speak('Hello; $(id)', 'en')]);
  for (const spoken of both) t.match(spoken, { ok: true, value: Buffer.from('en:Hello; $(id)') });
  t.match(await speech.speak('Hello; $(id)', 'en'), { ok: true });
  const { readFile } = await import('node:fs/promises');
  t.equal(await readFile(join(folder, 'runs'), 'utf8'), 'run\n', 'the same is spoken once');
  t.match(await speech.speak('x', '--help'), { ok: false, error: 'the voice is no name' });
  t.match(await speech.speak('x'.repeat(5000), undefined), { ok: false });
  speech.close();
  t.match(await speech.speak('other', undefined), { ok: false, error: 'stopped' });
});

t.test('no program, a failing one, a hanging one: no speech, and why', async (t) => {
  const arguments_ = (file: string): readonly string[] => ['-c', file];
  const of = (command: string, args = arguments_, timeoutMs = 2000) =>
    new LocalSpeech({ clock, programs: [{ command, arguments: args }], timeoutMs }).speak('x', undefined);
  t.match(await of('no-such-program'), { ok: false, error: /no speech program is installed/ });
  t.match(await of('false'), { ok: false, error: 'false: ended with 1' });
  t.match(await of('sleep', () => ['60'], 50), { ok: false, error: 'sleep: ended with SIGKILL' });
  t.match(await of('true'), { ok: false, error: 'true: wrote nothing' });
});
