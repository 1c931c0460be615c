/** What becomes of silent streams: those that we dialled are kept alive where that is wanted, those of no use close. */
import type { Clock, Timer } from '../../kernel/index.js';
import type { StreamPeer } from './streamPeer.js';

export interface UpkeepSettings {
  /** 0: silent streams stay. */
  readonly idleMs: number;
  /** 0: no keep-alives. */
  readonly keepAliveMs: number;
}

/** RFC 5626 §4.4.1: a pong that has not come by then does not come. */
const PONG_MS = 10_000;
const MAX_LOOK_MS = 10_000;
const MIN_LOOK_MS = 250;

/** Looks at all streams now and then, and only while there are any: no stream has a timer of its own for this. */
export class StreamUpkeep {
  readonly #clock: Clock;
  readonly #settings: UpkeepSettings;
  readonly #streams: ReadonlySet<StreamPeer>;
  readonly #lookMs: number;
  #timer: Timer | undefined;

  constructor(clock: Clock, settings: UpkeepSettings, streams: ReadonlySet<StreamPeer>) {
    this.#clock = clock;
    this.#settings = settings;
    this.#streams = streams;
    const shortest = Math.min(settings.idleMs || Infinity, settings.keepAliveMs || Infinity);
    this.#lookMs = shortest === Infinity ? 0 : Math.max(MIN_LOOK_MS, Math.min(MAX_LOOK_MS, shortest / 4));
  }

  /** There is a stream. */
  begin(): void {
    if (this.#lookMs === 0 || this.#timer !== undefined) return;
    this.#timer = this.#clock.setTimer('stream_upkeep', this.#lookMs, () => this.#look());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.nowMs();
    for (const peer of [...this.#streams]) {
      if (this.#isIdle(peer, nowMs)) peer.close();
      else if (this.#settings.keepAliveMs > 0 && !peer.accepted) this.#keepAlive(peer, nowMs);
    }
    if (this.#streams.size > 0) this.begin();
  }

  /** Its own keep-alives speak for a client's connection, ours do not speak for one that we dialled. */
  #isIdle(peer: StreamPeer, nowMs: number): boolean {
    const { idleMs } = this.#settings;
    const lastMs = peer.accepted ? peer.heardMs : peer.activeMs;
    return idleMs > 0 && nowMs - lastMs >= idleMs && !peer.isNeeded;
  }

  #keepAlive(peer: StreamPeer, nowMs: number): void {
    const { pingedMs } = peer;
    if (pingedMs !== undefined && peer.heardMs > pingedMs) {
      peer.answersPings = true;
      peer.pingedMs = undefined;
    } else if (pingedMs !== undefined) {
      if (nowMs - pingedMs < PONG_MS) return;
      // Who never answered one may not know RFC 5626; who did has gone.
      if (peer.answersPings) return peer.close();
      peer.pingedMs = undefined;
    } else if (nowMs - peer.heardMs >= this.#settings.keepAliveMs) peer.ping(nowMs);
  }
}
