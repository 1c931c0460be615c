import fc from 'fast-check';
import t from 'tap';
import { parseWav, wavSamples } from '../../src/media/codec/wav.js';
import { Resampler } from '../../src/media/codec/resampler.js';
import { TelephoneEventReceiver } from '../../src/media/dtmf/telephoneEvent.js';
import { JitterBuffer } from '../../src/media/rtp/jitterBuffer.js';
import { type RtpPacket, parseRtp, writeRtp } from '../../src/media/rtp/packet.js';
import { RtcpStats, parseRtcp, writeRtcp } from '../../src/media/rtp/rtcp.js';
import { SrtpContext, type SrtpSuite, newCrypto, parseCrypto } from '../../src/media/rtp/srtp.js';
import { SeededRandom } from '../../src/kernel/index.js';
import type { RtpCodec } from '../../src/media/sdp/description.js';
import { parseSdp } from '../../src/media/sdp/parse.js';
import { SdpSession } from '../../src/media/sdp/session.js';

const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });
const octets = (maxLength: number) => fc.uint8Array({ maxLength }).map((data) => Buffer.from(data));
const header = fc.record({
  payloadType: uint(7).filter((type) => type < 64 || type > 95),
  marker: fc.boolean(),
  sequence: uint(16),
  timestamp: uint(32),
  ssrc: uint(32),
});

t.test('every header survives writing and reading', async (t) => {
  fc.assert(
    fc.property(header, octets(400), (one, payload) => {
      const target = Buffer.alloc(500, 0xff);
      const length = writeRtp(target, one, payload);
      t.same(parseRtp(target.subarray(0, length)), { ...one, payload });
    }),
    { numRuns: 200 },
  );
});

t.test('no octets make a parser throw, or read beyond its input', async (t) => {
  // Half of them begin like packets.
  const start = fc.constantFrom('80', '9f', 'a0', 'bf', '81c8', '82ca', 'a1cb', '81c9', '524946462400000057415645');
  const hostile = fc.oneof(
    octets(200),
    fc.tuple(start, octets(200)).map(([a, b]) => Buffer.concat([Buffer.from(a, 'hex'), b])),
  );
  const srtp = new SrtpContext({ suite: 'AES_CM_128_HMAC_SHA1_32', key: Buffer.alloc(16), salt: Buffer.alloc(14) });
  const receiver = new TelephoneEventReceiver();
  fc.assert(
    fc.property(hostile, (data) => {
      const packet = parseRtp(data);
      if (packet !== undefined) {
        if (packet.payload.length + 12 > data.length) t.fail('payload longer than the packet');
        receiver.push(packet, 0);
      }
      parseRtcp(data);
      if (srtp.unprotectRtp(Buffer.from(data)) !== undefined || srtp.unprotectRtcp(Buffer.from(data)) !== undefined) {
        t.fail('forged');
      }
      const wav = parseWav(data);
      if (wav.ok) wavSamples(wav.value);
      parseCrypto(data.toString('latin1'));
    }),
    { numRuns: 5000 },
  );
  t.pass('none');
});

t.test('every RTCP compound survives writing and reading', async (t) => {
  const report = fc.record({
    ssrc: uint(32),
    fractionLost: uint(8),
    cumulativeLost: fc.integer({ min: -0x800000, max: 0x7fffff }),
    highestSequence: uint(32),
    jitter: uint(32),
    lastSenderReport: uint(32),
    delaySinceLastSenderReport: uint(32),
  });
  const sender = fc.record({
    ntpSeconds: uint(32),
    ntpFraction: uint(32),
    rtpTimestamp: uint(32),
    packets: uint(32),
    octets: uint(32),
  });
  const compound = fc.record({
    ssrc: uint(32),
    cname: fc.string({ maxLength: 40 }),
    sender: fc.option(sender, { nil: undefined }),
    reports: fc.array(report, { maxLength: 5 }),
    bye: fc.boolean(),
  });
  fc.assert(
    fc.property(compound, (one) => {
      const target = Buffer.alloc(1000, 0xff);
      const packets = parseRtcp(target.subarray(0, writeRtcp(target, one)));
      const { ssrc, reports } = one;
      t.same(packets, [
        one.sender === undefined ? { kind: 'rr', ssrc, reports } : { kind: 'sr', ssrc, sender: one.sender, reports },
        { kind: 'sdes', chunks: [{ ssrc, cname: one.cname }] },
        ...(one.bye ? [{ kind: 'bye', ssrcs: [ssrc], reason: '' }] : []),
      ]);
    }),
    { numRuns: 200 },
  );
});

