/** What a flow wants played, made into what the media plane plays: URLs fetched, texts spoken, files kept in their folder. */
import { resolve, sep } from 'node:path';
import type { PlaySource } from '../../../media/port.js';
import type { FlowSource } from '../../flow/effects.js';
import type { FlowPlane } from './world.js';

/** Of a WAV file behind a URL: four minutes of 16 bit stereo at 8 kHz. */
const MAX_AUDIO_BYTES = 8 * 1024 * 1024;
const AUDIO_TIMEOUT_MS = 10_000;

export type SoundProblem = 'play_failed' | 'speech_failed';

export type Sounds =
  | { readonly ok: true; readonly sources: readonly PlaySource[] }
  | { readonly ok: false; readonly code: SoundProblem; readonly detail: string };

/** Answers in the order asked, all or nothing. Never rejects. */
export async function soundsOf(
  sources: readonly FlowSource[],
  plane: FlowPlane,
  fetchWav: (url: string) => Promise<Buffer | string>,
): Promise<Sounds> {
  const ready: PlaySource[] = [];
  for (const source of sources) {
    const sound = await soundOf(source, plane, fetchWav);
    if (typeof sound === 'string') {
      return { ok: false, code: source.kind === 'text' ? 'speech_failed' : 'play_failed', detail: sound };
    }
    ready.push(sound);
  }
  return { ok: true, sources: ready };
}

/** @returns the sound, or what is wrong with it */
async function soundOf(
  source: FlowSource,
  plane: FlowPlane,
  fetchWav: (url: string) => Promise<Buffer | string>,
): Promise<PlaySource | string> {
  switch (source.kind) {
    case 'tone':
    case 'silence':
      return source;
    case 'file':
      return fileOf(source.path, plane.settings.soundsPath);
    case 'url': {
      const wav = await fetchWav(source.url);
      return typeof wav === 'string' ? wav : { kind: 'audio', wav };
    }
    case 'text': {
      const spoken = await plane.speech.speak(source.text, source.voice);
      return spoken.ok ? { kind: 'audio', wav: spoken.value } : spoken.error;
    }
  }
}

/** A flow's author names files of the sounds folder, and no other of this machine. */
function fileOf(path: string, folder: string): PlaySource | string {
  const base = resolve(folder);
  const full = resolve(base, path);
  return full.startsWith(base + sep) ? { kind: 'file', path: full } : `${path} is outside the sounds folder`;
}

/** Fetches a WAV file. @returns its bytes, or why there are none */
export const wavFetcher =
  (plane: FlowPlane, track: (fetch: { cancel(): void }) => void) =>
  (url: string): Promise<Buffer | string> =>
    new Promise((done) => {
      const ask = { method: 'GET', url, query: [], headers: [], whole: true } as const;
      const limits = { timeoutMs: AUDIO_TIMEOUT_MS, maxBytes: MAX_AUDIO_BYTES };
      track(
        plane.http.fetch({ ...ask, ...limits }, (answer) => {
          if (!answer.ok) done(answer.reason);
          else if (answer.status !== 200) done(`the server answered ${answer.status}`);
          else done(answer.body);
        }),
      );
    });
