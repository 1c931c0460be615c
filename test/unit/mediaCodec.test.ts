import t from 'tap';
import {
  ALAW_SILENCE,
  MULAW_SILENCE,
  alawToLinear,
  alawToMulaw,
  decodeAlaw,
  decodeMulaw,
  encodeAlaw,
  encodeMulaw,
  linearToAlaw,
  linearToMulaw,
  mulawToAlaw,
  mulawToLinear,
  quietAlaw,
  quietMulaw,
} from '../../src/media/codec/g711.js';
import { decodeL16Be, decodeL16Le, encodeL16Be, encodeL16Le } from '../../src/media/codec/l16.js';
import { mixInto, scale } from '../../src/media/codec/mix.js';
import { Resampler } from '../../src/media/codec/resampler.js';
import { toneGenerator } from '../../src/media/codec/tone.js';
import { WAV_HEADER_BYTES, WavWriter, parseWav, wavHeader, wavSamples } from '../../src/media/codec/wav.js';
import { amplitudeAt, decibel, joined, rms, steepest, tone } from '../support/mediaSignal.js';

const ALL_CODES = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

t.test('G.711: every code survives decoding and encoding, but mu-law has two zeros', async (t) => {
  const pcm = new Int16Array(256);
  const back = Buffer.alloc(256);
  t.equal(decodeAlaw(ALL_CODES, pcm), 256);
  t.equal(encodeAlaw(pcm, back), 256);
  t.same(back, ALL_CODES);
  t.equal(decodeMulaw(ALL_CODES, pcm), 256);
  t.equal(encodeMulaw(pcm, back), 256);
  const expected = Buffer.from(ALL_CODES);
  expected[0x7f] = MULAW_SILENCE;
  t.same(back, expected);
});

t.test('G.711: the ends and the middle of the scale are those of the recommendation', async (t) => {
  const mulaw: [number, number][] = [
    [0, 0xff],
    [-1, 0x7f],
    [32767, 0x80],
    [-32768, 0x00],
    [3, 0xff],
    [4, 0xfe],
  ];
  for (const [sample, code] of mulaw) t.equal(linearToMulaw(sample), code, `mu-law of ${sample}`);
  const alaw: [number, number][] = [
    [0, ALAW_SILENCE],
    [-1, 0x55],
    [32767, 0xaa],
    [-32768, 0x2a],
    [15, 0xd5],
    [16, 0xd4],
  ];
  for (const [sample, code] of alaw) t.equal(linearToAlaw(sample), code, `A-law of ${sample}`);
  t.equal(mulawToLinear(0x80), 32124);
  t.equal(alawToLinear(0xaa), 32256);
  t.equal(alawToLinear(ALAW_SILENCE), 8);
});

t.test('G.711: all 65,536 samples: monotonic, and no further from the sample than half a step', async (t) => {
  for (const [law, encode, decode] of [
    ['mu-law', linearToMulaw, mulawToLinear],
    ['A-law', linearToAlaw, alawToLinear],
  ] as const) {
    let previous = -Infinity;
    let worst = 0;
    for (let sample = -32768; sample <= 32767; sample++) {
      const value = decode(encode(sample));
      if (value < previous) t.fail(`${law} falls at ${sample}`);
      previous = value;
      // A step is 1/16 of its segment, and a segment ends at twice its beginning: half a step is 1/32 of the sample.
      const clip = law === 'mu-law' ? 32635 : 32767;
      const magnitude = Math.min(Math.abs(sample), clip);
      const error = Math.abs(Math.abs(value) - magnitude);
      worst = Math.max(
        worst,
        error / (law === 'mu-law' ? (magnitude + 132) / 32 + 4 : Math.max(magnitude / 32, 8) + 8),
      );
    }
    t.ok(worst <= 1, `${law}: worst error ${worst} of the allowed`);
  }
});

t.test('G.711: the digital milliwatt of the recommendation decodes to a sine of 1 kHz at 0 dBm0', async (t) => {
  const sequences = [
    { name: 'mu-law', codes: '1e0b0b1e9e8b8b9e', decode: decodeMulaw, overload: 8159 * 4, overloadDbm0: 3.17 },
    { name: 'A-law', codes: '34212134b4a1a1b4', decode: decodeAlaw, overload: 4096 * 8, overloadDbm0: 3.14 },
  ];
  for (const { name, codes, decode, overload, overloadDbm0 } of sequences) {
    const octets = Buffer.from(codes.repeat(100), 'hex');
    const pcm = new Int16Array(octets.length);
    decode(octets, pcm);
    const level = decibel(amplitudeAt(pcm, 1000, 8000) / overload) + overloadDbm0;
    t.ok(Math.abs(level) < 0.1, `${name}: ${level.toFixed(3)} dBm0`);
  }
});

