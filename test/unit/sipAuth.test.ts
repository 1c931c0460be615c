import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { parseDigest, printDigest } from '../../src/sip/auth/challenge.js';
import { DigestClient, type DigestCredentials } from '../../src/sip/auth/client.js';
import { algorithmOf, digestResponse } from '../../src/sip/auth/digest.js';
import { DigestServer } from '../../src/sip/auth/server.js';
import { SeededRandom } from '../../src/kernel/index.js';

const request = { method: 'INVITE', uri: 'sip:+447700900000@gw.telco.example' };
const credentials: DigestCredentials = { userName: 'tandem', password: 'geheim' };

const challenge = (params: Record<string, string>): string =>
  printDigest(Object.entries({ realm: 'telco.example', nonce: 'n1', qop: 'auth', ...params }), 'challenge');

const client = (over: Partial<DigestCredentials> = {}, host = 'gw.telco.example'): DigestClient =>
  new DigestClient({ ...credentials, ...over }, host, new SeededRandom(1));

const answer = (of: DigestClient, ...challenges: string[]) => of.answer({ status: 401, challenges }, request);
const told = (of: DigestClient, ...challenges: string[]): string => {
  const outcome = answer(of, ...challenges);
  return outcome.ok ? (parseDigest(outcome.header[1])?.get('algorithm') ?? '?') : outcome.refusal;
};

t.test('the digests of RFC 7616 §3.9.1', async (t) => {
  const input = {
    userName: 'Mufasa',
    realm: 'http-auth@example.org',
    password: 'Circle of Life',
    method: 'GET',
    uri: '/dir/index.html',
    nonce: '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v',
    qop: { nc: '00000001', cnonce: 'f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ' },
  };
  t.equal(digestResponse({ ...input, algorithm: 'MD5' }), '8ca523f5e9506fed4657c9700eebdbec');
  t.equal(
    digestResponse({ ...input, algorithm: 'SHA-256' }),
    '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1',
  );
  const h = (text: string) => createHash('sha512-256').update(text).digest('hex');
  t.equal(
    digestResponse({ ...input, algorithm: 'SHA-512-256', qop: undefined }),
    h(`${h('Mufasa:http-auth@example.org:Circle of Life')}:${input.nonce}:${h('GET:/dir/index.html')}`),
    'without qop',
  );
  t.same(['md5', undefined, 'sha-256', 'SHA-512-256', 'MD5-sess', 'constructor'].map(algorithmOf), [
    'MD5',
    'MD5',
    'SHA-256',
    'SHA-512-256',
    undefined,
    undefined,
  ]);
});

t.test('a challenge is answered: the first that we can serve, in the header that its status asks for', async (t) => {
  const outcome = answer(client(), challenge({ algorithm: 'SHA-256', opaque: 'o"p' }), challenge({ algorithm: 'MD5' }));
  t.ok(outcome.ok);
  if (!outcome.ok) return;
  t.equal(outcome.header[0], 'Authorization');
  t.match(outcome.header[1], /^Digest username="tandem", realm="telco.example", nonce="n1", uri="sip:\+44/);
  t.match(outcome.header[1], /algorithm=SHA-256.*opaque="o\\"p", qop=auth, nc=00000001/);
  const params = parseDigest(outcome.header[1]);
  t.equal(
    params?.get('response'),
    digestResponse({
      ...credentials,
      ...request,
      algorithm: 'SHA-256',
      realm: 'telco.example',
      nonce: 'n1',
      qop: { nc: '00000001', cnonce: params?.get('cnonce') ?? '' },
    }),
  );
  t.equal(told(client(), challenge({ algorithm: 'TRI' }), challenge({ algorithm: 'MD5' })), 'MD5');
  t.equal(told(client(), 'Basic realm="telco.example"', 'Digest realm="x'), 'no_challenge');
  t.equal(told(client(), challenge({ qop: 'auth-int' })), 'no_challenge');
  t.equal(told(client(), challenge({ qop: 'auth-int, auth' })), 'MD5');
  const plain = answer(client(), 'Digest realm="telco.example", nonce="n"');
  t.ok(plain.ok && !/qop|cnonce|nc=/.test(plain.header[1]), 'RFC 2069');
  const proxy = client().answer({ status: 407, challenges: [challenge({})] }, request);
  t.ok(proxy.ok && proxy.header[0] === 'Proxy-Authorization');
});

t.test('no password is proved to a realm that is not the carrier’s', async (t) => {
  for (const realm of [
    'evil.example',
    'example',
    'co.example',
    'asterisk',
    'elco.example',
    '',
    'gw.telco.example.evil',
  ])
    t.equal(told(client(), challenge({ realm })), 'foreign_realm', realm);
  for (const realm of ['telco.example', 'gw.telco.example', 'GW.Telco.Example'])
    t.equal(told(client(), challenge({ realm })), 'MD5', realm);
  t.equal(told(client({}, '192.0.2.1'), challenge({ realm: '192.0.2.1' })), 'MD5');
  t.equal(told(client({ realm: 'asterisk' }), challenge({ realm: 'asterisk' })), 'MD5', 'the one that is configured');
  t.equal(told(client({ realm: 'asterisk' }), challenge({})), 'foreign_realm', 'and no other then');
  t.equal(told(client(), challenge({ realm: 'evil.example' }), challenge({})), 'MD5', 'ours among several');
});

t.test('a nonce is answered once, a stale one is replaced, and nobody is answered for ever', async (t) => {
  const one = client();
  t.equal(told(one, challenge({})), 'MD5');
  t.equal(told(one, challenge({})), 'rejected');
  t.equal(told(one, challenge({ nonce: 'n2' })), 'rejected', 'a new nonce for refused credentials');
  t.equal(told(one, challenge({ nonce: 'n2', stale: 'TRUE' })), 'MD5');
  t.equal(told(one, challenge({ nonce: 'n2', stale: 'true' })), 'rejected');
  t.equal(told(one, challenge({ nonce: 'n3', stale: 'true' })), 'MD5');
  t.equal(told(one, challenge({ nonce: 'n4', stale: 'true' })), 'too_many_challenges');
});

t.test('fields are read strictly, and what is printed reads the same', async (t) => {
  const read = (field: string) => {
    const params = parseDigest(field);
    return params === undefined ? undefined : Object.fromEntries(params);
  };
  t.same(read('digest  Realm = "a, b" ,nonce=x,, stale=FALSE'), { realm: 'a, b', nonce: 'x', stale: 'FALSE' });
  for (const field of [
    'Digest',
    'Digestrealm="x"',
    'Digest realm="a", realm="b"',
    'Digest realm="a" x',
    'Digest =1',
    'NTLM x=1',
  ])
    t.equal(read(field), undefined, field);
  t.equal(parseDigest(`Digest ${'a'.repeat(5000)}=1`), undefined);
  const text = fc.string({ unit: fc.integer({ min: 32, max: 126 }).map((code) => String.fromCharCode(code)) });
  fc.assert(
    fc.property(text, text, (realm, nonce) => {
      const params = parseDigest(
        printDigest(
          [
            ['realm', realm],
            ['nonce', nonce],
          ],
          'challenge',
        ),
      );
      return params?.get('realm') === realm && params.get('nonce') === nonce;
    }),
  );
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (junk) => (parseDigest(`Digest ${junk}`), true)));
});

