/** The session descriptions of a call's legs, kept so that one of them can be offered to somebody else. */
import type { Leg } from '../../signal/port.js';

/** Longer ones are not kept: the leg is asked for an offer instead. */
const MAX_BYTES = 8192;

export class Described {
  #legs: readonly Leg[] = [];
  /** As byte strings: a buffer would keep the whole packet that it came in. */
  #texts: readonly string[] = [];

  /** The latest description of a leg; without a body nothing changes. */
  keep(leg: Leg, body: Buffer | undefined): void {
    if (body === undefined || body.length === 0 || body.length > MAX_BYTES) return;
    const at = this.#legs.indexOf(leg);
    const text = body.toString('latin1');
    // Replaced, not grown: arrays that grow make room for sixteen.
    if (at >= 0) this.#texts = this.#texts.with(at, text);
    else {
      this.#legs = [...this.#legs, leg];
      this.#texts = [...this.#texts, text];
    }
  }

  of(leg: Leg): string | undefined {
    return this.#texts[this.#legs.indexOf(leg)];
  }
}
