import t from 'tap';
import { SeededRandom } from '../../src/kernel/index.js';
import { writeRtp } from '../../src/media/rtp/packet.js';
import { ReplayWindow } from '../../src/media/rtp/replayWindow.js';
import { SrtpContext, newCrypto, parseCrypto, printCrypto } from '../../src/media/rtp/srtp.js';
import { CounterMode, deriveKey, setIv } from '../../src/media/rtp/srtpKeys.js';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const MASTER = {
  key: hex('E1F97A0D3E018BE0D64FA32C06DE4139'),
  salt: hex('0EC675AD498AFEEBB6960B3AABE6'),
};
const SUITE_80 = { suite: 'AES_CM_128_HMAC_SHA1_80', ...MASTER } as const;
const SUITE_32 = { suite: 'AES_CM_128_HMAC_SHA1_32', ...MASTER } as const;

function packet(sequence: number, options: { ssrc?: number; octets?: number } = {}): { data: Buffer; length: number } {
  const data = Buffer.alloc(400);
  const payload = Buffer.alloc(options.octets ?? 160, sequence & 0xff);
  const header = { payloadType: 0, marker: false, sequence, timestamp: sequence * 160, ssrc: options.ssrc ?? 7 };
  return { data, length: writeRtp(data, header, payload) };
}

function protect(context: SrtpContext, sequence: number, ssrc = 7): Buffer {
  const { data, length } = packet(sequence, { ssrc });
  return data.subarray(0, context.protectRtp(data, length));
}

t.test('RFC 3711 B.2: the key stream of AES in counter mode', async (t) => {
  const mode = new CounterMode(hex('2B7E151628AED2A6ABF7158809CF4F3C'));
  setIv(mode.iv, hex('F0F1F2F3F4F5F6F7F8F9FAFBFCFD'), 0, { high: 0, low: 0 });
  const stream = Buffer.alloc(48);
  t.ok(mode.apply(stream, 0, 48));
  t.same(
    stream,
    hex('E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0'),
  );
});

t.test('RFC 3711 B.3: derivation of the session keys', async (t) => {
  t.same(deriveKey(MASTER, 0, 16), hex('C61E7A93744F39EE10734AFE3FF7A087'));
  t.same(deriveKey(MASTER, 2, 14), hex('30CBBC08863D8C85D49DB34A9AE1'));
  t.same(
    deriveKey(MASTER, 1, 94),
    hex(`CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
      E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
      6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2`),
  );
});

t.test('a whole packet, RTP and RTCP, as other implementations protect it', async (t) => {
  const context = new SrtpContext(SUITE_80);
  const data = Buffer.alloc(64);
  const plain = hex('800f1234decafbadcafebabe abababababababababababababababab');
  plain.copy(data);
  const length = context.protectRtp(data, plain.length);
  t.same(
    data.subarray(0, length),
    hex('800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb'),
  );
  const control = hex('81c8000bcafebabe abababababababababababababababab');
  control.copy(data);
  const total = context.protectRtcp(data, control.length);
  t.same(
    data.subarray(0, total),
    hex('81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798'),
  );
  t.same(new SrtpContext(SUITE_80).unprotectRtcp(data.subarray(0, total)), control);
});

t.test('what is protected comes out the same at the other side, with both lengths of tag', async (t) => {
  for (const suite of [SUITE_80, SUITE_32]) {
    const out = new SrtpContext(suite);
    const into = new SrtpContext(suite);
    for (let sequence = 65_000; sequence < 66_500; sequence++) {
      const { data, length } = packet(sequence & 0xffff);
      const plain = Buffer.from(data.subarray(0, length));
      const total = out.protectRtp(data, length);
      t.equal(total, length + (suite === SUITE_80 ? 10 : 4));
      t.notOk(data.subarray(12, length).equals(plain.subarray(12)));
      if (!into.unprotectRtp(data.subarray(0, total))?.equals(plain)) t.fail(`packet ${sequence}`);
    }
    t.equal(into.rejected, 0, 'over the wrap of the sequence number');
  }
});

t.test('a packet that was changed, shortened or sent again is refused, and leaves no trace', async (t) => {
  const out = new SrtpContext(SUITE_80);
  const into = new SrtpContext(SUITE_80);
  const first = protect(out, 100);
  for (let i = 0; i < first.length; i++) {
    const changed = Buffer.from(first);
    changed[i] = (changed[i] as number) ^ 0x10;
    if (into.unprotectRtp(changed) !== undefined) t.fail(`octet ${i} changed`);
    if (into.unprotectRtp(Buffer.from(first.subarray(0, i))) !== undefined) t.fail(`cut to ${i}`);
  }
  t.ok(into.unprotectRtp(Buffer.from(first)));
  t.equal(into.unprotectRtp(Buffer.from(first)), undefined, 'replay');
  const wrongKey = new SrtpContext({ ...SUITE_80, key: Buffer.alloc(16) });
  t.equal(wrongKey.unprotectRtp(protect(out, 101)), undefined);
});

