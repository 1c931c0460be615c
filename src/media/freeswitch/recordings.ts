import { access, constants } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../../kernel/index.js';
import type { RecordEnd, RecordSpec } from '../port.js';
import type { Channel } from './channel.js';
import type { EslEvent } from './fsmrf.js';
import { isPlainPath } from './names.js';

/** What the server may take to close a file and say so. */
const CLOSE_MS = 2000;

interface Recording {
  readonly recordId: string;
  readonly path: string;
  /** Why we have ended it; undefined while it runs, or when the server ends it. */
  reason: RecordEnd | undefined;
  startedMs: number;
  begun: boolean;
  timer: Timer | undefined;
}

/** The recordings of one channel, by `uuid_record`: they run beside whatever is played. */
export class Recordings {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #ended: (recordId: string, end: RecordEnd, durationMs: number) => void;
  /** By path: it is the server's name of a recording. */
  readonly #recordings = new Map<string, Recording>();
  #emptied: (() => void) | undefined;

  constructor(channel: Channel, clock: Clock, ended: (recordId: string, end: RecordEnd, durationMs: number) => void) {
    this.#channel = channel;
    this.#clock = clock;
    this.#ended = ended;
  }

  get size(): number {
    return this.#recordings.size;
  }

  /** One recording at a time; a new one ends the one before. */
  record(recordId: string, spec: RecordSpec): void {
    for (const other of this.#recordings.values()) this.#stop(other, 'stopped');
    if (!isPlainPath(spec.path) || this.#recordings.has(spec.path)) {
      queueMicrotask(() => this.#ended(recordId, 'failed', 0));
      return;
    }
    const recording: Recording = {
      ...{ recordId, path: spec.path },
      ...{ reason: undefined, startedMs: this.#clock.nowMs(), begun: false, timer: undefined },
    };
    this.#recordings.set(spec.path, recording);
    void this.#begin(recording, spec);
  }

  stop(recordId: string): void {
    for (const recording of this.#recordings.values()) {
      if (recording.recordId === recordId) this.#stop(recording, 'stopped');
    }
  }

  /** Resolves when every file is complete, or given up. */
  close(): Promise<void> {
    for (const recording of this.#recordings.values()) this.#stop(recording, 'stopped');
    if (this.#recordings.size === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#emptied = resolve));
  }

  /** The channel is gone. */
  lost(): void {
    for (const recording of [...this.#recordings.values()]) this.#end(recording, 'failed', 0);
  }

  /** The server has closed a file. */
  recorded(event: EslEvent): void {
    const recording = this.#recordings.get(event.getHeader('Record-File-Path') ?? '');
    if (recording === undefined) return;
    const measured = Number(event.getHeader('variable_record_ms') ?? Number.NaN);
    const durationMs = Number.isFinite(measured) ? measured : Math.round(this.#clock.nowMs() - recording.startedMs);
    this.#end(recording, recording.reason ?? reasonOf(event), durationMs);
  }

  async #begin(recording: Recording, spec: RecordSpec): Promise<void> {
    // The server would make the folder; the port promises that one which is missing is an error.
    const reachable = await access(dirname(spec.path), constants.X_OK).then(
      () => true,
      () => false,
    );
    const silenceMs = spec.silenceMs === undefined ? 0 : Math.max(1, Math.round(spec.silenceMs));
    const settings = [
      `RECORD_STEREO=${spec.channels === 'stereo'}`,
      'RECORD_MIN_SEC=0',
      'record_sample_rate=8000',
      `RECORD_INITIAL_TIMEOUT_MS=${silenceMs}`,
      `RECORD_FINAL_TIMEOUT_MS=${silenceMs}`,
      // Its default without a time-out is to look at each frame for nothing.
      `RECORD_SILENCE_THRESHOLD=${silenceMs === 0 ? 0 : 200}`,
    ].join(';');
    const { uuid } = this.#channel;
    const problem = reachable
      ? ((await this.#channel.command('uuid_setvar_multi', `${uuid} ${settings}`)) ??
        (await this.#channel.command('uuid_record', `${uuid} start ${spec.path}`)))
      : 'no such folder';
    if (this.#recordings.get(spec.path) !== recording) return;
    if (problem !== undefined) return this.#end(recording, 'failed', 0);
    recording.begun = true;
    recording.startedMs = this.#clock.nowMs();
    const { reason } = recording;
    if (reason !== undefined) {
      recording.reason = undefined;
      this.#stop(recording, reason);
    } else if (spec.maxMs !== undefined) {
      // The server's own limit counts whole seconds.
      recording.timer = this.#clock.setTimer('freeswitch_record_limit', spec.maxMs, () =>
        this.#stop(recording, 'max_duration'),
      );
    }
  }

  #stop(recording: Recording, reason: RecordEnd): void {
    if (recording.reason !== undefined) return;
    recording.reason = reason;
    if (!recording.begun) return;
    recording.timer?.cancel();
    recording.timer = this.#clock.setTimer('freeswitch_record_close', CLOSE_MS, () =>
      this.#end(recording, 'failed', Math.round(this.#clock.nowMs() - recording.startedMs)),
    );
    void this.#channel.api('uuid_record', `${this.#channel.uuid} stop ${recording.path}`);
  }

  #end(recording: Recording, end: RecordEnd, durationMs: number): void {
    if (this.#recordings.get(recording.path) !== recording) return;
    this.#recordings.delete(recording.path);
    recording.timer?.cancel();
    this.#ended(recording.recordId, end, durationMs);
    if (this.#recordings.size === 0) this.#emptied?.();
  }
}

/** Of a recording that the server has ended. */
const reasonOf = (event: EslEvent): RecordEnd => {
  const cause = event.getHeader('Record-Completion-Cause') ?? event.getHeader('variable_record_completion_cause') ?? '';
  if (/silence|no-input/.test(cause)) return 'silence';
  if (/maxtime/.test(cause)) return 'max_duration';
  return /fail/.test(cause) ? 'failed' : 'stopped';
};
