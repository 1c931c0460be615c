/** From the id that a client names to the number that has it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PhoneNumber } from '../../call/routing/resources.js';
import type { Directory } from '../../control/index.js';
import { numberId } from './data.js';

/** Ids derived between pauses: a few milliseconds. */
const SLICE = 1000;
/** Answers that are remembered: clients name ids that they were told a moment ago. */
const MAX_REMEMBERED = 10_000;

/**
 * Numbers written by hand have ids that are derived, and a trunk may have a million of them: looking for one is cut into
 * slices, so that packets go on meanwhile.
 */
export class NumberIds {
  readonly #remembered = new Map<string, string>();

  /** The trunk's number with this id. @param directory of any revision: check again in the one that is changed */
  async find(directory: Directory, trunkSid: string, id: string): Promise<PhoneNumber | undefined> {
    const remembered = this.#remembered.get(id);
    const likely = remembered === undefined ? undefined : numberWithId(directory, remembered, { trunkSid, id });
    if (likely !== undefined) return likely;
    let looked = 0;
    for (const number of directory.numbersOf(trunkSid)) {
      if (numberId(number) === id) return this.remember(number);
      if (++looked % SLICE === 0) await nextTurn();
    }
    return undefined;
  }

  /** To be told of numbers whose ids clients see. */
  remember(number: PhoneNumber): PhoneNumber {
    const oldest = this.#remembered.size < MAX_REMEMBERED ? undefined : this.#remembered.keys().next().value;
    if (oldest !== undefined) this.#remembered.delete(oldest);
    this.#remembered.set(numberId(number), number.phone_number);
    return number;
  }
}

/** The number, if it still is the trunk's and has this id. */
export const numberWithId = (
  directory: Directory,
  e164: string,
  { trunkSid, id }: { readonly trunkSid: string; readonly id: string },
): PhoneNumber | undefined => {
  const number = directory.number(e164);
  return number?.trunk_sid === trunkSid && numberId(number) === id ? number : undefined;
};
