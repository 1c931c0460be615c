import t from 'tap';
import { SeededRandom } from '../../src/kernel/index.js';
import { parseTelephoneEvent } from '../../src/media/dtmf/telephoneEvent.js';
import { SourceLatch } from '../../src/media/rtp/latch.js';
import {
  type RtpPacket,
  isRtcp,
  parseRtp,
  sequenceDelta,
  timestampDelta,
  writeRtp,
} from '../../src/media/rtp/packet.js';
import { estimateMos, ratingFactor } from '../../src/media/rtp/quality.js';
import { RtcpStats, parseRtcp, writeRtcp } from '../../src/media/rtp/rtcp.js';
import { RtpSender } from '../../src/media/rtp/sender.js';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');

t.test('RTP: every field of the header, written and read', async (t) => {
  const target = Buffer.alloc(100);
  const header = { payloadType: 101, marker: true, sequence: 0xfffe, timestamp: 0xfedcba98, ssrc: 0x89abcdef };
  const length = writeRtp(target, header, hex('0a8a0320'));
  t.same(target.subarray(0, length), hex('80e5fffe fedcba98 89abcdef 0a8a0320'));
  t.same(parseRtp(target.subarray(0, length)), { ...header, payload: hex('0a8a0320') });
  t.equal(writeRtp(Buffer.alloc(15), header, Buffer.alloc(4)), 0, 'no room');
  // The payload may have been put in its place before.
  target.fill(0x55, 12, 32);
  t.equal(writeRtp(target, header, target.subarray(12, 32)), 32);
  t.same(target.subarray(12, 32), Buffer.alloc(20, 0x55));
});

t.test('RTP: CSRCs, extension and padding are stepped over, and checked', async (t) => {
  const fixed = '0001 00000002 00000003';
  const payload = (data: Buffer) => parseRtp(data)?.payload.toString('hex');
  t.equal(payload(hex(`8200 ${fixed} 11111111 22222222 abcd`)), 'abcd');
  t.equal(payload(hex(`9000 ${fixed} bede0001 99999999 abcd`)), 'abcd');
  t.equal(payload(hex(`9100 ${fixed} 11111111 bede0000 ab`)), 'ab');
  t.equal(payload(hex(`a000 ${fixed} abcd 000003`)), 'abcd');
  t.equal(payload(hex(`8000 ${fixed}`)), '');
  const malformed = {
    'version 1': `4000 ${fixed} ab`,
    'short header': '8000 0001 00000002 000000',
    'CSRCs beyond the end': `8300 ${fixed} 11111111 22222222`,
    'no room for an extension header': `9000 ${fixed} bede`,
    'extension beyond the end': `9000 ${fixed} bede0002 99999999`,
    'padding of 0': `a000 ${fixed} ab00`,
    'padding into the header': `a000 ${fixed} ab0004`,
    'RTCP on the same port': `80c8 ${fixed}`,
    empty: '',
  };
  for (const [what, data] of Object.entries(malformed)) t.equal(parseRtp(hex(data)), undefined, what);
  const view = hex(`8000 ${fixed} abcd`);
  view[12] = 0x77;
  t.equal(parseRtp(view)?.payload.buffer, view.buffer, 'no copies');
  t.ok(isRtcp(hex('81c90007')));
  t.notOk(isRtcp(hex('80e50001')), 'payload type 101 with marker');
});

t.test('sequence numbers and timestamps are compared around the clock', async (t) => {
  t.equal(sequenceDelta(1, 65535), 2);
  t.equal(sequenceDelta(65535, 1), -2);
  t.equal(timestampDelta(100, 0xffffff9c), 200);
  t.equal(timestampDelta(0xffffff9c, 100), -200);
});

