/** Watches the load of this node and says, call by call, which may still come in. */
import type { Clock, LoadProbe, Timer } from '../../kernel/index.js';
import { type OverloadSettings, type OverloadState, NO_OVERLOAD, nextOverload } from './overload.js';

export interface OverloadGuardOptions {
  readonly clock: Clock;
  readonly probe: LoadProbe;
  readonly settings: OverloadSettings;
  /** Called numbers that are let in whatever the load. */
  readonly emergencyNumbers: readonly string[];
  /** Whether overload control applies to a sender at all: those that nobody lists are refused at less cost. */
  readonly isListed: (address: string) => boolean;
  readonly onChange: (change: OverloadChange) => void;
}

/** Overload control began or ended. */
export interface OverloadChange {
  readonly on: boolean;
  /** New calls a second that are let in. */
  readonly limitPerS: number;
  /** New calls refused since it began. */
  readonly refused: number;
}

const PERIOD_MS = 100;
/** Calls that may come in at once, as time of the limit's rate. */
const BURST_S = 0.1;
const LEAST_BURST = 5;
/** RFC 5031: emergency services, however they are reached. */
const EMERGENCY_URN = 'urn:service:sos';

export class OverloadGuard {
  /** True while calls are refused: the only thing that is asked of each message otherwise. */
  active = false;
  /** Called beside the answers, for those who tell peers by `oc` (RFC 7339): share of new calls refused, 0 to 100. */
  lossPercent = 0;
  readonly #options: OverloadGuardOptions;
  readonly #exempt: ReadonlySet<string>;
  #state: OverloadState = NO_OVERLOAD;
  #tokens = 0;
  #filledMs = 0;
  #sampledMs: number;
  #offered = 0;
  #admitted = 0;
  #refusedTotal = 0;
  #refusedBefore = 0;
  #timer: Timer | undefined;

  constructor(options: OverloadGuardOptions) {
    this.#options = options;
    this.#exempt = new Set(options.emergencyNumbers);
    this.#sampledMs = options.clock.nowMs();
    this.#arm();
  }

  /** A new call that was let in without being asked for, as nothing was limited. */
  counted(): void {
    this.#offered++;
    this.#admitted++;
  }

  /**
   * Whether a new call may come in; takes a place if so. Asked only while `active`.
   * @param uri Request-URI
   */
  admits(address: string, uri: string): boolean {
    if (!this.#options.isListed(address)) return true;
    this.#offered++;
    const nowMs = this.#options.clock.nowMs();
    const { limit } = this.#state;
    const most = Math.max(LEAST_BURST, BURST_S * limit);
    this.#tokens = Math.min(most, this.#tokens + (limit * (nowMs - this.#filledMs)) / 1000);
    this.#filledMs = nowMs;
    if (this.#tokens < 1 && !this.#isEmergency(uri)) {
      this.#refusedTotal++;
      return false;
    }
    this.#tokens--;
    this.#admitted++;
    return true;
  }

  /**
   * Seconds. Short, and not the same for all: a peer that believes it sends nothing at all meanwhile (RFC 3261 §21.5.4),
   * and all that do so would come back together (RFC 6357 §5.2).
   */
  get retryAfterS(): number {
    return 1 + (this.#refusedTotal % 3);
  }

  dump(): { readonly busy: number; readonly limitPerS: number; readonly refused: number } {
    return { busy: this.#state.busy, limitPerS: this.#state.limit, refused: this.#refusedTotal };
  }

  close(): void {
    this.#timer?.cancel();
    this.active = false;
  }

  #isEmergency(uri: string): boolean {
    if (uri.toLowerCase().startsWith(EMERGENCY_URN)) return true;
    if (this.#exempt.size === 0) return false;
    const colon = uri.indexOf(':');
    const at = uri.indexOf('@');
    return this.#exempt.has(
      at < 0 ? uri.slice(colon + 1).split(';', 1)[0]! : uri.slice(colon + 1, at).split(';', 1)[0]!,
    );
  }

  #arm(): void {
    this.#timer = this.#options.clock.setTimer('overload_sample', PERIOD_MS, () => {
      this.#arm();
      this.#sample();
    });
  }

  #sample(): void {
    const { clock, probe, settings } = this.#options;
    const nowMs = clock.nowMs();
    const [offered, admitted] = [this.#offered, this.#admitted];
    const sample = { periodMs: nowMs - this.#sampledMs, busy: probe.busy(), offered, admitted };
    this.#sampledMs = nowMs;
    this.#offered = this.#admitted = 0;
    this.#state = nextOverload(this.#state, sample, settings);
    const on = this.#state.limit !== Infinity;
    this.lossPercent = on && offered > 0 ? Math.round((100 * (offered - admitted)) / offered) : 0;
    if (on === this.active) return;
    this.active = on;
    if (on) {
      this.#tokens = LEAST_BURST;
      this.#filledMs = nowMs;
      this.#refusedBefore = this.#refusedTotal;
    }
    const limitPerS = on ? this.#state.limit : 0;
    this.#options.onChange({ on, limitPerS, refused: this.#refusedTotal - this.#refusedBefore });
  }
}