t.test('SRTP: protect, then unprotect, is nothing, for every header and payload', async (t) => {
  const key = fc.uint8Array({ minLength: 30, maxLength: 30 }).map((data) => Buffer.from(data));
  const suite = fc.constantFrom('AES_CM_128_HMAC_SHA1_80' as const, 'AES_CM_128_HMAC_SHA1_32' as const);
  fc.assert(
    fc.property(
      key,
      suite,
      fc.array(fc.tuple(header, octets(300)), { minLength: 1, maxLength: 6 }),
      (secret, name, all) => {
        const keys = { suite: name, key: secret.subarray(0, 16), salt: secret.subarray(16) };
        const out = new SrtpContext(keys);
        const into = new SrtpContext(keys);
        const seen = new Set<string>();
        for (const [one, payload] of all) {
          const data = Buffer.alloc(400);
          const length = writeRtp(data, one, payload);
          const plain = Buffer.from(data.subarray(0, length));
          // One source counts on from where it is: a second packet of it would be a jump.
          if (seen.has(`${one.ssrc}`)) continue;
          seen.add(`${one.ssrc}`);
          const back = into.unprotectRtp(data.subarray(0, out.protectRtp(data, length)));
          if (back?.equals(plain) !== true) t.fail('differs');
        }
      },
    ),
    { numRuns: 200 },
  );
  t.pass('the same');
});

t.test('resampler: any division into chunks gives the same samples, as many as the rates say', async (t) => {
  const rate = fc.constantFrom(8000, 16_000, 24_000, 11_025);
  fc.assert(
    fc.property(rate, rate, fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 8 }), (from, to, chunks) => {
      const total = chunks.reduce((sum, count) => sum + count, 0);
      const source = Int16Array.from({ length: total }, (_, i) => Math.imul(i + 1, 40_503) >> 16);
      const whole = new Resampler(from, to).process(source);
      if (whole.length !== Math.ceil((total * to) / from)) t.fail(`${whole.length} of ${total} from ${from} to ${to}`);
      const streaming = new Resampler(from, to);
      let at = 0;
      let done = 0;
      for (const count of chunks) {
        const part = streaming.process(source.subarray(at, at + count));
        at += count;
        for (const value of part) {
          const expected = whole[done++] as number;
          // The sum of the same products in another order may round differently.
          if (Math.abs(value - expected) > 1) t.fail(`sample ${done}: ${value}, not ${expected}`);
        }
        if (done !== Math.ceil((at * to) / from)) t.fail(`${done} samples after ${at}`);
      }
    }),
    { numRuns: 300 },
  );
  t.pass('all the same');
});

const packetOf = (n: number): RtpPacket => ({
  payloadType: 0,
  marker: false,
  sequence: (65_500 + n) & 0xffff,
  timestamp: (0xffffe000 + n * 160) >>> 0,
  ssrc: 1,
  payload: Buffer.alloc(160, n & 0xff),
});

t.test('jitter buffer: whatever the network does, what is played is in order and never twice', async (t) => {
  const fate = fc.record({
    lost: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    copies: fc.integer({ min: 0, max: 5 }).map((n) => (n === 0 ? 2 : 1)),
    delayMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 300 })),
  });
  fc.assert(
    fc.property(fc.array(fate, { minLength: 1, maxLength: 200 }), uint(6), (fates, phase) => {
      const arrivals = fates.flatMap(({ lost, copies, delayMs }, n) =>
        Array.from({ length: lost ? 0 : copies }, (_, copy) => ({ atMs: n * 20 + delayMs + copy, n })),
      );
      arrivals.sort((a, b) => a.atMs - b.atMs);
      const buffer = new JitterBuffer();
      let previous = -1;
      for (let nowMs = phase % 20; nowMs < fates.length * 20 + 600; nowMs += 20) {
        while (arrivals[0] !== undefined && arrivals[0].atMs <= nowMs) {
          const { n, atMs } = arrivals.shift() as { n: number; atMs: number };
          buffer.push(packetOf(n), atMs);
        }
        const frame = buffer.pull(nowMs);
        if (frame.kind !== 'audio') continue;
        const n = frame.payload[0] as number;
        if (n <= previous && buffer.stats().restarts === 0) t.fail(`${n} after ${previous}`);
        if (!frame.payload.every((octet) => octet === n)) t.fail('a mixture of packets');
        previous = n;
      }
      const stats = buffer.stats();
      if (stats.targetMs > 200 || stats.delayMs > 800) t.fail(`delay of ${stats.delayMs} ms`);
    }),
    { numRuns: 300 },
  );
  t.pass('in order');
});

