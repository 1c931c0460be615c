import type { PhoneNumber } from '../call/routing/resources.js';

/** What a number without a name, dates or an id of its own is: shared by all numbers that are set alike. */
class NumberProfile {
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

const MAX_ALIKE = 32;

const SHARED = new Set(['phone_number', 'trunk_sid', 'mode', 'flow', 'carrier', 'status']);

const isPlain = (number: PhoneNumber, key: number): boolean => {
  for (const name in number) if (!SHARED.has(name)) return false;
  return number.phone_number === `+${key}`;
};

/** Makes entries: one profile for all numbers of a load that are set alike. */
export class NumberPacker {
  /** By trunk: the numbers of one are set in few ways. */
  readonly #profiles = new Map<string, NumberProfile[]>();
  #last: NumberProfile | undefined;

  pack(number: PhoneNumber, key: number): NumberEntry {
    if (!isPlain(number, key)) return number;
    if (this.#last?.fits(number) === true) return this.#last;
    let ofTrunk = this.#profiles.get(number.trunk_sid);
    if (ofTrunk === undefined) this.#profiles.set(number.trunk_sid, (ofTrunk = []));
    let profile = ofTrunk.find((one) => one.fits(number));
    if (profile === undefined) {
      profile = new NumberProfile(number);
      // Where they are set in many ways, looking for one alike would cost more than it saves.
      if (ofTrunk.length < MAX_ALIKE) ofTrunk.push(profile);
    }
    return (this.#last = profile);
  }
}

export const unpackNumber = (entry: NumberEntry, key: number): PhoneNumber =>
  entry instanceof NumberProfile ? entry.numberOf(key) : entry;
