/**
 * A media port whose endpoints the test drives. SDP is text that says who made it: an endpoint answers `offer` with
 * `m1 answers [offer]`, offers `m1 offer 1`, and knows the answers that it was given. What the application asks of an
 * endpoint is a line: `m1 play tone`, `m1 bridge m2`. Breaches of the port's rules are collected in `breaches`.
 */
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
} from '../../src/media/port.js';

export const QUALITY: MediaQuality = {
  packetsReceived: 100,
  packetsSent: 100,
  packetsLost: 1,
  packetsLate: 0,
  packetsRejected: 0,
  jitterMs: 2,
  roundTripMs: null,
  mos: 4.4,
  codec: 'PCMA',
};

const problem = (code: MediaProblem['code'], sipStatus: number): MediaProblem => ({ code, message: code, sipStatus });

export class FakeEndpoint implements MediaEndpoint {
  readonly id: string;
  readonly spec: EndpointSpec;
  readonly events: EndpointEvents;
  readonly plays = new Map<string, PlaySpec>();
  readonly records = new Map<string, RecordSpec>();
  readonly streams = new Map<string, StreamSpec>();
  readonly answers: string[] = [];
  peer: FakeEndpoint | undefined;
  closed = false;
  /** Refuses the next offer or answer with this. */
  refuses: MediaProblem | undefined;
  readonly #media: FakeMedia;
  #offers = 0;
  #next = 0;

  constructor(media: FakeMedia, id: string, spec: EndpointSpec, events: EndpointEvents) {
    this.#media = media;
    this.id = id;
    this.spec = spec;
    this.events = events;
  }

  answerOffer(offer: Buffer): Promise<Described> {
    this.#say(`answers [${offer.toString()}]`);
    return this.#describe(`${this.id} answers [${offer.toString()}]`);
  }

  makeOffer(): Promise<Described> {
    return this.#describe(`${this.id} offer ${++this.#offers}`);
  }

  acceptAnswer(answer: Buffer): Promise<Described> {
    this.answers.push(answer.toString());
    return this.#describe(`${this.id} accepted`);
  }

  play(spec: PlaySpec): string {
    const [replaced] = this.plays.keys();
    if (replaced !== undefined) queueMicrotask(() => this.playEnds('stopped', replaced));
    const kinds = spec.sources.map((source) => source.kind).join('+');
    this.#say(`play ${kinds}${spec.repeat === 0 ? ' for ever' : ''}`);
    return this.#begin('play', this.plays, spec);
  }

  stopPlay(id: string): void {
    this.#say('stopPlay');
    queueMicrotask(() => this.playEnds('stopped', id));
  }

  record(spec: RecordSpec): string {
    this.#say(`record ${spec.channels}`);
    return this.#begin('record', this.records, spec);
  }

  stopRecord(id: string): void {
    this.#say('stopRecord');
    queueMicrotask(() => this.recordEnds('stopped', id));
  }

  startStream(spec: StreamSpec): string {
    this.#say(`stream ${spec.direction} ${spec.url}`);
    return this.#begin('stream', this.streams, spec);
  }

  stopStream(id: string, reason: StreamStop): void {
    this.#say(reason === 'stopped' ? 'stopStream' : `stopStream ${reason}`);
    queueMicrotask(() => this.streamEnds({ disconnectedBy: 'user' }, id));
  }

  sendDtmf(digits: string): void {
    this.#say(`dtmf ${digits}`);
  }

  injectDtmf(digit: string): void {
    this.#say(`inject ${digit}`);
  }

  bridge(other: MediaEndpoint): void {
    this.peer = other as FakeEndpoint;
    this.#say(`bridge ${other.id}`);
  }

  unbridge(): void {
    this.peer = undefined;
    this.#say('unbridge');
  }

  quality(): Promise<MediaQuality> {
    return Promise.resolve(QUALITY);
  }

  close(): Promise<MediaQuality> {
    if (!this.closed) this.#say('close');
    this.closed = true;
    return this.#media.hangsOnClose ? new Promise(() => {}) : Promise.resolve(QUALITY);
  }

  // ------------------------------------------------------------------ what happens in it

  presses(digits: string): void {
    for (const digit of digits) if (!this.closed) this.events.onDtmf(digit, 100, 'rfc4733');
  }