t.test('RTCP: a compound of sender report, source description and BYE', async (t) => {
  const report = {
    ssrc: 9,
    fractionLost: 26,
    cumulativeLost: -3,
    highestSequence: 0x0001ffff,
    jitter: 40,
    lastSenderReport: 0x12345678,
    delaySinceLastSenderReport: 65536,
  };
  const sender = { ntpSeconds: 0xe0000000, ntpFraction: 0x80000000, rtpTimestamp: 77, packets: 5, octets: 800 };
  const target = Buffer.alloc(200);
  const length = writeRtcp(target, { ssrc: 7, cname: 'tandem@127.0.0.1', sender, reports: [report], bye: true });
  t.equal(length % 4, 0);
  t.ok(isRtcp(target));
  t.same(parseRtcp(target.subarray(0, length)), [
    { kind: 'sr', ssrc: 7, sender, reports: [report] },
    { kind: 'sdes', chunks: [{ ssrc: 7, cname: 'tandem@127.0.0.1' }] },
    { kind: 'bye', ssrcs: [7], reason: '' },
  ]);
  for (const cname of ['', 'a', 'ab', 'abc', 'abcd', 'x'.repeat(300)]) {
    const size = writeRtcp(Buffer.alloc(600), { ssrc: 7, cname, reports: [] });
    const data = Buffer.alloc(size);
    writeRtcp(data, { ssrc: 7, cname, reports: [] });
    const chunk = { ssrc: 7, cname: cname.slice(0, 255) };
    t.same(
      parseRtcp(data),
      [
        { kind: 'rr', ssrc: 7, reports: [] },
        { kind: 'sdes', chunks: [chunk] },
      ],
      `"${cname}"`,
    );
  }
  t.equal(writeRtcp(Buffer.alloc(20), { ssrc: 7, cname: 'abc', reports: [report] }), 0);
});

t.test('RTCP: reasons, padding, unknown types, and what is malformed', async (t) => {
  t.same(parseRtcp(hex('81cb0003 00000007 03627965 00000000')), [{ kind: 'bye', ssrcs: [7], reason: 'bye' }]);
  t.same(parseRtcp(hex('80cc0001 00000007')), [{ kind: 'other', packetType: 204 }]);
  t.same(parseRtcp(hex('a0c90002 00000007 00000004')), [{ kind: 'rr', ssrc: 7, reports: [] }]);
  const malformed = {
    empty: '',
    short: '80c900',
    'version 1': '40c90001 00000007',
    'longer than the datagram': '80c90002 00000007',
    'reports that are not there': '81c90001 00000007',
    'sender report without sender': '80c80001 00000007',
    'padding of more than the packet': 'a0c90001 000000ff',
    'padding of 0': 'a0c90002 00000007 00000000',
    'padding before the last': 'a0c90002 00000007 00000004 80c90001 00000007',
    'item beyond the chunk': '81ca0002 00000007 01ff6162',
    'chunk without end': '81ca0002 00000007 01026162',
    'BYE for nobody there': '83cb0001 00000007',
    'an RTP packet': '80000001 00000007 00000009',
  };
  for (const [what, data] of Object.entries(malformed)) t.equal(parseRtcp(hex(data)), undefined, what);
});

const packet = (sequence: number, timestamp: number, ssrc = 1): RtpPacket => ({
  payloadType: 0,
  marker: false,
  sequence: sequence & 0xffff,
  timestamp: timestamp >>> 0,
  ssrc,
  payload: Buffer.alloc(0),
});

t.test('statistics: loss in all and since the last report, over the wrap of the sequence number', async (t) => {
  const stats = new RtcpStats();
  t.equal(stats.report(0), undefined);
  for (let i = 0; i < 100; i++) if (i % 10 !== 5) stats.received(packet(65_500 + i, i * 160), i * 20);
  let report = stats.report(2000);
  t.equal(report?.cumulativeLost, 10);
  t.equal(report?.fractionLost, Math.floor((10 * 256) / 100));
  t.equal(report?.highestSequence, 65536 + 63);
  t.equal(report?.jitter, 0);
  for (let i = 100; i < 200; i++) stats.received(packet(65_500 + i, i * 160), i * 20);
  stats.received(packet(65_500 + 199, 199 * 160), 4000);
  report = stats.report(4000);
  t.equal(report?.fractionLost, 0, 'nothing since');
  t.equal(report?.cumulativeLost, 9, 'a duplicate counts as received');
  t.match(stats.summary(), { received: 191, expected: 200, lost: 9 });
});

t.test('statistics: jitter by the estimator of the RFC', async (t) => {
  const stats = new RtcpStats();
  // Every second packet 10 ms late: all differences are 80 samples.
  for (let i = 0; i < 400; i++) stats.received(packet(i, 0xffffff00 + i * 160), 1000 + i * 20 + (i % 2) * 10);
  t.ok(Math.abs(stats.summary().jitterMs - 10) < 0.1, `${stats.summary().jitterMs} ms`);
});

