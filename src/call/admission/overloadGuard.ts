/** What overload control knows of this node: whom it concerns, how many were let in and refused, whether it is at work. */
import { type Clock, type LoadProbe, type Timer, atEndOfTurn } from '../../kernel/index.js';

export interface OverloadGuardOptions {
  readonly clock: Clock;
  readonly probe: LoadProbe;
  /** Longest wait of a new call while they queue, in milliseconds. */
  readonly targetMs: number;
  /** Called numbers that are let in whatever the load. */
  readonly emergencyNumbers: readonly string[];
  /** Whether overload control applies to a sender at all: those that nobody lists are refused at less cost. */
  readonly isListed: (address: string) => boolean;
  readonly onChange: (change: OverloadChange) => void;
  /** Default: of the event loop. */
  readonly atEndOfTurn?: (done: () => void) => void;
}

/** Overload control began or ended. */
export interface OverloadChange {
  readonly on: boolean;
  /** New calls refused since it began. */
  readonly refused: number;
}

export interface OverloadDump {
  /** Share of the last second or more in which the thread worked, 0 to 1. */
  readonly busy: number;
  readonly active: boolean;
  /** New calls refused since the start. */
  readonly refused: number;
}

/** What peers are told (RFC 7339) is the share of so long. */
const WINDOW_MS = 500;
/** It is over when nobody was refused for so long. */
const CALM_MS = 1000;
/** How busy the thread is is said anew after so long. */
const BUSY_MS = 1000;
/** RFC 5031: emergency services, however they are reached. */
const EMERGENCY_URN = 'urn:service:sos';

export class OverloadGuard {
  readonly targetMs: number;
  readonly atEndOfTurn: (done: () => void) => void;
  /** Share of new calls refused lately, 0 to 100. */
  lossPercent = 0;
  readonly #options: OverloadGuardOptions;
  readonly #exempt: ReadonlySet<string>;
  #letInCount = 0;
  #refusedCount = 0;
  #refusedTotal = 0;
  #refusedBefore = 0;
  #calmMs = 0;
  #busy = 0;
  #busyMs = -Infinity;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: OverloadGuardOptions) {
    this.#options = options;
    this.targetMs = options.targetMs;
    this.atEndOfTurn = options.atEndOfTurn ?? atEndOfTurn;
    this.#exempt = new Set(options.emergencyNumbers);
  }

  /** From the first refusal until a second after the last. */
  get active(): boolean {
    return this.#timer !== undefined;
  }

  /** @param uri Request-URI */
  isExempt(address: string, uri: string): boolean {
    return this.#isEmergency(uri) || !this.#options.isListed(address);
  }

  letIn(): void {
    this.#letInCount++;
  }

  refused(): void {
    this.#refusedCount++;
    this.#refusedTotal++;
    if (this.#timer !== undefined || this.#isClosed) return;
    this.#refusedBefore = this.#refusedTotal - 1;
    // What was let in before says nothing about now.
    this.#letInCount = this.#calmMs = 0;
    this.#arm();
    this.#options.onChange({ on: true, refused: 0 });
  }

  /**
   * Seconds. Short, and not the same for all: a peer that believes it sends nothing at all meanwhile (RFC 3261 §21.5.4),
   * and all that do so would come back together (RFC 6357 §5.2).
   */
  get retryAfterS(): number {
    return 1 + (this.#refusedTotal % 3);
  }

  dump(): OverloadDump {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs - this.#busyMs >= BUSY_MS) {
      this.#busy = this.#options.probe.busy();
      this.#busyMs = nowMs;
    }
    return { busy: this.#busy, active: this.active, refused: this.#refusedTotal };
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
  }

  #stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
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
    this.#timer = this.#options.clock.setTimer('overload_window', WINDOW_MS, () => {
      this.#arm();
      this.#look();
    });
  }

  #look(): void {
    const [letIn, refused] = [this.#letInCount, this.#refusedCount];
    this.#letInCount = this.#refusedCount = 0;
    this.lossPercent = refused === 0 ? 0 : Math.round((100 * refused) / (letIn + refused));
    this.#calmMs = refused === 0 ? this.#calmMs + WINDOW_MS : 0;
    if (this.#calmMs < CALM_MS) return;
    this.#stop();
    this.#options.onChange({ on: false, refused: this.#refusedTotal - this.#refusedBefore });
  }
}
