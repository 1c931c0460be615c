import type { Clock, Random } from '../../kernel/index.js';
import type {
  Described,
  EndpointEvents,
  EndpointSpec,
  MediaEndpoint,
  MediaProblem,
  MediaQuality,
  PlaySpec,
  RecordSpec,
  StreamReport,
  StreamSpec,
} from '../port.js';
import type { NegotiatedAudio } from '../sdp/description.js';
import { sdpProblem } from '../sdp/description.js';
import type { BotStream, BotStreamDeps, OpenBotStream } from '../stream/port.js';
import type { Channel } from './channel.js';
import { ForkStream } from './forkStream.js';
import type { LegDescription } from './legDescription.js';
import { keysOf } from './names.js';
import { Playback } from './playback.js';
import { qualityOf } from './quality.js';
import { Recordings } from './recordings.js';
import type { AudioRelay } from './relay.js';
import type { ServerLink } from './serverLink.js';
import { SilenceWatch } from './silenceWatch.js';

export interface FreeswitchWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly scratchPath: string;
  readonly openStream: OpenBotStream;
  readonly streamDeps: BotStreamDeps;
  readonly report: (message: string, detail: object) => void;
}

/** Where an endpoint lives. */
export interface EndpointPlace {
  readonly id: string;
  readonly callId: string;
  readonly link: ServerLink;
  readonly relay: AudioRelay;
  readonly channel: Channel;
  readonly legs: LegDescription;
}

type BotStop = Parameters<BotStream['stop']>[0];

const DIGIT_MS = 160;
const NO_QUALITY: MediaQuality = qualityOf(new Map());

const gone = (): Described => ({
  ok: false,
  problem: sdpProblem('engine_down', 'the endpoint is closed or its media server is down'),
});

/** One leg on a media server. */
export class FreeswitchEndpoint implements MediaEndpoint {
  readonly id: string;
  readonly place: EndpointPlace;
  readonly #world: FreeswitchWorld;
  readonly #events: EndpointEvents;
  readonly #onClosed: (endpoint: FreeswitchEndpoint) => void;
  readonly #playback: Playback;
  readonly #recordings: Recordings;
  readonly #streams = new Map<string, ForkStream>();
  readonly #watch: SilenceWatch | undefined;
  #bridged: FreeswitchEndpoint | undefined;
  #begun = 0;
  #failed = false;
  #closed = false;
  #closing: Promise<MediaQuality> | undefined;
  /** Offers and answers one after the other. */
  #exchange: Promise<unknown> = Promise.resolve();