t.test('statistics: round trip from LSR and DLSR, both ways', async (t) => {
  const ours = new RtcpStats({ wallOffsetMs: 1_700_000_000_000 });
  const theirs = new RtcpStats({ wallOffsetMs: 5 });
  theirs.received(packet(1, 160), 990);
  theirs.senderReport({ ...ours.ntp(1000), rtpTimestamp: 0, packets: 1, octets: 160 }, 51_030);
  // 30 ms there, 500 ms held, 25 ms back; their clock is not ours.
  const report = theirs.report(51_530);
  if (report === undefined) return t.fail('no report');
  ours.receptionReport(report, 1555);
  const { roundTripMs } = ours.summary();
  t.ok(roundTripMs !== undefined && Math.abs(roundTripMs - 55) < 0.1, `${roundTripMs} ms`);
  ours.receptionReport({ ...report, lastSenderReport: 12345, cumulativeLost: 4, jitter: 16 }, 1600);
  t.equal(ours.summary().roundTripMs, roundTripMs, 'a report that makes no sense changes nothing');
  t.match(ours.summary(), { remoteLost: 4, remoteJitterMs: 2 });
});

t.test('statistics: a wild sequence number alone is not believed, two in a row begin anew', async (t) => {
  const stats = new RtcpStats();
  for (let i = 0; i < 50; i++) stats.received(packet(i, i * 160), i * 20);
  stats.received(packet(30_000, 50 * 160), 1000);
  t.match(stats.summary(), { received: 50, lost: 0 });
  for (let i = 51; i < 60; i++) stats.received(packet(i, i * 160), i * 20);
  t.match(stats.summary(), { received: 59, expected: 60 });
  for (let i = 0; i < 50; i++) stats.received(packet(40_000 + i, i * 160), 1200 + i * 20);
  t.match(stats.summary(), { received: 108, lost: 1 });
  stats.received(packet(5, 99, 2), 4000);
  t.match(stats.summary(), { received: 109, expected: 110 }, 'another source: the totals go on');
});

const random = () => new SeededRandom(7);
const target = Buffer.alloc(200);
const audio = Buffer.alloc(160, 0xd5);
const read = (length: number): RtpPacket => {
  const parsed = parseRtp(Buffer.from(target.subarray(0, length)));
  if (parsed === undefined) throw new Error('not RTP');
  return parsed;
};

t.test('sender: numbers in order, timestamps by samples, a marker after each silence', async (t) => {
  const sender = new RtpSender({ random: random(), payloadType: 8 });
  const first = read(sender.next(target, audio, 160));
  const second = read(sender.next(target, audio, 160));
  t.match(first, { payloadType: 8, marker: true, ssrc: sender.ssrc });
  t.match(second, { marker: false, sequence: (first.sequence + 1) & 0xffff, timestamp: (first.timestamp + 160) >>> 0 });
  for (let i = 0; i < 10; i++) t.equal(sender.skip(target, 160), 0);
  const third = read(sender.next(target, audio, 160));
  t.match(third, { marker: true, sequence: (first.sequence + 2) & 0xffff, timestamp: (first.timestamp + 1920) >>> 0 });
  t.equal(sender.next(Buffer.alloc(20), audio, 160), 0);
  t.equal(sender.sequence, (first.sequence + 3) & 0xffff, 'nothing is counted that was not written');
  t.match(sender, { packets: 3, octets: 480 });
  sender.use(0, 96);
  t.match(read(sender.next(target, audio, 160)), { payloadType: 0, sequence: (first.sequence + 3) & 0xffff });
});

