/** Challenges and credentials: what callers and carriers may write there. */
import { SeededRandom } from '../../../src/kernel/index.js';
import { parseDigest, printDigest } from '../../../src/sip/auth/challenge.js';
import { DigestClient } from '../../../src/sip/auth/client.js';
import { DigestServer } from '../../../src/sip/auth/server.js';
import { type Target, expect, show } from '../target.js';

const SEEDS = [
  'Digest realm="h.example", nonce="5f.ab", algorithm=SHA-256, qop="auth,auth-int", opaque="x\\"y", stale=TRUE',
  'Digest realm="h.example",nonce=abc,algorithm=MD5',
  'Digest username="u", realm="h.example", nonce="5f.ab", uri="sip:+91@h", response="00", qop=auth, nc=00000001, cnonce="c"',
  'Basic realm="x"',
  'DIGEST\trealm = "h.example" ,, nonce = "n" , domain="sip:a sip:b"',
];

const server = new DigestServer({ realm: 'h.example', secret: 'secret-of-a-test' });

export const digestTarget: Target = {
  name: 'digest',
  kind: 'text',
  covers: ['/src/sip/auth/'],
  words: [
    ...[
      'Digest ',
      'realm=',
      'nonce="',
      'qop=',
      'auth',
      'auth-int',
      'algorithm=',
      'MD5',
      'MD5-sess',
      'SHA-256',
      'SHA-512-256',
    ],
    ...[
      'stale=true',
      'opaque=',
      'uri="sip:',
      'nc=00000001',
      'nc=ffffffff',
      '"',
      '\\',
      '\\"',
      ',',
      ', ',
      '=',
      '\r\n',
      '\0',
      '__proto__=',
    ],
  ],
  maxBytes: 8192,
  seeds: () => SEEDS.map((text) => Buffer.from(text, 'latin1')),
  run: (input) => {
    const text = input.toString('latin1');
    const params = parseDigest(text);
    if (params !== undefined) {
      const printed = printDigest([...params], 'credentials');
      const again = parseDigest(printed);
      // What stands there without quotes must not have needed them.
      const bare = ['algorithm', 'qop', 'nc', 'stale'].some((name) => /[",\s\\]|^$/.test(params.get(name) ?? 'x'));
      const same = again !== undefined && JSON.stringify([...again]) === JSON.stringify([...params]);
      expect(same || bare || printed.length > 4096, 'digest-unstable', () => `${show(text)} -> ${show(printed)}`);
    }
    const proof = server.check([text], { method: 'INVITE', uri: 'sip:+91@h', address: '192.0.2.1' }, () => ['p'], 1000);
    expect(proof.kind !== 'proved', 'proved', () => show(text));
    server.use([text]);
    const client = new DigestClient({ userName: 'u"\\', password: 'p' }, 'h.example', new SeededRandom(1));
    for (const challenges of [[text], [text, text], text.split('\n')]) {
      const answer = client.answer({ status: 401, challenges }, { method: 'INVITE', uri: 'sip:h' });
      if (!answer.ok) continue;
      expect(!/[\r\n]/.test(answer.header[1]) || /[\r\n]/.test(text), 'line-end', () => show(answer.header[1]));
      // A challenge near the bound makes an answer beyond it: long, not wrong.
      expect(
        parseDigest(answer.header[1]) !== undefined || answer.header[1].length > 4096,
        'own-digest-invalid',
        () => `${show(text)} -> ${show(answer.header[1])}`,
      );
    }
  },
};
