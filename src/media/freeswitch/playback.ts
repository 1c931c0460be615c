import { rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Random, Timer } from '../../kernel/index.js';
import { parseWav } from '../codec/wav.js';
import type { PlayEnd, PlaySource, PlaySpec } from '../port.js';
import type { Channel } from './channel.js';
import type { EslEvent } from './fsmrf.js';
import { isPlainPath, silenceName, toneName } from './names.js';

/** A break that is asked for before the server has begun to play is not kept, or taken for the next file's. */
const BREAK_AGAIN_MS = 500;
const MOST_BREAKS = 4;
/** Sources that take no time, over and over, are none. */
const SHORTEST_ROUND_MS = 5;

interface Playing {
  readonly playId: string;
  readonly repeat: number;
  names: readonly string[];
  at: number;
  round: number;
  roundBeganMs: number;
  readonly files: string[];
}

export interface PlaybackDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Folder for audio that is in memory; the media server reads it by the same path. */
  readonly scratchPath: string;
}

/**
 * Plays on one channel, a file at a time: the next one is ordered when the server has done with the one before. A play
 * that is stopped ends for the application at once, whatever the server takes to fall silent.
 */
export class Playback {
  readonly #channel: Channel;
  readonly #deps: PlaybackDeps;
  readonly #ended: (playId: string, end: PlayEnd, detail: string) => void;
  #current: Playing | undefined;
  /** What the server is at, which may be of a play that is over. */
  #running: { begun: boolean; unwanted: boolean; breaks: number; timer: Timer | undefined } | undefined;
  #closed = false;

  constructor(channel: Channel, deps: PlaybackDeps, ended: (playId: string, end: PlayEnd, detail: string) => void) {
    this.#channel = channel;
    this.#deps = deps;
    this.#ended = ended;
  }

  get active(): boolean {
    return this.#current !== undefined;
  }

  play(playId: string, spec: PlaySpec): void {
    this.stop();
    const repeat = spec.repeat ?? 1;
    const playing: Playing = { playId, repeat, names: [], at: 0, round: 0, roundBeganMs: 0, files: [] };
    this.#current = playing;
    void this.#prepare(playing, spec).then((problem) => {
      if (this.#current !== playing) return this.#discard(playing);
      if (problem !== undefined) return this.#end('failed', problem);
      if (playing.names.length === 0) return this.#end('finished', 'nothing to play');
      this.#step();
    });
  }

  /** @param playId absent: whatever plays */
  stop(playId?: string): void {
    const current = this.#current;
    if (current === undefined || (playId !== undefined && current.playId !== playId)) return;
    this.#end('stopped', '');
    const running = this.#running;
    if (running === undefined || running.unwanted) return;
    running.unwanted = true;
    if (running.begun) this.#break();
  }

  /** The channel is gone. */
  lost(): void {
    this.#closed = true;
    this.#running?.timer?.cancel();
    this.#running = undefined;
    this.#end('failed', 'engine_down');
  }

  /** The server has begun to play. */
  begun(): void {
    const running = this.#running;
    if (running === undefined || running.begun) return;
    running.begun = true;
    if (running.unwanted) this.#break();
  }

  /** @returns what is wrong */
  async #prepare(playing: Playing, spec: PlaySpec): Promise<string | undefined> {
    const names: string[] = [];
    const [only] = spec.sources;
    if (spec.sources.length === 1 && only?.kind === 'tone') {
      // Without a gap between the rounds.
      const name = toneName(only, Math.max(0, Math.round(playing.repeat)));
      playing.names = name === undefined ? [] : [name];
      playing.round = Math.max(0, playing.repeat - 1);
      return undefined;
    }
    for (const source of spec.sources) {
      const name = await this.#nameOf(source, playing);
      if (typeof name === 'object') return name.problem;
      if (name !== undefined) names.push(name);
    }
    playing.names = names;
    return undefined;
  }

  async #nameOf(source: PlaySource, playing: Playing): Promise<string | undefined | { problem: string }> {
    switch (source.kind) {
      case 'tone':
        return toneName(source, 1);
      case 'silence':
        return silenceName(source.durationMs);
      case 'file': {
        if (!isPlainPath(source.path))
          return { problem: `${source.path}: a path that FreeSWITCH would read otherwise` };
        const there = await stat(source.path).catch((error: unknown) => String(error));
        return typeof there === 'string' ? { problem: there } : source.path;
      }
      case 'audio': {
        const wav = parseWav(source.wav);
        if (!wav.ok) return { problem: `the audio is no WAV file: ${wav.error}` };
        const path = join(this.#deps.scratchPath, `${this.#deps.random.hex(16)}.wav`);
        playing.files.push(path);
        const written = await writeFile(path, source.wav, { flag: 'wx' }).catch((error: unknown) => String(error));
        return typeof written === 'string' ? { problem: written } : path;
      }
    }
  }

  #step(): void {
    const playing = this.#current;
    if (playing === undefined || this.#running !== undefined || this.#closed || playing.names.length === 0) return;
    if (playing.at === 0) playing.roundBeganMs = this.#deps.clock.nowMs();
    const running = { begun: false, unwanted: false, breaks: 0, timer: undefined };
    this.#running = running;
    this.#channel.execute('playback', playing.names[playing.at] as string, (event) => {
      if (this.#running !== running) return;
      this.#running?.timer?.cancel();
      this.#running = undefined;
      if (this.#current === playing) this.#played(playing, event);
      else this.#step();
    });
  }

  #played(playing: Playing, event: EslEvent): void {
    const response = event.getHeader('Application-Response') ?? '';
    if (/NOT FOUND|ERROR/.test(response)) {
      const name = playing.names[playing.at] as string;
      return this.#end('failed', `${name}: ${response === 'FILE NOT FOUND' ? 'no such file' : response}`);
    }
    if (++playing.at === playing.names.length) {
      playing.at = 0;
      playing.round++;
      if (playing.repeat > 0 && playing.round >= playing.repeat) return this.#end('finished', '');
      if (this.#deps.clock.nowMs() - playing.roundBeganMs < SHORTEST_ROUND_MS) {
        return this.#end('finished', 'nothing to play');
      }
    }
    this.#step();
  }

  #break(): void {
    const running = this.#running;
    if (running === undefined || running.breaks >= MOST_BREAKS) return;
    running.breaks++;
    void this.#channel.api('uuid_break', this.#channel.uuid);
    running.timer = this.#deps.clock.setTimer('freeswitch_break', BREAK_AGAIN_MS, () => {
      if (this.#running === running) this.#break();
    });
  }

  #end(end: PlayEnd, detail: string): void {
    const playing = this.#current;
    if (playing === undefined) return;
    this.#current = undefined;
    this.#discard(playing);
    this.#ended(playing.playId, end, detail);
  }

  #discard(playing: Playing): void {
    for (const file of playing.files.splice(0)) void rm(file, { force: true }).catch(() => undefined);
  }
}