t.test('sender: a digit is one event with a growing duration and three ends, then audio goes on in time', async (t) => {
  const sender = new RtpSender({ random: random(), payloadType: 0, telephoneEventType: 101 });
  const start = read(sender.next(target, audio, 160)).timestamp;
  t.ok(sender.sendEvent(5, 100));
  t.ok(sender.sendEvent(11, 40));
  const packets = Array.from({ length: 20 }, () => read(sender.next(target, audio, 160)));
  const shape = packets.map((one) => {
    const event = one.payloadType === 101 ? parseTelephoneEvent(one.payload) : undefined;
    const at = (one.timestamp - start) / 160;
    return event === undefined
      ? `audio@${at}`
      : `${event.event}@${at}+${event.duration}${event.end ? 'E' : ''}${one.marker ? 'M' : ''}`;
  });
  t.same(shape, [
    '5@1+160M',
    '5@1+320',
    '5@1+480',
    '5@1+640',
    '5@1+800E',
    '5@1+800E',
    '5@1+800E',
    'audio@8',
    'audio@9',
    'audio@10',
    '11@11+160M',
    '11@11+320E',
    '11@11+320E',
    '11@11+320E',
    ...[15, 16, 17, 18, 19, 20].map((at) => `audio@${at}`),
  ]);
  packets.slice(1).forEach((one, i) => {
    if (one.sequence !== (((packets[i]?.sequence ?? 0) + 1) & 0xffff)) t.fail(`gap before ${i + 1}`);
  });
});

t.test('sender: digits go out in silence too, are refused where the peer takes none, and are bounded', async (t) => {
  const sender = new RtpSender({ random: random(), payloadType: 0, telephoneEventType: 101 });
  t.ok(sender.sendEvent(1, 20));
  t.equal(sender.sendingDigits, true);
  t.equal(sender.skip(target, 160), 16);
  t.equal(sender.skip(target, 160), 16);
  t.equal(sender.skip(target, 160), 16);
  t.equal(sender.skip(target, 160), 0);
  t.equal(sender.sendingDigits, false);
  t.equal(read(sender.next(target, audio, 160)).marker, true);
  let taken = 0;
  while (taken < 1000 && sender.sendEvent(1, 20)) taken++;
  t.equal(taken, 128);
  t.notOk(new RtpSender({ random: random(), payloadType: 0 }).sendEvent(1, 20));
});

t.test('sender: an event longer than its field goes on in a new segment', async (t) => {
  const sender = new RtpSender({ random: random(), payloadType: 0, telephoneEventType: 101 });
  sender.sendEvent(1, 10_000);
  const packets = Array.from({ length: 502 }, () => read(sender.next(target, audio, 160)));
  const starts = [...new Set(packets.map((one) => one.timestamp))];
  t.equal(starts.length, 2);
  const last = parseTelephoneEvent(packets[501]?.payload ?? Buffer.alloc(0));
  t.equal(timestampDelta(starts[1] ?? 0, starts[0] ?? 0) + (last?.duration ?? 0), 80_000);
  t.equal(packets.filter((one) => one.marker).length, 1);
  t.equal(packets.filter((one) => parseTelephoneEvent(one.payload)?.end).length, 3);
});

t.test('quality: good calls are good, and every disturbance makes them worse', async (t) => {
  t.ok(estimateMos({ lossRatio: 0, delayMs: 20 }) > 4.35);
  let previous = 5;
  for (const lossRatio of [0, 0.01, 0.03, 0.1, 0.3, 1]) {
    const mos = estimateMos({ lossRatio, delayMs: 50 });
    t.ok(mos < previous && mos >= 1, `${lossRatio}: ${mos.toFixed(2)}`);
    previous = mos;
  }
  t.ok(estimateMos({ lossRatio: 0, delayMs: 400 }) < 3.7);
  t.ok(estimateMos({ lossRatio: 0, delayMs: 50, jitterMs: 80 }) < estimateMos({ lossRatio: 0, delayMs: 50 }));
  t.equal(ratingFactor({ lossRatio: 1, delayMs: 5000 }), 0);
});

const PEER = { address: '192.0.2.10', port: 4000 };
const stream = (sequence: number, ssrc = 1, payloadType = 0) => ({ sequence, ssrc, payloadType });