t.test('callers: what they prove holds for their address, their number, a while, and once', async (t) => {
  const server = new DigestServer({ realm: 'tandem', secret: 'signs nonces', lifetimeMs: 1000 });
  const ask = (address = '192.0.2.7', nowMs = 0) => server.challenge(address, nowMs).map(([, value]) => value);
  const proof = (password = 'geheim', challenges = ask()): string => {
    const answered = new DigestClient({ userName: 'pbx', password, realm: 'tandem' }, 'h', new SeededRandom(1));
    const outcome = answered.answer({ status: 401, challenges }, request);
    return outcome.ok ? outcome.header[1] : '';
  };
  const check = (field: string, over: { address?: string; uri?: string } = {}, nowMs = 500) =>
    server.check(
      [field],
      { ...request, address: '192.0.2.7', ...over },
      (name) => (name === 'pbx' ? ['old', 'geheim'] : []),
      nowMs,
    );
  t.same(
    server.challenge('a', 0).map(([name, value]) => [name, parseDigest(value)?.get('algorithm')]),
    [
      ['WWW-Authenticate', 'SHA-256'],
      ['WWW-Authenticate', 'MD5'],
    ],
  );
  const good = proof();
  t.same(check(good), { kind: 'proved', userName: 'pbx', passwords: ['geheim'] });
  t.match(check(proof('geheim', ask().slice(1))), { kind: 'proved' }, 'by MD5, too');
  t.same(check(proof('falsch')), { kind: 'wrong' });
  t.same(check(good.replace('username="pbx"', 'username="nobody"')), { kind: 'wrong' });
  t.same(check(good, { uri: 'sip:+19005550100@gw.telco.example' }), { kind: 'wrong' }, 'of another number');
  t.same(check(good, { address: '192.0.2.8' }), { kind: 'stale' }, 'of another address');
  t.same(check(good, {}, 1001), { kind: 'stale' }, 'too old');
  t.same(check(proof('geheim', [challenge({ realm: 'tandem', nonce: 'invented' })])), { kind: 'stale' });
  t.same(check(good.replace('qop=auth, ', '')), { kind: 'wrong' });
  t.same(check('Digest realm="other", nonce="x"'), { kind: 'none' });
  t.same(
    server.check([], { ...request, address: 'a' }, () => [], 0),
    { kind: 'none' },
  );
  server.use([good]);
  t.same(check(good), { kind: 'stale' }, 'an answer serves once');
  t.match(server.challenge('a', 0, true)[0]?.[1], /stale=true/);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (junk) => check(`Digest realm="tandem", ${junk}`).kind !== 'proved'),
  );
});