  constructor(
    place: EndpointPlace,
    world: FreeswitchWorld,
    spec: EndpointSpec,
    told: { events: EndpointEvents; onClosed: (endpoint: FreeswitchEndpoint) => void },
  ) {
    this.id = place.id;
    this.place = place;
    this.#world = world;
    this.#events = told.events;
    this.#onClosed = told.onClosed;
    const { channel } = place;
    const { clock } = world;
    this.#playback = new Playback(channel, world, (id, end, detail) => {
      if (!this.#closed) told.events.onPlayEnded(id, end, detail);
    });
    this.#recordings = new Recordings(channel, clock, (id, end, durationMs) => {
      if (!this.#closed) told.events.onRecordEnded(id, end, durationMs);
    });
    if (spec.mediaTimeoutMs !== undefined && spec.mediaTimeoutMs > 0) {
      this.#watch = new SilenceWatch(clock, spec.mediaTimeoutMs, {
        count: () => channel.packetsReceived(),
        silent: () => {
          if (this.#usable) told.events.onMediaTimeout();
        },
      });
    }
    channel.listen({
      ended: (reason) => this.fail(sdpProblem('engine_down', `the media server has ended the channel: ${reason}`)),
      key: (digit, durationMs, inband) => this.#pressed(digit, durationMs, inband),
      playing: () => this.#playback.begun(),
      recorded: (event) => this.#recordings.recorded(event),
      forkFailed: (bugname, detail) => this.#forkFailed(bugname, detail),
    });
  }

  /** Readies the channel. @param negotiated undefined: the peer has still to answer */
  async prepare(negotiated: NegotiatedAudio | undefined): Promise<void> {
    const { channel } = this.place;
    // No key ends a play; a bridge that ends leaves either side in place.
    const settings = 'playback_terminators=none;park_after_bridge=true;hangup_after_bridge=false';
    await channel.command('uuid_setvar_multi', `${channel.uuid} ${settings}`);
    this.#settled(negotiated);
  }

  answerOffer(offer: Buffer): Promise<Described> {
    return this.#inTurn(async () => {
      const { legs } = this.place;
      const tried = legs.tryOffer(offer);
      if (!tried.ok) return { ok: false, problem: tried.error };
      const problem = await this.#tellServer(tried.value);
      if (problem !== undefined) return { ok: false, problem };
      const answered = legs.answerOffer(offer);
      return answered.ok ? { ok: true, sdp: answered.value } : { ok: false, problem: answered.error };
    });
  }

  makeOffer(): Promise<Described> {
    return this.#inTurn(() => {
      const offer = this.place.legs.makeOffer();
      return Promise.resolve(offer.ok ? { ok: true, sdp: offer.value } : { ok: false, problem: offer.error });
    });
  }

  acceptAnswer(answer: Buffer): Promise<Described> {
    return this.#inTurn(async () => {
      const { legs } = this.place;
      const accepted = legs.acceptAnswer(answer);
      if (!accepted.ok) return { ok: false, problem: accepted.error };
      const problem = await this.#tellServer(accepted.value);
      return problem === undefined ? { ok: true, sdp: legs.sdp } : { ok: false, problem };
    });
  }

  play(spec: PlaySpec): string {
    const playId = this.#nextId('play');
    if (this.#usable) this.#playback.play(playId, spec);
    else this.#refuse(() => this.#events.onPlayEnded(playId, 'failed', 'engine_down'));
    return playId;
  }

  stopPlay(playId: string): void {
    if (this.#usable) this.#playback.stop(playId);
  }

  record(spec: RecordSpec): string {
    const recordId = this.#nextId('record');
    if (this.#usable) this.#recordings.record(recordId, spec);
    else this.#refuse(() => this.#events.onRecordEnded(recordId, 'failed', 0));
    return recordId;
  }

  stopRecord(recordId: string): void {
    if (this.#usable) this.#recordings.stop(recordId);
  }

  startStream(spec: StreamSpec): string {
    const streamId = this.#nextId('stream');
    if (this.#usable) this.#openStream(streamId, spec);
    else this.#refuse(() => this.#events.onStreamEnded(streamId, lostStream(spec.streamSid)));
    return streamId;
  }

  stopStream(streamId: string, reason: BotStop = 'stopped'): void {
    this.#streams.get(streamId)?.stop(reason);
  }

  sendDtmf(digits: string): void {
    const keys = keysOf(digits);
    if (!this.#usable || keys === '') return;
    const { channel } = this.place;
    void channel.api('uuid_send_dtmf', `${channel.uuid} ${keys}@${DIGIT_MS}`);
  }

  injectDtmf(digit: string, durationMs: number): void {
    for (const stream of this.#streams.values()) stream.dtmf(digit, durationMs);
  }

  /** Both channels must be on one media server, as those of one call are. What they play ends. */
  bridge(other: MediaEndpoint): void {
    if (!(other instanceof FreeswitchEndpoint) || other === this || !this.#usable || !other.#usable) return;
    const { report } = this.#world;
    if (other.place.link !== this.place.link) {
      const servers = [this.place.link.name, other.place.link.name];
      return report('channels of different media servers cannot be bridged', { callId: this.place.callId, servers });
    }
    for (const [one, peer] of [
      [this, other],
      [other, this],
    ] as const) {
      one.#playback.stop();
      if (one.#bridged !== undefined) one.#bridged.#bridged = undefined;
      one.#bridged = peer;
    }
    void this.place.channel.bridge(other.place.channel).then((problem) => {
      if (problem !== undefined) report('a bridge failed', { callId: this.place.callId, detail: problem });
    });
  }

  unbridge(): void {
    const peer = this.#bridged;
    if (!this.#usable || peer === undefined) return;
    this.#bridged = peer.#bridged = undefined;
    void this.place.channel.unbridge();
  }

  async quality(): Promise<MediaQuality> {
    const variables = this.#usable ? await this.place.channel.variables() : undefined;
    return variables === undefined ? NO_QUALITY : qualityOf(variables);
  }

  close(): Promise<MediaQuality> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Its media server is lost. */
  fail(problem: MediaProblem): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#watch?.stop();
    this.#playback.lost();
    this.#recordings.lost();
    for (const stream of [...this.#streams.values()]) stream.fail('engine_down');
    this.#unbind();
    if (this.#closing === undefined) this.#events.onFailed(problem);
  }

  dump(): object {
    return {
      callId: this.place.callId,
      server: this.place.link.name,
      channel: this.place.channel.uuid,
      playing: this.#playback.active,
      recordings: this.#recordings.size,
      streams: [...this.#streams.values()].map((stream) => stream.dump()),
      bridged: this.#bridged !== undefined,
    };
  }

  get failed(): boolean {
    return this.#failed;
  }

  get #usable(): boolean {
    return !this.#failed && this.#closing === undefined;
  }

  #nextId(task: string): string {
    return `${this.id}.${task}${++this.#begun}`;
  }

  /** Something that must end in an event although it cannot begin: not within the call. */
  #refuse(tell: () => void): void {
    queueMicrotask(() => {
      if (!this.#closed) tell();
    });
  }

  #inTurn(work: () => Promise<Described>): Promise<Described> {
    const turn = this.#exchange.then(() => (this.#usable ? work() : gone()));
    this.#exchange = turn;
    return turn;
  }

  async #tellServer(negotiated: NegotiatedAudio): Promise<MediaProblem | undefined> {
    const { legs, channel } = this.place;
    const sdp = legs.forServer(negotiated);
    if (sdp !== undefined) {
      const modified = await channel.modify(sdp);
      if (!modified.ok) {
        legs.forget();
        const code = modified.status === 488 ? 'no_common_codec' : 'engine_down';
        return sdpProblem(code, `the media server refuses the description: ${modified.detail}`);
      }
      const problem = legs.locate(modified.sdp, negotiated);
      if (problem !== undefined) return problem;
    }
    this.#settled(negotiated);
    return undefined;
  }

  #settled(negotiated: NegotiatedAudio | undefined): void {
    this.#watch?.expect(negotiated?.receives ?? false);
    // Keys that have no way of their own are in the audio.
    if (negotiated === undefined || negotiated.receiveEvents !== undefined || this.#listensForTones) return;
    this.#listensForTones = true;
    this.place.channel.execute('start_dtmf', '', () => undefined);
  }

  #listensForTones = false;

  #pressed(digit: string, durationMs: number, inband: boolean): void {
    if (!this.#usable) return;
    this.injectDtmf(digit, durationMs);
    this.#events.onDtmf(digit, durationMs, inband ? 'inband' : 'rfc4733');
  }

  #openStream(streamId: string, spec: StreamSpec): void {
    const { clock, openStream, streamDeps } = this.#world;
    const { relay, link, channel } = this.place;
    const host = link.place.advertisedAddress ?? link.place.listenAddress;
    const hasEar = (): boolean => !this.#playback.active && this.#speaker() === streamId;
    const deps = { clock, relay, host, openStream, streamDeps, hasEar };
    const stream = new ForkStream({ name: streamId, spec }, channel, deps, {
      onStarted: () => this.#events.onStreamStarted(streamId),
      onEnded: (report) => {
        this.#streams.delete(streamId);
        if (!this.#closed) this.#events.onStreamEnded(streamId, report);
      },
      onSendDtmf: (digits) => this.sendDtmf(digits),
    });
    this.#streams.set(streamId, stream);
  }

  /** The newest bot has the caller's ear. */
  #speaker(): string | undefined {
    let newest: string | undefined;
    for (const [streamId, stream] of this.#streams) if (stream.speaks) newest = streamId;
    return newest;
  }

  /** The public module does not say which of several forks it means: then the relay's own limit finds out. */
  #forkFailed(bugname: string | undefined, detail: string): void {
    const stream =
      this.#streams.get(bugname ?? '') ?? (this.#streams.size === 1 ? [...this.#streams.values()][0] : undefined);
    stream?.fail(`the media server cannot reach us: ${detail}`);
  }

  #unbind(): void {
    if (this.#bridged !== undefined) this.#bridged.#bridged = undefined;
    this.#bridged = undefined;
  }

  async #close(): Promise<MediaQuality> {
    // Its caller still has to learn of this promise.
    await Promise.resolve();
    const { channel } = this.place;
    let quality = NO_QUALITY;
    this.#watch?.stop();
    if (!this.#failed) {
      this.#playback.stop();
      for (const stream of [...this.#streams.values()]) stream.stop('callended');
      const [variables] = await Promise.all([channel.variables(), this.#recordings.close()]);
      if (variables !== undefined) quality = qualityOf(variables);
    }
    this.#unbind();
    this.#closed = true;
    this.#playback.lost();
    await channel.end();
    this.#onClosed(this);
    return quality;
  }
}

const lostStream = (streamSid: string): StreamReport => ({
  ...{ streamSid, disconnectedBy: 'NA', status: 'failed', detail: 'engine_down' },
  ...{ durationMs: 0, framesSent: 0, framesReceived: 0 },
});
