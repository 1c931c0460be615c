import type {
  Described,
  EndpointEvents,
  MediaEndpoint,
  MediaProblem,
  MediaQuality,
  PlaySpec,
  RecordSpec,
  StreamReport,
  StreamSpec,
  StreamStop,
} from '../port.js';
import type { DescribedReply, EndpointEvent, Order, Question, Reply } from './protocol.js';
import type { WorkerProxy } from './workerProxy.js';

export const NO_QUALITY: MediaQuality = {
  packetsReceived: 0,
  packetsSent: 0,
  packetsLost: 0,
  packetsLate: 0,
  packetsRejected: 0,
  jitterMs: 0,
  roundTripMs: null,
  mos: 1,
  codec: '',
};

export const engineDown = (message: string): MediaProblem => ({ code: 'engine_down', message, sipStatus: 503 });

export interface ProxyHome {
  /** The endpoint lets go of its port and its place on the worker. */
  onClosed(endpoint: ProxyEndpoint): void;
  bridge(one: ProxyEndpoint, other: ProxyEndpoint): void;
}

type Task = 'play' | 'record' | 'stream';

/**
 * The main thread's half of an endpoint. It keeps the promise that every command which starts something ends in one
 * event, even when the worker with the other half is gone.
 */
export class ProxyEndpoint implements MediaEndpoint {
  readonly id: string;
  readonly worker: WorkerProxy;
  readonly rtpPort: number;
  readonly callId: string;
  /** The application has it. */
  established = false;
  readonly #events: EndpointEvents;
  readonly #home: ProxyHome;
  /** Begun and not ended. */
  readonly #tasks = new Map<string, Task>();
  #streamSids = new Map<string, string>();
  #tasksBegun = 0;
  #failed = false;
  #closed = false;
  #closing: Promise<MediaQuality> | undefined;

  constructor(
    place: { id: string; callId: string; worker: WorkerProxy; rtpPort: number },
    events: EndpointEvents,
    home: ProxyHome,
  ) {
    this.id = place.id;
    this.callId = place.callId;
    this.worker = place.worker;
    this.rtpPort = place.rtpPort;
    this.#events = events;
    this.#home = home;
  }

  answerOffer(offer: Buffer): Promise<Described> {
    return this.#describe({ op: 'answerOffer', id: this.id, offer: Uint8Array.from(offer) });
  }

  makeOffer(): Promise<Described> {
    return this.#describe({ op: 'makeOffer', id: this.id });
  }

  acceptAnswer(answer: Buffer): Promise<Described> {
    return this.#describe({ op: 'acceptAnswer', id: this.id, answer: Uint8Array.from(answer) });
  }

  play(spec: PlaySpec): string {
    const playId = this.#begin('play');
    this.#order(playId, { op: 'play', id: this.id, playId, spec: copyOf(spec) });
    return playId;
  }

  stopPlay(playId: string): void {
    this.#tell({ op: 'stopPlay', id: this.id, playId });
  }

  record(spec: RecordSpec): string {
    const recordId = this.#begin('record');
    this.#order(recordId, { op: 'record', id: this.id, recordId, spec });
    return recordId;
  }

  stopRecord(recordId: string): void {
    this.#tell({ op: 'stopRecord', id: this.id, recordId });
  }

  startStream(spec: StreamSpec): string {
    const streamId = this.#begin('stream');
    this.#streamSids.set(streamId, spec.streamSid);
    this.#order(streamId, { op: 'startStream', id: this.id, streamId, spec });
    return streamId;
  }

  stopStream(streamId: string, reason: StreamStop): void {
    this.#tell({ op: 'stopStream', id: this.id, streamId, reason });
  }

  sendDtmf(digits: string): void {
    this.#tell({ op: 'sendDtmf', id: this.id, digits });
  }

  injectDtmf(digit: string, durationMs: number): void {
    this.#tell({ op: 'injectDtmf', id: this.id, digit, durationMs });
  }

