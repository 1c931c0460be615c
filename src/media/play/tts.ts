/** Text to speech by a program of this machine: `espeak-ng` or `flite`, where one is installed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Result, err, ok } from '../../kernel/index.js';

export interface LocalSpeechOptions {
  readonly clock: Clock;
  /** Programs to try, in this order. Default: espeak-ng, flite. */
  readonly programs?: readonly SpeechProgram[] | undefined;
  readonly timeoutMs?: number | undefined;
  /** Together, of what is kept for the next call that says the same. */
  readonly cacheBytes?: number | undefined;
}

export interface SpeechProgram {
  readonly command: string;
  /** Arguments: text comes by standard input, WAV goes into the file. */
  arguments(wavFile: string, voice: string | undefined): readonly string[];
}

const ESPEAK: SpeechProgram = {
  command: 'espeak-ng',
  arguments: (wavFile, voice) => ['-w', wavFile, ...(voice === undefined ? [] : ['-v', voice]), '--stdin'],
};
const FLITE: SpeechProgram = {
  command: 'flite',
  // Without a name of a file it reads its standard input. That by its name, /dev/stdin, cannot be opened: it is a socket.
  arguments: (wavFile, voice) => [...(voice === undefined ? [] : ['-voice', voice]), '-o', wavFile],
};

const MAX_TEXT = 4096;
const MAX_WAV_BYTES = 16 * 1024 * 1024;
const MAX_CACHE_BYTES = 32 * 1024 * 1024;
/** Programs that run at a time; more wait. */
const MAX_RUNNING = 4;
const MAX_WAITING = 64;
const TIMEOUT_MS = 10_000;

/** A voice is a name, never an option or a path. */
const VOICE = /^[A-Za-z0-9][A-Za-z0-9_+-]{0,63}$/;

type Spoken = Result<Buffer, string>;

export class LocalSpeech {
  readonly #options: LocalSpeechOptions;
  readonly #programs: readonly SpeechProgram[];
  /** What was spoken, and what is being spoken, the oldest first. */
  readonly #known = new Map<string, Buffer>();
  readonly #pending = new Map<string, Promise<Spoken>>();
  readonly #children = new Set<ChildProcess>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #bytes = 0;
  #closed = false;

  constructor(options: LocalSpeechOptions) {
    this.#options = options;
    this.#programs = options.programs ?? [ESPEAK, FLITE];
  }

  /** @returns a WAV file, or why there is none. Never rejects. */
  speak(text: string, voice: string | undefined): Promise<Spoken> {
    if (text.length > MAX_TEXT) return Promise.resolve(err(`the text is longer than ${MAX_TEXT} characters`));
    if (voice !== undefined && !VOICE.test(voice)) return Promise.resolve(err('the voice is no name'));
    const key = JSON.stringify([voice, text]);
    const known = this.#known.get(key);
    if (known !== undefined) return Promise.resolve(ok(known));
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      pending = this.#inTurn(text, voice).then((spoken) => {
        this.#pending.delete(key);
        if (spoken.ok) this.#keep(key, spoken.value);
        return spoken;
      });
      this.#pending.set(key, pending);
    }
    return pending;
  }

  /** Ends what runs; nothing can be spoken any more. */
  close(): void {
    this.#closed = true;
    for (const child of this.#children) child.kill('SIGKILL');
    for (const go of this.#waiting.splice(0)) go();
  }

  async #inTurn(text: string, voice: string | undefined): Promise<Spoken> {
    if (this.#waiting.length >= MAX_WAITING) return err('too much is being spoken at a time');
    if (this.#running >= MAX_RUNNING) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    try {
      return await this.#say(text, voice);
    } catch (error) {
      return err(error instanceof Error ? error.message : String(error));
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #say(text: string, voice: string | undefined): Promise<Spoken> {
    const folder = await mkdtemp(join(tmpdir(), 'tandem-speech-'));
    try {
      const wavFile = join(folder, 'speech.wav');
      for (const program of this.#programs) {
        if (this.#closed) return err('stopped');
        const problem = await this.#run(program.command, program.arguments(wavFile, voice), text);
        if (problem === 'ENOENT') continue;
        if (problem !== undefined) return err(`${program.command}: ${problem}`);
        // flite may fail with exit code 0.
        const wav = await readFile(wavFile).catch(() => undefined);
        if (wav === undefined) return err(`${program.command}: wrote nothing`);
        return wav.length > MAX_WAV_BYTES ? err('the speech is too long') : ok(wav);
      }
      return err(`no speech program is installed (${this.#programs.map(({ command }) => command).join(', ')})`);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** @returns what went wrong; `ENOENT` where there is no such program */
  #run(command: string, args: readonly string[], text: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      const child = spawn(command, args, { stdio: ['pipe', 'ignore', 'ignore'] });
      this.#children.add(child);
      const limit = this.#options.clock.setTimer('speech', this.#options.timeoutMs ?? TIMEOUT_MS, () => {
        child.kill('SIGKILL');
      });
      const done = (problem: string | undefined): void => {
        limit.cancel();
        this.#children.delete(child);
        resolve(problem);
      };
      child.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
      child.on('exit', (code, signal) => done(code === 0 ? undefined : `ended with ${code ?? signal}`));
      // A program that ends without reading is told by its exit.
      child.stdin.on('error', () => {});
      child.stdin.end(text, 'utf8');
    });
  }

  #keep(key: string, wav: Buffer): void {
    this.#known.set(key, wav);
    this.#bytes += wav.length;
    for (const [oldest, { length }] of this.#known) {
      if (this.#bytes <= (this.#options.cacheBytes ?? MAX_CACHE_BYTES)) break;
      this.#known.delete(oldest);
      this.#bytes -= length;
    }
  }
}