  playEnds(end: PlayEnd = 'finished', id = [...this.plays.keys()][0] ?? ''): void {
    if (this.plays.delete(id) && !this.closed) this.events.onPlayEnded(id, end, end === 'failed' ? 'no such file' : '');
  }

  recordEnds(end: RecordEnd = 'silence', id = [...this.records.keys()][0] ?? ''): void {
    if (this.records.delete(id) && !this.closed) this.events.onRecordEnded(id, end, 2000);
  }

  streamStarts(id = [...this.streams.keys()][0] ?? ''): void {
    if (this.streams.has(id) && !this.closed) this.events.onStreamStarted(id);
  }

  streamEnds(report: Partial<StreamReport> = {}, id = [...this.streams.keys()][0] ?? ''): void {
    const spec = this.streams.get(id);
    if (spec === undefined || this.closed) return;
    this.streams.delete(id);
    const full: StreamReport = {
      streamSid: spec.streamSid,
      disconnectedBy: 'bot',
      status: 'completed',
      detail: '',
      durationMs: 3000,
      framesSent: 150,
      framesReceived: 150,
      ...report,
    };
    this.events.onStreamEnded(id, full);
  }

  /** The worker under it died: what runs has failed. */
  fails(): void {
    for (const id of [...this.plays.keys()]) this.playEnds('failed', id);
    for (const id of [...this.records.keys()]) this.recordEnds('failed', id);
    for (const id of [...this.streams.keys()]) this.streamEnds({ status: 'failed', disconnectedBy: 'NA' }, id);
    if (!this.closed) this.events.onFailed(problem('engine_down', 503));
  }

  #begin<Spec>(kind: string, into: Map<string, Spec>, spec: Spec): string {
    if (this.closed) this.#media.breaches.push(`${this.id}: ${kind} after close`);
    const id = `${this.id}.${kind}${++this.#next}`;
    into.set(id, spec);
    return id;
  }

  #describe(sdp: string): Promise<Described> {
    const { refuses } = this;
    this.refuses = undefined;
    if (this.closed || this.#media.down) return Promise.resolve({ ok: false, problem: problem('engine_down', 503) });
    return Promise.resolve(
      refuses === undefined ? { ok: true, sdp: Buffer.from(sdp) } : { ok: false, problem: refuses },
    );
  }

  #say(line: string): void {
    this.#media.log.push(`${this.id} ${line}`);
  }
}

export class FakeMedia implements MediaPort {
  readonly log: string[] = [];
  readonly breaches: string[] = [];
  readonly endpoints: FakeEndpoint[] = [];
  /** No endpoint can be opened, none answers. */
  down = false;
  /** Endpoints never confirm that they are closed. */
  hangsOnClose = false;
  /** Refuses the next endpoint. */
  refuses: MediaProblem | undefined;

  start(): Promise<void> {
    return Promise.resolve();
  }

  async open(
    spec: EndpointSpec,
    events: EndpointEvents,
  ): Promise<{ ok: true; endpoint: FakeEndpoint; sdp: Buffer } | { ok: false; problem: MediaProblem }> {
    const { refuses } = this;
    this.refuses = undefined;
    if (this.down) return { ok: false, problem: problem('engine_down', 503) };
    if (refuses !== undefined) return { ok: false, problem: refuses };
    const endpoint = new FakeEndpoint(this, `m${this.endpoints.length + 1}`, spec, events);
    this.endpoints.push(endpoint);
    const described = spec.offer === undefined ? await endpoint.makeOffer() : await endpoint.answerOffer(spec.offer);
    return described.ok ? { ok: true, endpoint, sdp: described.sdp } : described;
  }

  /** The latest endpoint that is open. */
  get last(): FakeEndpoint {
    const endpoint = this.endpoints.findLast((one) => !one.closed);
    if (endpoint === undefined) throw new Error('no endpoint is open');
    return endpoint;
  }

  /** What is left of it; empty when all is well. */
  leftovers(): string[] {
    const open = this.endpoints.filter((one) => !one.closed).map((one) => `endpoint ${one.id} is open`);
    return [...this.breaches, ...open];
  }

  dump(): Promise<object> {
    return Promise.resolve({ endpoints: this.endpoints.length });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}