t.test('jitter buffer: no packets at all, in any order, with any field, break it', async (t) => {
  const any = fc.record({
    payloadType: fc.constantFrom(0, 8),
    marker: fc.boolean(),
    sequence: uint(16),
    timestamp: uint(32),
    ssrc: fc.constantFrom(1, 1, 1, 2),
    payload: fc.integer({ min: 0, max: 2000 }).map((length) => Buffer.alloc(length, 1)),
  });
  const step = fc.tuple(any, fc.integer({ min: 0, max: 500 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const buffer = new JitterBuffer();
      const stats = new RtcpStats();
      let nowMs = 0;
      for (const [packet, waitMs] of steps) {
        buffer.push(packet, nowMs);
        stats.received(packet, nowMs);
        nowMs += waitMs;
        const frame = buffer.pull(nowMs);
        if (frame.kind === 'audio' && frame.payload.length !== 160) t.fail('length');
      }
      const { jitterMs, lost } = stats.summary();
      if (!Number.isFinite(jitterMs) || lost < 0 || !Number.isFinite(buffer.stats().delayMs)) t.fail('figures');
    }),
    { numRuns: 500 },
  );
  t.pass('whole');
});

interface End {
  readonly codecs: readonly RtpCodec[] | undefined;
  readonly srtp: 'off' | 'optional' | 'mandatory';
  readonly dtmfPayloadType: number;
  readonly ptimeMs: number | undefined;
}

const end = fc.record<End>({
  codecs: fc.option(fc.shuffledSubarray<RtpCodec>(['PCMU', 'PCMA', 'L16'], { minLength: 1 }), { nil: undefined }),
  srtp: fc.constantFrom('off', 'optional', 'mandatory'),
  dtmfPayloadType: fc.integer({ min: 96, max: 127 }),
  ptimeMs: fc.constantFrom(undefined, 10, 20, 30, 40, 60),
});

const sessionOf = (own: End, port: number): SdpSession => {
  const random = new SeededRandom(port);
  const keys = new Map<SrtpSuite, ReturnType<typeof newCrypto>>();
  const keyFor = (tag: number, suite: SrtpSuite) => {
    const key = keys.get(suite) ?? newCrypto(tag, suite, random);
    keys.set(suite, key);
    return { ...key, tag };
  };
  return new SdpSession({ ...own, address: '192.0.2.1', port, keyFor }, String(port));
};

t.test('two ends of ours agree on everything, or on nothing, and turn about as offerer', async () => {
  fc.assert(
    fc.property(end, end, fc.integer({ min: 1, max: 5 }), (one, other, rounds) => {
      const ends = [sessionOf(one, 4000), sessionOf(other, 5000)] as const;
      const listOf = ({ codecs }: End): readonly RtpCodec[] => codecs ?? ['PCMU', 'PCMA'];
      const common = listOf(one).some((codec) => listOf(other).includes(codec));
      const keyed =
        !(one.srtp === 'off' && other.srtp === 'mandatory') && !(one.srtp === 'mandatory' && other.srtp === 'off');
      for (let round = 0; round < rounds; round++) {
        const [offerer, answerer] = round % 2 === 0 ? ends : [ends[1], ends[0]];
        const answered = answerer.answerOffer(offerer.makeOffer());
        if (!answered.ok) return !common || !keyed;
        const settled = offerer.acceptAnswer(answered.value.sdp);
        if (!settled.ok) return false;
        const [a, b] = [settled.value, answered.value.negotiated];
        if (a.codec !== b.codec || a.clockRate !== b.clockRate) return false;
        if (a.receive.get(b.payloadType) !== b.codec || b.receive.get(a.payloadType) !== a.codec) return false;
        if (a.sendEvents !== b.receiveEvents || b.sendEvents !== a.receiveEvents || a.sendEvents === undefined)
          return false;
        if (a.receive.has(b.sendEvents ?? -1) || b.receive.has(a.sendEvents)) return false;
        if ((a.crypto === undefined) !== (b.crypto === undefined)) return false;
        if (a.crypto !== undefined && b.crypto !== undefined && !a.crypto.local.key.equals(b.crypto.remote.key))
          return false;
        const bytes = (a.packetMs * a.clockRate * (a.codec === 'L16' ? 2 : 1)) / 1000;
        if (bytes > 640 || a.packetMs < 10) return false;
      }
      return common && keyed;
    }),
    { numRuns: 400 },
  );
});

