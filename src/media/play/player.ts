import { type ToneGenerator, toneGenerator } from '../codec/tone.js';
import { type Result, err, ok } from '../../kernel/index.js';
import type { PlaySource, PlaySpec } from '../port.js';
import { Clip, RATE } from './clip.js';
import type { ClipLibrary } from './library.js';

/** One source, ready to be read from its beginning any number of times. */
interface Track {
  readonly length: number;
  /** Forget where reading was. */
  rewind(): void;
  read(from: number, target: Int16Array): number;
}

const MAX_TONE_FREQUENCIES = 8;

/** Sources one after the other, as samples for the next tick. */
export class Player {
  readonly #tracks: readonly Track[];
  #rounds: number;
  #track = 0;
  #at = 0;

  /** @param repeat times over; 0: for ever. */
  constructor(tracks: readonly Track[], repeat: number) {
    this.#tracks = tracks.filter((track) => track.length > 0);
    this.#rounds = this.#tracks.length === 0 ? 0 : repeat === 0 ? Infinity : repeat;
  }

  get finished(): boolean {
    return this.#rounds <= 0;
  }

  /** Writes the next samples; what is missing at the very end is silence. */
  fill(target: Int16Array): void {
    let filled = 0;
    while (filled < target.length && this.#rounds > 0) {
      const track = this.#tracks[this.#track] as Track;
      const read = track.read(this.#at, filled === 0 ? target : target.subarray(filled));
      filled += read;
      this.#at += read;
      if (this.#at >= track.length || read === 0) this.#next();
    }
    if (filled < target.length) target.fill(0, filled);
  }

  #next(): void {
    this.#at = 0;
    if (++this.#track < this.#tracks.length) return;
    this.#track = 0;
    this.#rounds--;
    for (const track of this.#tracks) track.rewind();
  }
}

/** Loads what is to be played. @returns why it cannot be: one bad source fails the whole. */
export async function openPlayer(spec: PlaySpec, library: ClipLibrary): Promise<Result<Player, string>> {
  const tracks: Track[] = [];
  for (const source of spec.sources) {
    const track = await openTrack(source, library);
    if (!track.ok) return track;
    tracks.push(track.value);
  }
  return ok(new Player(tracks, spec.repeat ?? 1));
}

const openTrack = async (source: PlaySource, library: ClipLibrary): Promise<Result<Track, string>> => {
  switch (source.kind) {
    case 'file': {
      const clip = await library.load(source.path);
      return clip.ok ? ok(clipTrack(clip.value)) : clip;
    }
    case 'audio': {
      const { buffer, byteOffset, byteLength } = source.wav;
      const clip = Clip.fromWav(Buffer.from(buffer, byteOffset, byteLength));
      return clip.ok ? ok(clipTrack(clip.value)) : clip;
    }
    case 'tone':
      if (source.frequenciesHz.length > MAX_TONE_FREQUENCIES) return err('a tone of more than 8 frequencies');
      return ok(toneTrack(source.frequenciesHz, samplesOf(source.durationMs)));
    case 'silence':
      return ok(silenceTrack(samplesOf(source.durationMs)));
  }
};

const samplesOf = (durationMs: number): number => Math.max(0, Math.round((durationMs * RATE) / 1000)) || 0;

const clipTrack = (clip: Clip): Track => ({
  length: clip.length,
  rewind: () => {},
  read: (from, target) => clip.read(from, target),
});

const toneTrack = (frequenciesHz: readonly number[], length: number): Track => {
  let tone: ToneGenerator = toneGenerator(frequenciesHz);
  return {
    length,
    rewind: () => {
      tone = toneGenerator(frequenciesHz);
    },
    read: (from, target) => {
      const count = Math.min(target.length, length - from);
      tone.fill(count === target.length ? target : target.subarray(0, count));
      return count;
    },
  };
};

const silenceTrack = (length: number): Track => ({
  length,
  rewind: () => {},
  read: (from, target) => {
    const count = Math.min(target.length, length - from);
    target.fill(0, 0, count);
    return count;
  },
});