t.test('without NAT only the place that the SDP names is heard', async (t) => {
  const latch = new SourceLatch({ nat: false });
  t.notOk(latch.accept(PEER.address, PEER.port, stream(1)), 'nobody, before any SDP');
  latch.point(PEER);
  t.ok(latch.accept('192.0.2.10', 4000, stream(2)));
  t.ok(latch.accept('::ffff:192.0.2.10', 4000, stream(3)), 'through an IPv6 socket');
  for (let i = 0; i < 1000; i++) {
    if (latch.accept('192.0.2.10', 4002, stream(i)) || latch.accept('198.51.100.1', 4000, stream(i)))
      t.fail('accepted');
  }
  t.equal(latch.rejected, 2001);
  t.same(latch.target, PEER);
  t.ok(latch.acceptControl('192.0.2.10', 4001, 4001));
  t.notOk(latch.acceptControl('192.0.2.10', 4003, 4001));
  t.notOk(latch.acceptControl('198.51.100.1', 4001, 4001));
});

t.test('behind NAT one source is learned, once', async (t) => {
  const latch = new SourceLatch({ nat: true });
  latch.point({ address: '10.0.0.5', port: 4000 });
  t.notOk(latch.accept('203.0.113.9', 61_000, stream(65_534)));
  t.notOk(latch.accept('203.0.113.9', 61_000, stream(65_535)));
  t.ok(latch.accept('203.0.113.9', 61_000, stream(1)), 'three in a row, over the wrap, one lost');
  t.same(latch.target, { address: '203.0.113.9', port: 61_000 });
  for (let i = 0; i < 100; i++) {
    if (latch.accept('198.51.100.1', 61_000, stream(i))) t.fail('a second source');
    if (latch.accept('10.0.0.5', 4000, stream(i))) t.fail('the private address');
  }
  t.ok(latch.accept('203.0.113.9', 61_000, stream(2)));
  t.notOk(latch.acceptControl('198.51.100.1', 61_001, 4001));
  t.ok(latch.acceptControl('203.0.113.9', 61_001, 4001));
  t.notOk(latch.acceptControl('203.0.113.9', 61_009, 4001), 'the first control port counts');
  t.same(latch.controlTarget, { address: '203.0.113.9', port: 61_001 });
  latch.point({ address: '10.0.0.5', port: 4000 });
  t.ok(latch.latched, 'the same SDP again changes nothing');
  latch.point({ address: '10.0.0.5', port: 5000 });
  t.notOk(latch.latched, 'a new place is learned anew');
});

t.test('spray before learning: inconsistent streams are never learned, and do not keep the peer out', async (t) => {
  const latch = new SourceLatch({ nat: true });
  latch.point({ address: '10.0.0.5', port: 4000 });
  for (let i = 0; i < 60; i++) {
    const ssrc = 1000 + i;
    if (latch.accept('198.51.100.1', 5000, stream(i, ssrc))) t.fail('changing SSRC');
    if (latch.accept('198.51.100.1', 5001, stream(7, 3))) t.fail('a sequence that stands still');
    if (latch.accept('198.51.100.2', 6000 + i, stream(i, 4))) t.fail('changing port');
    if (latch.accept('198.51.100.3', 5000, stream(i * 1000, 5))) t.fail('a leaping sequence');
    if (latch.accept('198.51.100.4', 5000, stream(i, 6, i & 1 ? 0 : 8))) t.fail('a changing payload type');
  }
  t.equal(latch.latched, false);
  t.equal(latch.rejected, 300);
  const heard = [1, 2, 3].map((sequence) => latch.accept('203.0.113.9', 61_000, stream(sequence)));
  t.same(heard, [false, false, true]);
});

t.test('learning ends: after its window, and for addresses that it was told not to learn', async (t) => {
  const latch = new SourceLatch({ nat: true, window: 50 });
  latch.point(PEER);
  for (let i = 0; i < 60; i++) latch.accept('198.51.100.1', 5000 + i, stream(i));
  for (let i = 0; i < 10; i++) if (latch.accept('203.0.113.9', 61_000, stream(i))) t.fail('too late');
  t.ok(latch.accept(PEER.address, PEER.port, stream(1)), 'the SDP is believed all the same');
  const strict = new SourceLatch({ nat: true, expectedAddresses: ['203.0.113.9'] });
  strict.point({ address: '10.0.0.5', port: 4000 });
  for (let i = 0; i < 10; i++) if (strict.accept('198.51.100.1', 5000, stream(i))) t.fail('not the expected address');
  t.same(
    [1, 2, 3].map((sequence) => strict.accept('203.0.113.9', 61_000, stream(sequence))),
    [false, false, true],
  );
});
