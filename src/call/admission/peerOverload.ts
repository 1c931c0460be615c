/**
 * What the next hops of our calls have told us by `oc` (RFC 7339): which part of the new calls to them we keep to
 * ourselves, so that they serve the rest. A call kept goes to the next destination, or gets 503.
 */

/** A next hop that asks to be spared, for people. */
export interface SparedGateway {
  readonly gateway: string;
  readonly lossPercent: number;
}

/** One word of a next hop's, as it came. */
export interface OverloadWord {
  /** Percent of the calls to keep from it. */
  readonly loss: number;
  readonly seq: number | undefined;
  readonly validityMs: number | undefined;
  /** The algorithm's name, in lower case. */
  readonly algo: string | undefined;
}

interface Told {
  lossPercent: number;
  untilMs: number;
  seq: number;
}

export interface PeerOverloadOptions {
  /** Uniform in [0, 1). */
  readonly roll: () => number;
  /** Called numbers that are never kept (RFC 7339 §5.10.1): emergencies. */
  readonly emergencyNumbers: readonly string[];
}

/** Next hops remembered; beyond it the one that was told of longest ago is forgotten. */
const MAX_GATEWAYS = 10_000;
/** RFC 7339 §4.4: what is said without `oc-validity` holds for so long. */
const DEFAULT_VALIDITY_MS = 500;
/** Nobody is believed for longer: a word that is lost must not silence a gateway. */
const MAX_VALIDITY_MS = 60_000;

export class PeerOverload {
  readonly #options: PeerOverloadOptions;
  readonly #emergency: ReadonlySet<string>;
  readonly #told = new Map<string, Told>();
  #kept = 0;

  constructor(options: PeerOverloadOptions) {
    this.#options = options;
    this.#emergency = new Set(options.emergencyNumbers);
  }

  /** Calls kept since the start. */
  get kept(): number {
    return this.#kept;
  }

  /**
   * A response has come with a word on its sender's load.
   * @param gateway where its request was sent, as destinations name it
   */
  heard(gateway: string, word: OverloadWord, nowMs: number): void {
    const { loss, seq = 0, algo = 'loss' } = word;
    // §4.2: an algorithm that we have not offered is none that we could obey.
    if (loss > 100 || algo !== 'loss') return;
    const known = this.#told.get(gateway);
    // §4.3: answers overtake each other; the latest word is the one with the highest number.
    if (known !== undefined && known.untilMs > nowMs && seq < known.seq) return;
    // §4.4: no time at all ends it.
    const validityMs = Math.min(word.validityMs ?? DEFAULT_VALIDITY_MS, MAX_VALIDITY_MS);
    this.#told.delete(gateway);
    if (validityMs === 0 || loss === 0) return;
    this.#told.set(gateway, { lossPercent: loss, untilMs: nowMs + validityMs, seq });
    if (this.#told.size <= MAX_GATEWAYS) return;
    for (const oldest of this.#told.keys()) return void this.#told.delete(oldest);
  }

  /** Whether a new call to this next hop is to be kept from it. Rolls for each call (§5.10: loss is a share). */
  keeps(gateway: string, calledNumber: string, nowMs: number): boolean {
    if (this.#told.size === 0) return false;
    const told = this.#told.get(gateway);
    if (told === undefined) return false;
    if (told.untilMs <= nowMs) {
      this.#told.delete(gateway);
      return false;
    }
    if (this.#emergency.has(calledNumber) || this.#options.roll() * 100 >= told.lossPercent) return false;
    this.#kept++;
    return true;
  }

  /** Those that ask to be spared now. */
  dump(nowMs: number): SparedGateway[] {
    const spared: SparedGateway[] = [];
    for (const [gateway, { lossPercent, untilMs }] of this.#told)
      if (untilMs > nowMs) spared.push({ gateway, lossPercent });
    return spared;
  }
}
