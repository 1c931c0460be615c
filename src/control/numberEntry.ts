import type { PhoneNumber } from '../call/routing/resources.js';

/** What a number without a name, dates or an id of its own is: shared by all numbers that are set alike. */
export class NumberProfile {
  readonly trunk_sid: string;
  readonly mode: PhoneNumber['mode'];
  readonly flow: string | undefined;
  readonly carrier: string | undefined;
  readonly status: PhoneNumber['status'];

  constructor(number: PhoneNumber) {
    this.trunk_sid = number.trunk_sid;
    this.mode = number.mode;
    this.flow = number.flow;
    this.carrier = number.carrier;
    this.status = number.status;
  }

  fits(number: PhoneNumber): boolean {
    return (
      this.trunk_sid === number.trunk_sid &&
      this.mode === number.mode &&
      this.flow === number.flow &&
      this.carrier === number.carrier &&
      this.status === number.status
    );
  }

  numberOf(key: number): PhoneNumber {
    const { trunk_sid, mode, flow, carrier, status } = this;
    return {
      phone_number: `+${key}`,
      trunk_sid,
      mode,
      ...(flow === undefined ? {} : { flow }),
      ...(carrier === undefined ? {} : { carrier }),
      ...(status === undefined ? {} : { status }),
    };
  }
}

export type NumberEntry = NumberProfile | PhoneNumber;

const SHARED = new Set(['phone_number', 'trunk_sid', 'mode', 'flow', 'carrier', 'status']);

const isPlain = (number: PhoneNumber, key: number): boolean => {
  for (const name in number) if (!SHARED.has(name)) return false;
  return number.phone_number === `+${key}`;
};

/** Makes entries: one profile for all numbers of a load that are set alike. */
export class NumberPacker {
  readonly #profiles = new Map<string, NumberProfile>();
  #last: NumberProfile | undefined;

  pack(number: PhoneNumber, key: number): NumberEntry {
    if (!isPlain(number, key)) return number;
    if (this.#last?.fits(number) === true) return this.#last;
    const { trunk_sid, mode, flow, carrier, status } = number;
    const name = JSON.stringify([trunk_sid, mode, flow, carrier, status]);
    let profile = this.#profiles.get(name);
    if (profile === undefined) this.#profiles.set(name, (profile = new NumberProfile(number)));
    return (this.#last = profile);
  }
}

export const unpackNumber = (entry: NumberEntry, key: number): PhoneNumber =>
  entry instanceof NumberProfile ? entry.numberOf(key) : entry;
