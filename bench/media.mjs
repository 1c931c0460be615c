// Cost of the media plane's pure parts, on one core. Runs on dist/: npm run build && node bench/media.mjs
import { performance } from 'node:perf_hooks';
import { alawToMulaw, decodeMulaw, encodeMulaw, quietMulaw } from '../dist/media/codec/g711.js';
import { mixInto } from '../dist/media/codec/mix.js';
import { Resampler } from '../dist/media/codec/resampler.js';
import { toneGenerator } from '../dist/media/codec/tone.js';
import { InbandDtmfDetector } from '../dist/media/dtmf/goertzel.js';
import { LossConcealer } from '../dist/media/rtp/concealment.js';
import { JitterBuffer } from '../dist/media/rtp/jitterBuffer.js';
import { parseRtp, writeRtp } from '../dist/media/rtp/packet.js';
import { RtcpStats } from '../dist/media/rtp/rtcpStats.js';
import { RtpSender } from '../dist/media/rtp/sender.js';
import { SrtpContext } from '../dist/media/rtp/srtp.js';
import { SourceLatch } from '../dist/media/rtp/latch.js';
import { SeededRandom } from '../dist/kernel/index.js';

const FRAME = 160;
const random = new SeededRandom(1);
const speech = new Int16Array(FRAME * 64);
toneGenerator([210, 420, 1100, 2300], { amplitude: 3000 }).fill(speech);
const frames = Array.from({ length: 64 }, (_, i) => speech.subarray(i * FRAME, (i + 1) * FRAME));
const coded = frames.map((frame) => {
  const octets = Buffer.alloc(FRAME);
  encodeMulaw(frame, octets);
  return octets;
});
const wide = frames.map((frame) => new Resampler(8000, 16000).process(frame));
const datagram = Buffer.alloc(12 + FRAME);
writeRtp(datagram, { payloadType: 0, marker: false, sequence: 1, timestamp: 160, ssrc: 7 }, coded[0]);

/** Least of many short runs: a run that another process interrupted does not count. Warmed up for as long. */
function measure(name, run) {
  const per = 100;
  let best = Infinity;
  let i = 0;
  for (let until = performance.now() + 150; performance.now() < until;) {
    const start = performance.now();
    for (let n = 0; n < per; n++) run(i++);
    best = Math.min(best, ((performance.now() - start) * 1e6) / per);
  }
  const text = best < 1000 ? `${best.toFixed(0)} ns` : `${(best / 1000).toFixed(2)} us`;
  console.log(`${name.padEnd(58)} ${text.padStart(10)}`);
  return best;
}

console.log('one RTP packet of 20 ms');
const target = Buffer.alloc(1500);
const header = { payloadType: 0, marker: false, sequence: 1, timestamp: 160, ssrc: 7 };
measure('parse', () => parseRtp(datagram));
measure('write', () => writeRtp(target, header, coded[0]));
const sender = new RtpSender({ random, payloadType: 0, telephoneEventType: 101 });
measure('number and write (sender)', (i) => sender.next(target, coded[i & 63], FRAME));
const latch = new SourceLatch({ nat: false });
latch.point({ address: '127.0.0.1', port: 4000 });
measure('source check', () => latch.accept('127.0.0.1', 4000, header));
const stats = new RtcpStats();
const seen = { sequence: 0, timestamp: 0, ssrc: 1 };
const next = (packet) => {
  packet.sequence = (packet.sequence + 1) & 0xffff;
  packet.timestamp = (packet.timestamp + FRAME) >>> 0;
  return packet;
};
measure('reception statistics', (i) => stats.received(next(seen), i * 20));
const jitter = new JitterBuffer({ quiet: quietMulaw });
const arriving = { payloadType: 0, marker: false, sequence: 0, timestamp: 0, ssrc: 1, payload: coded[0] };
let clockMs = 0;
measure('jitter buffer push + pull', () => {
  clockMs += 20;
  jitter.push(next(arriving), clockMs - 5);
  jitter.pull(clockMs);
});

console.log('\none frame of 20 ms');
const pcm = new Int16Array(FRAME);
const octets = Buffer.alloc(FRAME);
measure('decode mu-law', (i) => decodeMulaw(coded[i & 63], pcm));
measure('encode mu-law', (i) => encodeMulaw(frames[i & 63], octets));
measure('A-law to mu-law', (i) => alawToMulaw(coded[i & 63], octets));
measure('mix', (i) => mixInto(pcm, frames[i & 63]));
for (const [from, to, source] of [
  [8000, 16000, frames],
  [8000, 24000, frames],
  [16000, 8000, wide],
  [24000, 8000, frames.map((frame) => new Resampler(8000, 24000).process(frame))],
  [16000, 24000, wide],
]) {
  const resampler = new Resampler(from, to);
  measure(`resample ${from / 1000} -> ${to / 1000} kHz`, (i) => resampler.process(source[i & 63]));
}
const concealer = new LossConcealer();
measure('loss concealment, nothing lost', (i) => concealer.feed(frames[i & 63]));
measure('loss concealment, every second frame lost (per pair)', (i) => {
  concealer.feed(frames[i & 63]);
  concealer.conceal(pcm);
});
const detector = new InbandDtmfDetector();
measure('in-band DTMF detection', (i) => detector.push(frames[i & 63]));

console.log('\nSRTP, AES_CM_128_HMAC_SHA1_80');
const keys = { suite: 'AES_CM_128_HMAC_SHA1_80', key: Buffer.alloc(16, 7), salt: Buffer.alloc(14, 9) };
const protect = new SrtpContext(keys);
const plain = { ...header, sequence: 0, timestamp: 0 };
const protectNext = () => protect.protectRtp(target, writeRtp(target, next(plain), coded[0]));
measure('write + protect', protectNext);
const both = new SrtpContext(keys);
measure('write + protect + unprotect', () => {
  const length = both.protectRtp(target, writeRtp(target, next(plain), coded[0]));
  if (both.unprotectRtp(target.subarray(0, length)) === undefined) throw new Error('refused');
});

console.log('\nbidirectional stream, one frame each way');
const buffer = new JitterBuffer({ quiet: quietMulaw });
const conceal = new LossConcealer();
const pairStats = new RtcpStats();
const out = new RtpSender({ random, payloadType: 0 });
let sequence = 0;
measure('check, parse, statistics, jitter, decode, encode, write', (i) => {
  clockMs += 20;
  sequence = (sequence + 1) & 0xffff;
  datagram.writeUInt16BE(sequence, 2);
  datagram.writeUInt32BE((sequence * FRAME) >>> 0, 4);
  const packet = parseRtp(datagram);
  if (!latch.accept('127.0.0.1', 4000, packet)) throw new Error('refused');
  pairStats.received(packet, clockMs - 5);
  buffer.push(packet, clockMs - 5);
  const frame = buffer.pull(clockMs);
  if (frame.kind === 'audio') {
    decodeMulaw(frame.payload, pcm);
    conceal.feed(pcm);
  } else conceal.conceal(pcm);
  encodeMulaw(frames[i & 63], octets);
  out.next(target, octets, FRAME);
});
