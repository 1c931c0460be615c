/** The charges of records of one day: for a ledger that begins anew. */
import type { DialRecord } from './dialRecord.js';
import type { Charge } from './rating.js';
import { FIRST_PLACE, JournalReader, callIdOf, segmentNames } from './segments.js';

/** What a call cost, or a dial of its flow. */
export interface SettledCall {
  readonly callId: string;
  readonly trunkSid: string | undefined;
  readonly accountSid: string | undefined;
  readonly charge: Charge;
  /** Wall clock. */
  readonly endedMs: number;
}

const READ_BYTES = 256 * 1024;
const CHARGE = Buffer.from(',"charge":');
/** Nothing of what the charge and those of the dials are made of has this name. */
const END = Buffer.from(',"decision":{');
const FREE = Buffer.from(',"charge":null,"decision":{');
const HEAD_BYTES = 8192;

/**
 * Charges of calls that ended on a day, and of their flows' dials, in the order of their records, read in the background.
 * @param day UTC, `2026-11-22`
 * @param pause lets everything else run; awaited after each piece of a millisecond or so
 */
export async function* chargesOf(folder: string, day: string, pause: () => Promise<void>): AsyncGenerator<SettledCall> {
  const closed = (await segmentNames(folder)).filter((name) => name < `cdr.${day}`);
  const reader = new JournalReader(folder, { ...FIRST_PLACE, after: closed.at(-1) ?? '' });
  try {
    for (;;) {
      const { lines } = await reader.next(READ_BYTES);
      if (lines.length === 0) return;
      for (const line of lines) {
        yield* settledOn(day, line);
      }
      await pause();
    }
  } finally {
    await reader.close();
  }
}

interface Charged {
  readonly charge: Charge | null;
  readonly dials?: readonly DialRecord[];
}

const isFree = (line: Buffer, from: number): boolean => line.subarray(from, from + FREE.length).equals(FREE);

const field = (head: string, name: string): string | undefined =>
  new RegExp(`,"${name}":"([^"\\\\]*)"`).exec(head)?.[1];

/** Most records are not of the day or cost nothing: what a line says of that is found without parsing all of it. */
const settledOn = (day: string, line: Buffer): SettledCall[] => {
  const from = line.indexOf(CHARGE);
  const to = from < 0 ? -1 : line.indexOf(END, from);
  const callId = callIdOf(line);
  if (to < 0 || callId === undefined || isFree(line, from)) return [];
  const head = line.toString('utf8', 0, Math.min(from, HEAD_BYTES));
  const endedAt = field(head, 'endedAt') ?? '';
  if (!endedAt.startsWith(day)) return [];
  try {
    const { charge, dials = [] } = JSON.parse(`{${line.toString('utf8', from + 1, to)}}`) as Charged;
    const [trunkSid, accountSid] = [field(head, 'trunkSid'), field(head, 'accountSid')];
    const endedMs = Date.parse(endedAt);
    const charges = [charge, ...dials.map((dial) => dial.charge)].filter((one) => one !== null);
    return charges.map((one) => ({ callId, trunkSid, accountSid, charge: one, endedMs }));
  } catch {
    return [];
  }
};
