import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { wavHeader } from '../../src/media/codec/wav.js';
import { Clip } from '../../src/media/play/clip.js';
import { ClipLibrary } from '../../src/media/play/library.js';
import { Player, openPlayer } from '../../src/media/play/player.js';
import type { PlaySource } from '../../src/media/index.js';
import { amplitudeAt } from '../contract/media/peer.js';

const wav = (samples: Int16Array, sampleRate: number, channels = 1): Buffer =>
  Buffer.concat([
    wavHeader({ encoding: 'pcm16', channels, sampleRate }, samples.byteLength),
    Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength),
  ]);
const tone = (hz: number, seconds: number, rate: number): Int16Array =>
  Int16Array.from({ length: seconds * rate }, (_, i) => Math.round(Math.sin((2 * Math.PI * hz * i) / rate) * 10_000));
const clipOf = (file: Buffer): Clip => {
  const clip = Clip.fromWav(file);
  if (!clip.ok) throw new Error(clip.error);
  return clip.value;
};
const readAll = (clip: Clip, step: number): Int16Array => {
  const all = new Int16Array(clip.length);
  for (let at = 0; at < all.length; at += step) clip.read(at, all.subarray(at, at + step));
  return all;
};

t.test('a clip has the length and the pitch of its file, at any rate', async (t) => {
  for (const rate of [8000, 11_025, 16_000, 22_050, 44_100, 48_000]) {
    const clip = clipOf(wav(tone(440, 1, rate), rate));
    t.equal(clip.length, 8000, `${rate} Hz`);
    const pcm = readAll(clip, 160);
    t.ok(Math.abs(amplitudeAt(pcm.subarray(800, 7200), 440) - 10_000) < 300);
    t.same(readAll(clip, 7), pcm, 'the same however it is read');
    t.equal(clip.read(8000, new Int16Array(10)), 0);
  }
});

t.test('stereo becomes one channel; the end of a short prompt is there', async (t) => {
  const both = new Int16Array(3200).map((_, i) => (i % 2 === 0 ? 4000 : 2000));
  const pcm = readAll(clipOf(wav(both, 16_000, 2)), 160);
  t.equal(pcm.length, 800);
  t.ok(pcm.subarray(40, 760).every((sample) => Math.abs(sample - 3000) < 60));
  t.ok(Math.abs(pcm[795] ?? 0) > 1000);
  t.equal(clipOf(wav(new Int16Array(0), 8000)).length, 0);
});

t.test('a file is read once, and again when it has changed; what was not used for long is forgotten', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'clips-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const write = (name: string, seconds: number) => writeFile(join(folder, name), wav(tone(440, seconds, 8000), 8000));
  const library = new ClipLibrary(80_000);
  await write('a.wav', 1);
  const first = await library.load(join(folder, 'a.wav'));
  const again = await library.load(join(folder, 'a.wav'));
  t.ok(first.ok && again.ok && first.value === again.value);
  await write('a.wav', 0.5);
  await utimes(join(folder, 'a.wav'), 1, 1);
  const changed = await library.load(join(folder, 'a.wav'));
  t.ok(changed.ok && changed.value.length === 4000);
  for (const name of ['b', 'c', 'd', 'e']) {
    await write(name, 1);
    await library.load(join(folder, name));
  }
  const { clips, bytes } = library.dump();
  t.ok(bytes <= 80_000 && clips === 2, `${clips} clips, ${bytes} bytes`);
  t.match(await library.load(join(folder, 'none')), { ok: false, error: /ENOENT/ });
  t.match(await library.load(folder), { ok: false });
});

const playAll = async (sources: readonly PlaySource[], repeat?: number): Promise<number[]> => {
  const player = await openPlayer({ sources, repeat }, new ClipLibrary());
  if (!player.ok) throw new Error(player.error);
  const all: number[] = [];
  const frame = new Int16Array(160);
  for (let i = 0; i < 1000 && !player.value.finished; i++) {
    player.value.fill(frame);
    all.push(...frame);
  }
  return all;
};

t.test('sources follow each other without a gap, inside a frame too', async (t) => {
  const ones = wav(new Int16Array(100).fill(111), 8000);
  const twos = wav(new Int16Array(250).fill(222), 8000);
  const all = await playAll(
    [
      { kind: 'audio', wav: ones },
      { kind: 'silence', durationMs: 5 },
      { kind: 'audio', wav: twos },
    ],
    2,
  );
  const once = [
    ...new Array<number>(100).fill(111),
    ...new Array<number>(40).fill(0),
    ...new Array<number>(250).fill(222),
  ];
  t.same(all.slice(0, 780), [...once, ...once]);
  t.ok(all.slice(780).every((sample) => sample === 0));
  t.equal(all.length, 800);
});

t.test('tones have their frequencies and begin anew with each round', async (t) => {
  const all = await playAll([{ kind: 'tone', frequenciesHz: [440, 480], durationMs: 100 }], 2);
  const pcm = Int16Array.from(all);
  t.ok(amplitudeAt(pcm.subarray(0, 800), 440) > 5000 && amplitudeAt(pcm.subarray(0, 800), 480) > 5000);
  t.same(pcm.subarray(0, 800), pcm.subarray(800, 1600));
});

t.test('repeat 0 goes on, nothing ends at once, and nonsense is no loop', async (t) => {
  t.equal((await playAll([{ kind: 'tone', frequenciesHz: [440], durationMs: 20 }], 0)).length, 160_000);
  t.equal((await playAll([], 0)).length, 0);
  t.equal(
    (
      await playAll(
        [
          { kind: 'silence', durationMs: 0 },
          { kind: 'silence', durationMs: Number.NaN },
        ],
        0,
      )
    ).length,
    0,
  );
  t.equal((await playAll([{ kind: 'silence', durationMs: -5 }])).length, 0);
  t.ok(new Player([], 1).finished);
  const library = new ClipLibrary();
  t.match(
    await openPlayer(
      { sources: [{ kind: 'tone', frequenciesHz: new Array<number>(9).fill(1), durationMs: 1 }] },
      library,
    ),
    { ok: false },
  );
});