t.test('reordered packets pass, also across the wrap; those older than the window do not', async (t) => {
  const out = new SrtpContext(SUITE_80);
  const into = new SrtpContext(SUITE_80);
  const packets = new Map<number, Buffer>();
  for (let sequence = 65_500; sequence < 65_800; sequence++) packets.set(sequence, protect(out, sequence & 0xffff));
  const take = (sequence: number) => into.unprotectRtp(Buffer.from(packets.get(sequence) as Buffer)) !== undefined;
  t.ok(take(65_501));
  t.ok(take(65_500));
  t.ok(take(65_535));
  t.ok(take(65_540), 'first after the wrap');
  t.ok(take(65_534), 'one from before it');
  t.notOk(take(65_534));
  t.ok(take(65_537));
  t.ok(take(65_799));
  t.ok(take(65_672), 'the oldest in the window');
  t.notOk(take(65_671), 'too old to know');
});

t.test('several sources have counters of their own; many do not fill the memory', async (t) => {
  const out = new SrtpContext(SUITE_80);
  const into = new SrtpContext(SUITE_80);
  for (let ssrc = 1; ssrc < 100; ssrc++) t.ok(into.unprotectRtp(protect(out, ssrc, ssrc)));
});

t.test('RTCP: replay, plain packets with a tag, room', async (t) => {
  const out = new SrtpContext(SUITE_32);
  const into = new SrtpContext(SUITE_32);
  const report = hex('80c90001cafebabe');
  const make = () => {
    const data = Buffer.alloc(60);
    report.copy(data);
    return data.subarray(0, out.protectRtcp(data, report.length));
  };
  const first = make();
  const second = make();
  t.equal(first.length, report.length + 14, 'the tag of RTCP has 80 bits in both suites');
  t.same(into.unprotectRtcp(Buffer.from(second)), report);
  t.same(into.unprotectRtcp(Buffer.from(first)), report);
  t.equal(into.unprotectRtcp(Buffer.from(first)), undefined);
  t.equal(out.protectRtcp(Buffer.from(report), report.length), 0, 'no room');
  t.equal(out.protectRtp(Buffer.alloc(20, 0x80), 20), 0);
  t.equal(into.unprotectRtcp(Buffer.alloc(3)), undefined);
});

t.test('a master key identifier travels in each packet and must be the agreed one', async (t) => {
  const mki = hex('00000001');
  const out = new SrtpContext({ ...SUITE_80, mki });
  const sent = protect(out, 5);
  t.equal(sent.length, 172 + 14);
  t.ok(new SrtpContext({ ...SUITE_80, mki }).unprotectRtp(Buffer.from(sent)));
  t.equal(new SrtpContext({ ...SUITE_80, mki: hex('00000002') }).unprotectRtp(Buffer.from(sent)), undefined);
});

t.test('a=crypto: reading, printing, and lines that are not for us', async (t) => {
  const key = 'WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz';
  const line = `1 AES_CM_128_HMAC_SHA1_80 inline:${key}|2^20|1:4 FEC_ORDER=FEC_SRTP`;
  t.equal(parseCrypto(line), undefined, 'a session parameter that we do not know');
  const read = parseCrypto(line.replace(' FEC_ORDER=FEC_SRTP', ''));
  t.same(read?.mki, hex('00000001'));
  t.equal(Buffer.concat([read?.key ?? Buffer.alloc(0), read?.salt ?? Buffer.alloc(0)]).toString('base64'), key);
  t.equal(read && printCrypto(read), `1 AES_CM_128_HMAC_SHA1_80 inline:${key}|1:4`);
  const own = newCrypto(3, 'AES_CM_128_HMAC_SHA1_32', new SeededRandom(5));
  t.same(parseCrypto(printCrypto(own)), own);
  t.ok(parseCrypto(`1 AES_CM_128_HMAC_SHA1_80 inline:${key}|2^31`));
  for (const bad of [
    '',
    '1',
    `x AES_CM_128_HMAC_SHA1_80 inline:${key}`,
    `1 F8_128_HMAC_SHA1_80 inline:${key}`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key.slice(4)}`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key}AAAA`,
    `1 AES_CM_128_HMAC_SHA1_80 uri:${key}`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key};inline:${key}`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key}|1:400`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key}|999:1`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key} UNENCRYPTED_SRTP`,
    `1 AES_CM_128_HMAC_SHA1_80 inline:${key} UNAUTHENTICATED_SRTP`,
  ]) {
    t.equal(parseCrypto(bad), undefined, bad);
  }
});

t.test('the replay window over long jumps', async (t) => {
  const window = new ReplayWindow();
  for (const index of [0, 1, 31, 32, 127, 128, 5000, 2 ** 40]) {
    t.ok(window.fresh(index), `${index} is fresh`);
    window.take(index);
    t.notOk(window.fresh(index), `${index} was taken`);
  }
  t.ok(window.fresh(2 ** 40 - 127));
  t.notOk(window.fresh(2 ** 40 - 128));
});
