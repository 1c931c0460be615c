import type { AudioFormat } from './description.js';

/** RFC 3551 §3: for whoever needs one in a session. */
const FIRST_DYNAMIC = 96;
const LAST_DYNAMIC = 127;
const STATIC: { readonly [name: string]: number } = { 'PCMU/8000': 0, 'PCMA/8000': 8 };

/** `L16/16000`: what a payload type stands for. */
export const formatName = (format: Pick<AudioFormat, 'encoding' | 'clockRate'>): string =>
  `${format.encoding}/${format.clockRate}`;

/** The payload types of one session: one that was mapped keeps its meaning as long as it lasts (RFC 3264 §8.3.2). */
export class PayloadTypes {
  readonly #byName = new Map<string, number>();
  /** Those that the peer uses for something, ours or not. */
  readonly #taken = new Set<number>();

  /** @param eventsType of telephone events, unless the peer has one for them */
  constructor(eventsType: number) {
    this.#keep('TELEPHONE-EVENT/8000', eventsType);
  }

  /** The type that we offer a format with. */
  of(name: string): number {
    const known = this.#byName.get(name) ?? STATIC[name];
    if (known !== undefined) return known;
    let type = FIRST_DYNAMIC;
    while (type < LAST_DYNAMIC && this.#taken.has(type)) type++;
    this.#keep(name, type);
    return type;
  }

  /** What the peer's offer maps. */
  learn(formats: readonly AudioFormat[]): void {
    // Of several types for one format the first counts, as it does for the answer.
    for (const format of formats.toReversed()) this.#keep(formatName(format), format.payloadType);
  }

  #keep(name: string, type: number): void {
    this.#byName.set(name, type);
    this.#taken.add(type);
  }
}