t.test('G.711: law to law is decoding and encoding, in place too', async (t) => {
  const pcm = new Int16Array(256);
  const expected = Buffer.alloc(256);
  decodeMulaw(ALL_CODES, pcm);
  encodeAlaw(pcm, expected);
  const octets = Buffer.from(ALL_CODES);
  t.equal(mulawToAlaw(octets, octets), 256);
  t.same(octets, expected);
  decodeAlaw(ALL_CODES, pcm);
  encodeMulaw(pcm, expected);
  const other = Buffer.alloc(200);
  t.equal(alawToMulaw(ALL_CODES, other), 200);
  t.same(other, expected.subarray(0, 200));
});

t.test('G.711: quiet frames are told from loud ones alike in both laws', async (t) => {
  const octets = Buffer.alloc(160);
  for (const [amplitude, quiet] of [
    [0, true],
    [150, true],
    [1000, false],
  ] as const) {
    const pcm = tone([300], 160, { amplitude });
    encodeMulaw(pcm, octets);
    t.equal(quietMulaw(octets), quiet, `mu-law at ${amplitude}`);
    encodeAlaw(pcm, octets);
    t.equal(quietAlaw(octets), quiet, `A-law at ${amplitude}`);
  }
});

t.test('L16: both orders of octets, odd octets and short targets', async (t) => {
  const samples = Int16Array.of(0, 1, -1, 32767, -32768, 0x1234);
  const octets = Buffer.alloc(12);
  t.equal(encodeL16Le(samples, octets), 6);
  t.equal(octets.toString('hex'), '00000100ffffff7f00803412');
  const back = new Int16Array(6);
  t.equal(decodeL16Le(octets, back), 6);
  t.same(back, samples);
  t.equal(encodeL16Be(samples, octets), 6);
  t.equal(octets.toString('hex'), '00000001ffff7fff80001234');
  t.equal(decodeL16Be(octets, back), 6);
  t.same(back, samples);
  t.equal(decodeL16Le(octets.subarray(0, 5), back), 2);
  t.equal(encodeL16Be(samples, Buffer.alloc(7)), 3);
  // At an odd offset of its memory, as the text of a frame may be.
  t.equal(decodeL16Be(Buffer.concat([Buffer.alloc(1), octets]).subarray(1), back), 6);
  t.same(back, samples);
});

t.test('mixing clips instead of wrapping around', async (t) => {
  const target = Int16Array.of(30000, -30000, 5, 7);
  mixInto(target, Int16Array.of(10000, -10000, -6));
  t.same(target, Int16Array.of(32767, -32768, -1, 7));
  scale(target, 0.5);
  t.same(target, Int16Array.of(16384, -16384, 0, 4));
  scale(target, 1000);
  t.equal(target[0], 32767);
});

t.test('tones have their frequency and level, go on from call to call, and leave out what would fold', async (t) => {
  const generator = toneGenerator([440], { amplitude: 8000 });
  const parts = Array.from({ length: 50 }, () => {
    const part = new Int16Array(160);
    generator.fill(part);
    return part;
  });
  const pcm = joined(parts);
  t.ok(Math.abs(amplitudeAt(pcm, 440, 8000) - 8000) < 10);
  t.ok(steepest(pcm) < 8000 * 2 * Math.PI * (440 / 8000) + 2);
  t.equal(rms(tone([5000], 800)), 0);
});

const RATES = [8000, 16_000, 24_000];
const PAIRS = RATES.flatMap((from) => RATES.filter((to) => to !== from).map((to) => [from, to] as const));

/** A second of `hz` through a resampler in chunks of 20 ms, without its beginning and end. */
function resampled(hz: number, from: number, to: number): Int16Array {
  const source = tone([hz], from, { sampleRate: from, amplitude: 10_000 });
  const resampler = new Resampler(from, to);
  const parts: Int16Array[] = [];
  for (let at = 0; at < from; at += from / 50) parts.push(resampler.process(source.subarray(at, at + from / 50)));
  return joined(parts).subarray(to / 50, to - to / 50);
}

t.test(
  'resampling keeps what telephone speech has: 440 Hz and 3 kHz at their level, nothing else beside',
  async (t) => {
    for (const [from, to] of PAIRS) {
      for (const hz of [300, 440, 1000, 3000]) {
        const pcm = resampled(hz, from, to);
        const level = decibel(amplitudeAt(pcm, hz, to) / 10_000);
        t.ok(Math.abs(level) < 0.1, `${from} to ${to}: ${hz} Hz at ${level.toFixed(3)} dB`);
        const ideal = tone([hz], pcm.length, { sampleRate: to, amplitude: 10_000 });
        t.ok(Math.abs(decibel(rms(pcm) / rms(ideal))) < 0.1, `${from} to ${to}: ${hz} Hz has no company`);
        for (const image of [from - hz, from + hz, 2 * from - hz].filter((f) => f < to / 2)) {
          const heard = decibel(amplitudeAt(pcm, image, to) / 10_000);
          t.ok(heard < -55, `${from} to ${to}: image of ${hz} at ${image} Hz: ${heard.toFixed(1)} dB`);
        }
      }
    }
  },
);

