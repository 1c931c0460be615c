import type { Clock } from '../../kernel/index.js';
import { PATIENCE, type Patience, bounded } from './bounded.js';
import type { EslEvent, ForkOptions, FsEndpoint } from './fsmrf.js';
import { decoded } from './parserGuard.js';

export type Refusal = { readonly ok: false; readonly detail: string; readonly status: number | undefined };

/** One channel of a media server, behind a face that never throws and whose answers come in bounded time. */
export class Channel {
  readonly #endpoint: FsEndpoint;
  readonly #clock: Clock;
  readonly #patience: Patience;
  #ended = false;

  constructor(endpoint: FsEndpoint, clock: Clock, patience = PATIENCE) {
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#patience = patience;
  }

  get uuid(): string {
    return this.#endpoint.uuid;
  }

  /** The media server's own description, as of its last offer or answer. */
  get sdp(): string {
    return this.#endpoint.dialog?.remote.sdp ?? '';
  }

  /** @param ended the channel, or the connection to it, is gone. At most once, and not after `end`. */
  listen(events: {
    ended(reason: string): void;
    key(digit: string, durationMs: number, inband: boolean): void;
    playing(): void;
    recorded(event: EslEvent): void;
    forkFailed(bugname: string | undefined, detail: string): void;
  }): void {
    const endpoint = this.#endpoint;
    endpoint.on('destroy', (end) => {
      if (this.#ended) return;
      this.#ended = true;
      events.ended(end?.reason ?? 'the connection to the channel has closed');
    });
    endpoint.on('dtmf', ({ dtmf, duration, source }) => {
      const samples = Number(duration);
      events.key(dtmf, Number.isFinite(samples) ? Math.round(samples / SAMPLES_PER_MS) : 0, INBAND.test(source));
    });
    endpoint.on('playback-start', () => events.playing());
    const forkEnd = (body: unknown, event: EslEvent): void => {
      const detail = typeof body === 'string' ? body : JSON.stringify(body);
      events.forkFailed(event.getHeader('media-bugname') ?? undefined, detail.slice(0, 200));
    };
    endpoint.on('mod_audio_fork::connect_failed', forkEnd);
    // fsmrf writes them on the console; they end in `destroy` all the same.
    endpoint.conn?.removeAllListeners('error');
    // What fsmrf does not subscribe to.
    endpoint.conn?.subscribe('RECORD_STOP');
    endpoint.conn?.on(`esl::event::RECORD_STOP::${endpoint.uuid}`, (event) => events.recorded(event));
  }

  /** @returns the body of the response, or undefined when there is none in time */
  async api(command: string, args: string): Promise<string | undefined> {
    if (this.#ended) return undefined;
    const asked = await bounded(this.#clock, this.#patience.answerMs, () => this.#endpoint.api(command, args));
    return asked.ok ? (asked.value.getBody() ?? '') : undefined;
  }

  /** Commands that are answered with `+OK`. @returns why not, or undefined */
  async command(command: string, args: string): Promise<string | undefined> {
    const body = await this.api(command, args);
    if (body === undefined) return `${command}: no answer`;
    return body.startsWith('-') ? `${command}: ${body.trim()}` : undefined;
  }

  /** Runs an application of the dialplan. @param done with its last event; not called when the channel ends first */
  execute(application: string, argument: string, done: (event: EslEvent) => void): void {
    if (this.#ended) return;
    this.#endpoint.execute(application, argument).then(done, () => undefined);
  }

  /** A new description of the other party. @returns the media server's answer */
  async modify(sdp: string): Promise<{ readonly ok: true; readonly sdp: string } | Refusal> {
    const { dialog } = this.#endpoint;
    if (this.#ended || dialog === null) return { ok: false, detail: 'the channel has ended', status: undefined };
    const modified = await bounded(this.#clock, this.#patience.modifyMs, () => dialog.modify(sdp));
    return modified.ok ? { ok: true, sdp: modified.value } : { ok: false, ...modified.error };
  }

  /** @returns why not, or undefined */
  async bridge(other: Channel): Promise<string | undefined> {
    return this.#settled(() => this.#endpoint.bridge(other.uuid));
  }

  async unbridge(): Promise<string | undefined> {
    return this.#settled(() => this.#endpoint.unbridge());
  }

  async startFork(options: ForkOptions): Promise<string | undefined> {
    return this.#settled(() => this.#endpoint.forkAudioStart(options));
  }

  async stopFork(bugname: string): Promise<string | undefined> {
    return this.#settled(() => this.#endpoint.forkAudioStop(bugname));
  }

  /** The channel's variables, with what it has counted so far; undefined when there is no answer. */
  async variables(): Promise<ReadonlyMap<string, string> | undefined> {
    if ((await this.api('uuid_set_media_stats', this.uuid)) === undefined) return undefined;
    const dump = await this.api('uuid_dump', this.uuid);
    if (dump === undefined || dump.startsWith('-')) return undefined;
    const variables = new Map<string, string>();
    for (const line of dump.split('\n')) {
      const colon = line.indexOf(': ');
      if (colon > 0) variables.set(line.slice(0, colon), decoded(line.slice(colon + 2)));
    }
    return variables;
  }

  /** Audio packets that have come so far; undefined when there is no answer. */
  async packetsReceived(): Promise<number | undefined> {
    if ((await this.api('uuid_set_media_stats', this.uuid)) === undefined) return undefined;
    const count = Number(await this.api('uuid_getvar', `${this.uuid} rtp_audio_in_packet_count`));
    return Number.isFinite(count) ? count : undefined;
  }

  /** Hangs up. Nothing is heard of the channel any more. */
  async end(): Promise<void> {
    const gone = this.#ended;
    this.#ended = true;
    const { dialog } = this.#endpoint;
    if (!gone && (await bounded(this.#clock, this.#patience.hangupMs, () => this.#endpoint.destroy())).ok) return;
    // The server has not said goodbye: we do.
    if (dialog !== null) await bounded(this.#clock, this.#patience.hangupMs, () => dialog.destroy());
  }

  async #settled(work: () => Promise<unknown>): Promise<string | undefined> {
    if (this.#ended) return 'the channel has ended';
    const result = await bounded(this.#clock, this.#patience.answerMs, work);
    return result.ok ? undefined : result.error.detail;
  }
}

const SAMPLES_PER_MS = 8;
const INBAND = /inband/i;