  bridge(other: MediaEndpoint): void {
    if (other instanceof ProxyEndpoint && other !== this && this.#usable && other.#usable)
      this.#home.bridge(this, other);
  }

  unbridge(): void {
    this.#tell({ op: 'unbridge', id: this.id });
  }

  async quality(): Promise<MediaQuality> {
    return qualityOf(this.#usable ? await this.worker.ask({ op: 'quality', id: this.id }) : undefined);
  }

  close(): Promise<MediaQuality> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The worker's half says something. */
  deliver(event: EndpointEvent): void {
    if (this.#closed) return;
    const events = this.#events;
    switch (event.on) {
      case 'dtmf':
        return events.onDtmf(event.digit, event.durationMs, event.by);
      case 'playEnded':
        if (this.#tasks.delete(event.playId)) events.onPlayEnded(event.playId, event.end, event.detail);
        return;
      case 'recordEnded':
        if (this.#tasks.delete(event.recordId)) events.onRecordEnded(event.recordId, event.end, event.durationMs);
        return;
      case 'streamStarted':
        if (this.#tasks.has(event.streamId)) events.onStreamStarted(event.streamId);
        return;
      case 'streamEnded':
        if (this.#tasks.delete(event.streamId)) events.onStreamEnded(event.streamId, event.report);
        return;
      case 'mediaTimeout':
        return events.onMediaTimeout();
      case 'failed':
        return this.fail(event.problem);
    }
  }

  /** The worker's half is gone: what it was doing has failed. */
  fail(problem: MediaProblem): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#endTasks();
    if (this.#closing === undefined) this.#events.onFailed(problem);
  }

  get #usable(): boolean {
    return !this.#failed && this.#closing === undefined;
  }

  #begin(task: Task): string {
    const taskId = `${this.id}.${task}${++this.#tasksBegun}`;
    this.#tasks.set(taskId, task);
    return taskId;
  }

  /** Something that ends in an event. Where nothing can be done any more it ends at once, but not within the call. */
  #order(taskId: string, order: Order): void {
    if (this.#usable) this.worker.tell(order);
    else if (!this.#closed) queueMicrotask(() => this.#endTask(taskId));
  }

  #tell(order: Order): void {
    if (this.#usable) this.worker.tell(order);
  }

  async #describe(question: Question): Promise<Described> {
    const reply = this.#usable ? ((await this.worker.ask(question)) as DescribedReply | undefined) : undefined;
    if (reply === undefined) return { ok: false, problem: engineDown('the endpoint is closed or its engine is down') };
    return reply.ok ? { ok: true, sdp: Buffer.from(reply.sdp) } : reply;
  }

  async #close(): Promise<MediaQuality> {
    const reply = this.#failed ? undefined : await this.worker.ask({ op: 'close', id: this.id });
    this.#endTasks();
    this.#closed = true;
    this.#home.onClosed(this);
    return qualityOf(reply);
  }

  #endTasks(): void {
    for (const taskId of [...this.#tasks.keys()]) this.#endTask(taskId);
  }

  #endTask(taskId: string): void {
    const task = this.#tasks.get(taskId);
    this.#tasks.delete(taskId);
    if (task === 'play') this.#events.onPlayEnded(taskId, 'failed', 'engine_down');
    else if (task === 'record') this.#events.onRecordEnded(taskId, 'failed', 0);
    else if (task === 'stream') this.#events.onStreamEnded(taskId, this.#lostStream(taskId));
  }

  #lostStream(streamId: string): StreamReport {
    const streamSid = this.#streamSids.get(streamId) ?? '';
    const counts = { durationMs: 0, framesSent: 0, framesReceived: 0 };
    return { streamSid, disconnectedBy: 'NA', status: 'failed', detail: 'engine_down', ...counts };
  }
}

const qualityOf = (reply: Reply | undefined): MediaQuality =>
  reply !== undefined && 'mos' in reply ? reply : NO_QUALITY;

/** A Buffer is often a small view of a large pool, all of which would be copied to the worker. */
const copyOf = (spec: PlaySpec): PlaySpec => ({
  ...spec,
  sources: spec.sources.map((source) =>
    source.kind === 'audio' ? { kind: 'audio', wav: Uint8Array.from(source.wav) as Buffer } : source,
  ),
});