t.test('going down, what the lower rate cannot hold does not fold into it', async (t) => {
  for (const [from, to, hz] of [
    [16_000, 8000, 5000],
    [16_000, 8000, 7000],
    [24_000, 8000, 5000],
    [24_000, 8000, 11_000],
    [24_000, 16_000, 9500],
  ] as const) {
    const level = decibel((rms(resampled(hz, from, to)) * Math.SQRT2) / 10_000);
    t.ok(level < -55, `${from} to ${to}: ${hz} Hz left at ${level.toFixed(1)} dB`);
  }
});

t.test('there and back again the signal is the same but for the delay of the filters', async (t) => {
  for (const rate of [16_000, 24_000]) {
    const up = new Resampler(8000, rate);
    const down = new Resampler(rate, 8000);
    const source = tone([440, 1300, 2900], 8000);
    const back = down.process(up.process(source));
    t.equal(back.length, source.length);
    const delay = up.delaySamples + down.delaySamples / (rate / 8000);
    t.equal(delay, Math.round(delay));
    let error = 0;
    for (let i = 200; i < 7800; i++)
      error = Math.max(error, Math.abs((back[i + delay] as number) - (source[i] as number)));
    t.ok(error < 60, `${rate}: largest error ${error}`);
  }
});

t.test('a resampler forgets on reset, copies at equal rates, and takes loud signals without wrapping', async (t) => {
  const resampler = new Resampler(8000, 16_000);
  const square = Int16Array.from({ length: 800 }, (_, i) => (i % 80 < 40 ? 32767 : -32768));
  const first = resampler.process(square);
  resampler.reset();
  t.same(resampler.process(square), first);
  // Overshoot of the filter at the edges of a full-scale square clips: the sign holds all the same.
  for (let i = 60; i < 100; i++) t.ok((first[i] as number) > 20_000, `sample ${i} of the positive half`);
  t.same(new Resampler(8000, 8000).process(square), square);
  // Uncommon rates of files work too.
  t.equal(new Resampler(44_100, 8000).process(new Int16Array(44_100)).length, 8000);
});

t.test('WAV: what is written is read, for every encoding and layout', async (t) => {
  for (const encoding of ['pcm16', 'pcm8', 'mulaw', 'alaw'] as const) {
    for (const channels of [1, 2]) {
      const format = { encoding, channels, sampleRate: 8000 };
      const writer = new WavWriter(format);
      const frame = (encoding === 'pcm16' ? 2 : 1) * channels;
      const audio = Buffer.alloc(frame * 401, 0x80);
      writer.appended(audio.length);
      t.equal(writer.start().length, WAV_HEADER_BYTES);
      const file = Buffer.concat([writer.fixUp(), audio, writer.padding()]);
      t.equal(file.readUInt32LE(4), file.length - 8);
      const read = parseWav(file);
      if (!read.ok) return t.fail(read.error);
      t.same({ encoding: read.value.encoding, channels: read.value.channels, sampleRate: 8000 }, format);
      t.equal(read.value.data.length, audio.length);
      t.equal(read.value.durationMs, 401 / 8);
      t.equal(wavSamples(read.value).length, 401);
    }
  }
  const stereo = Buffer.concat([wavHeader({ encoding: 'pcm16', channels: 2, sampleRate: 8000 }, 8), Buffer.alloc(8)]);
  stereo.writeInt16LE(1000, WAV_HEADER_BYTES);
  stereo.writeInt16LE(-500, WAV_HEADER_BYTES + 2);
  const read = parseWav(stereo);
  t.same(read.ok && wavSamples(read.value), Int16Array.of(250, 0));
});

t.test('WAV: cut off, foreign and hostile files', async (t) => {
  const format = { encoding: 'pcm16', channels: 1, sampleRate: 8000 } as const;
  const cut = Buffer.concat([wavHeader(format, 1_000_000), Buffer.alloc(33)]);
  const read = parseWav(cut);
  t.equal(read.ok && read.value.data.length, 32, 'a cut recording plays as far as it goes');
  const unfinished = parseWav(wavHeader(format, 0));
  t.equal(unfinished.ok && unfinished.value.data.length, 0);
  const problem = (file: Buffer) => {
    const result = parseWav(file);
    return result.ok ? 'ok' : result.error;
  };
  t.equal(problem(Buffer.alloc(0)), 'not_wav');
  t.equal(problem(Buffer.from('RIFF....WAVE')), 'no_format');
  t.equal(problem(Buffer.from('RIFF....WAVEdata\0\0\0\0')), 'no_format');
  t.equal(problem(cut.subarray(0, 38)), 'no_data');
  const change = (at: number, value: number) => {
    const file = Buffer.from(cut);
    file.writeUInt16LE(value, at);
    return problem(file);
  };
  t.equal(change(20, 3), 'unsupported_encoding');
  t.equal(change(34, 24), 'unsupported_encoding');
  t.equal(change(22, 0), 'unsupported_layout');
  t.equal(change(22, 900), 'unsupported_layout');
  t.equal(change(26, 0xffff), 'unsupported_layout');
  // Chunks with no end: bounded.
  const chunks = Buffer.concat([Buffer.from('RIFF....WAVE'), Buffer.alloc(1_000_000)]);
  t.equal(problem(chunks), 'no_format');
});
