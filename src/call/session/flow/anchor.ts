/** One party's audio in the media plane: an endpoint, and what runs in it under the flow's own names. */
import type {
  Described,
  EndpointEvents,
  EndpointSpec,
  MediaEndpoint,
  MediaPort,
  MediaProblem,
  MediaQuality,
  PlayEnd,
  PlaySpec,
  RecordEnd,
  RecordSpec,
  StreamReport,
  StreamSpec,
  StreamStop,
} from '../../../media/port.js';

/** Hears of what was started, by the ids that it was started with. Nothing follows `close`. */
export interface AnchorSink {
  onKey(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void;
  onPlayEnded(playId: string, end: PlayEnd, detail: string): void;
  onRecordEnded(recordId: string, end: RecordEnd, durationMs: number): void;
  onStreamStarted(streamId: string): void;
  onStreamEnded(streamId: string, report: StreamReport): void;
  /** The endpoint is of no more use; close it. */
  onMediaLost(detail: string): void;
}

type Kind = 'play' | 'record' | 'stream';

export class Anchor implements EndpointEvents {
  /** What the peer was last told; empty before. */
  localSdp: Buffer = Buffer.alloc(0);
  readonly #sink: AnchorSink;
  readonly #names = new Map<string, string>();
  readonly #ids = new Map<string, string>();
  #endpoint: MediaEndpoint | undefined;
  #streams = 0;
  #whenStreamsEnd: (() => void) | undefined;
  #closing: Promise<MediaQuality | null> | undefined;

  constructor(sink: AnchorSink) {
    this.#sink = sink;
  }

  get endpoint(): MediaEndpoint | undefined {
    return this.#endpoint;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Opens the endpoint: resolves to the answer to `spec.offer`, or to an offer of ours. At most once. */
  async open(media: MediaPort, spec: EndpointSpec): Promise<Described> {
    const opened = await media.open(spec, this);
    if (!opened.ok) return opened;
    if (this.closed) {
      await opened.endpoint.close();
      return { ok: false, problem: GONE };
    }
    this.#endpoint = opened.endpoint;
    this.localSdp = opened.sdp;
    return { ok: true, sdp: opened.sdp };
  }

  async answerOffer(offer: Buffer): Promise<Described> {
    return this.#described(await this.#endpoint?.answerOffer(offer));
  }

  async makeOffer(): Promise<Described> {
    return this.#described(await this.#endpoint?.makeOffer());
  }

  async acceptAnswer(answer: Buffer): Promise<Described> {
    return (await this.#endpoint?.acceptAnswer(answer)) ?? { ok: false, problem: GONE };
  }

  play(playId: string, spec: PlaySpec): void {
    this.#started('play', playId, this.#endpoint?.play(spec));
  }

  stopPlay(playId: string): void {
    this.#stop('play', playId, (endpoint, id) => endpoint.stopPlay(id));
  }

  record(recordId: string, spec: RecordSpec): void {
    this.#started('record', recordId, this.#endpoint?.record(spec));
  }

  stopRecord(recordId: string): void {
    this.#stop('record', recordId, (endpoint, id) => endpoint.stopRecord(id));
  }

  startStream(streamId: string, spec: StreamSpec): void {
    if (this.#started('stream', streamId, this.#endpoint?.startStream(spec))) this.#streams++;
  }

  stopStream(streamId: string, reason: StreamStop): void {
    this.#stop('stream', streamId, (endpoint, id) => endpoint.stopStream(id, reason));
  }

  /** Stops all streams. Resolves when none runs any more: their reports come only while the endpoint is open. */
  endStreams(): Promise<void> {
    if (this.#streams === 0 || this.closed) return Promise.resolve();
    const ended = new Promise<void>((resolve) => (this.#whenStreamsEnd = resolve));
    for (const key of [...this.#ids.keys()])
      if (key.startsWith('stream ')) this.stopStream(key.slice('stream '.length), 'callended');
    return ended;
  }

  /** Ends all that runs here. @returns what the audio was like; null where there was none */
  close(): Promise<MediaQuality | null> {
    this.#whenStreamsEnd?.();
    return (this.#closing ??= this.#endpoint === undefined ? Promise.resolve(null) : this.#endpoint.close());
  }

  // What the endpoint tells.

  onDtmf(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void {
    if (!this.closed) this.#sink.onKey(digit, durationMs, by);
  }

  onPlayEnded(id: string, end: PlayEnd, detail: string): void {
    const playId = this.#ended('play', id);
    if (playId === undefined) return;
    this.#tell(end === 'failed', () => this.#sink.onPlayEnded(playId, end, detail));
  }

  onRecordEnded(id: string, end: RecordEnd, durationMs: number): void {
    const recordId = this.#ended('record', id);
    if (recordId === undefined) return;
    this.#tell(end === 'failed', () => this.#sink.onRecordEnded(recordId, end, durationMs));
  }

  onStreamStarted(id: string): void {
    const streamId = this.#names.get(`stream ${id}`);
    if (streamId !== undefined && !this.closed) this.#sink.onStreamStarted(streamId);
  }

  onStreamEnded(id: string, report: StreamReport): void {
    const streamId = this.#ended('stream', id);
    if (streamId === undefined) return;
    if (--this.#streams === 0) this.#whenStreamsEnd?.();
    // Its report is wanted for the record, whatever became of the endpoint.
    if (report.status === 'failed') queueMicrotask(() => this.#sink.onStreamEnded(streamId, report));
    else this.#sink.onStreamEnded(streamId, report);
  }

  onMediaTimeout(): void {
    if (!this.closed) this.#sink.onMediaLost('nothing was heard for too long');
  }

  onFailed(problem: MediaProblem): void {
    if (!this.closed) this.#sink.onMediaLost(problem.message);
  }

  dump(): object {
    return { endpoint: this.#endpoint?.id ?? null, running: [...this.#ids.keys()] };
  }

  #described(described: Described | undefined): Described {
    if (described === undefined) return { ok: false, problem: GONE };
    if (described.ok) this.localSdp = described.sdp;
    return described;
  }

  #started(kind: Kind, name: string, id: string | undefined): boolean {
    if (id === undefined || this.closed) return false;
    this.#names.set(`${kind} ${id}`, name);
    this.#ids.set(`${kind} ${name}`, id);
    return true;
  }

  /** An engine that dies ends first what ran in it and says so last: whoever goes on needs to know that first. */
  #tell(failed: boolean, tell: () => void): void {
    if (!failed) return tell();
    queueMicrotask(() => {
      if (!this.closed) tell();
    });
  }

  #stop(kind: Kind, name: string, stop: (endpoint: MediaEndpoint, id: string) => void): void {
    const id = this.#ids.get(`${kind} ${name}`);
    if (id !== undefined && this.#endpoint !== undefined && !this.closed) stop(this.#endpoint, id);
  }

  #ended(kind: Kind, id: string): string | undefined {
    const name = this.#names.get(`${kind} ${id}`);
    // The report of a stream may be the last thing that is heard of a closing endpoint.
    if (name === undefined || (this.closed && kind !== 'stream')) return undefined;
    this.#names.delete(`${kind} ${id}`);
    this.#ids.delete(`${kind} ${name}`);
    return name;
  }
}

const GONE: MediaProblem = { code: 'engine_down', message: 'the endpoint is closed', sipStatus: 503 };