t.test('an answer follows its offer section by section (RFC 3264 §6), whatever that offer is', async (t) => {
  const attribute = fc.constantFrom(
    'a=sendonly',
    'a=recvonly',
    'a=inactive',
    'a=ptime:30',
    'a=maxptime:20',
    'a=rtcp-mux',
    'a=rtcp:5001',
    'a=rtcp:5001 IN IP4 192.0.2.7',
    'a=rtpmap:96 L16/16000',
    'a=rtpmap:97 telephone-event/16000',
    'a=rtpmap:101 telephone-event/8000',
    'a=rtpmap:8 PCMA/8000',
    'a=fmtp:101 0-11,16',
    'c=IN IP4 192.0.2.8',
    'c=IN IP4 0.0.0.0',
    'a=silenceSupp:off - - - -',
    'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj',
  );
  const media = fc.constantFrom(
    'm=audio 4000 RTP/AVP 0 8 101',
    'm=audio 4000 RTP/AVP 8 96 97 101',
    'm=audio 0 RTP/AVP 0',
    'm=audio 4000 RTP/SAVP 0 101',
    'm=audio 4000 RTP/AVP 18',
    'm=video 5000 RTP/AVP 96',
    'm=image 5002 udptl t38',
    'm=audio 4002 UDP/TLS/RTP/SAVPF 0',
    'm=application 9 TCP/BFCP *',
  );
  const section = fc.tuple(media, fc.array(attribute, { maxLength: 6 })).map(([line, more]) => [line, ...more]);
  const offer = fc
    .tuple(fc.array(attribute, { maxLength: 2 }), fc.array(section, { maxLength: 5 }))
    .map(([head, sections]) =>
      ['v=0', 'o=- 1 1 IN IP4 192.0.2.9', 's=-', 'c=IN IP4 192.0.2.9', 't=0 0', ...head, ...sections.flat(), ''].join(
        '\r\n',
      ),
    );
  let accepted = 0;
  fc.assert(
    fc.property(end, fc.array(offer, { minLength: 1, maxLength: 4 }), (own, offers) => {
      const one = sessionOf(own, 4000);
      let version = 0;
      for (const text of offers) {
        const before = one.sdp;
        const answered = one.answerOffer(Buffer.from(text));
        if (!answered.ok) {
          // RFC 3264 §8: an offer that is refused changes nothing.
          if (one.sdp !== before || ![400, 488].includes(answered.error.sipStatus)) return false;
          continue;
        }
        accepted++;
        const [theirs, ours] = [parseSdp(Buffer.from(text)), parseSdp(answered.value.sdp)];
        if (!theirs.ok || !ours.ok || theirs.value.sections.length !== ours.value.sections.length) return false;
        const open = ours.value.sections.filter(({ port }) => port > 0);
        if (open.length !== 1) return false;
        const next = Number(ours.value.origin.sessionVersion);
        if (next < version || next > version + 1) return false;
        version = next;
        for (const [index, mine] of ours.value.sections.entries()) {
          const its = theirs.value.sections[index];
          if (its === undefined || mine.kind !== its.kind || mine.protocol !== its.protocol) return false;
          if (mine.port === 0) continue;
          // Only formats that were offered, under the types that they were offered with.
          const known = (type: number) => its.audio.some((format) => format.payloadType === type);
          if (!mine.audio.every(({ payloadType }) => known(payloadType))) return false;
          const silent = its.direction === 'recvonly' || its.direction === 'inactive';
          if (silent && (mine.direction === 'sendrecv' || mine.direction === 'recvonly')) return false;
          const deaf = its.direction === 'sendonly' || its.direction === 'inactive' || its.address === '0.0.0.0';
          if (deaf && answered.value.negotiated.sends) return false;
        }
      }
      return true;
    }),
    { numRuns: 400 },
  );
  t.ok(accepted > 100, `${accepted} offers were accepted`);
});
