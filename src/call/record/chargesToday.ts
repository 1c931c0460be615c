/** The charges of records of one day: for a ledger that begins anew. */
import type { Charge } from './rating.js';
import { FIRST_PLACE, JournalReader, callIdOf, segmentNames } from './segments.js';

export interface SettledCall {
  readonly callId: string;
  readonly trunkSid: string | undefined;
  readonly accountSid: string | undefined;
  readonly charge: Charge;
  /** Wall clock. */
  readonly endedMs: number;
}

const READ_BYTES = 256 * 1024;
const CHARGE = Buffer.from(',"charge":{');
const END = Buffer.from('},"decision":{');
const HEAD_BYTES = 8192;

/**
 * Charges of calls that ended on a day, in the order of their records, read in the background.
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
        const settled = settledOn(day, line);
        if (settled !== undefined) yield settled;
      }
      await pause();
    }
  } finally {
    await reader.close();
  }
}

const field = (head: string, name: string): string | undefined =>
  new RegExp(`,"${name}":"([^"\\\\]*)"`).exec(head)?.[1];

/** Most records are not of the day or cost nothing: what a line says of that is found without parsing all of it. */
const settledOn = (day: string, line: Buffer): SettledCall | undefined => {
  const from = line.indexOf(CHARGE);
  const to = from < 0 ? -1 : line.indexOf(END, from);
  const callId = callIdOf(line);
  if (to < 0 || callId === undefined) return undefined;
  const head = line.toString('utf8', 0, Math.min(from, HEAD_BYTES));
  const endedAt = field(head, 'endedAt') ?? '';
  if (!endedAt.startsWith(day)) return undefined;
  try {
    const charge = JSON.parse(line.toString('utf8', from + CHARGE.length - 1, to + 1)) as Charge;
    const [trunkSid, accountSid] = [field(head, 'trunkSid'), field(head, 'accountSid')];
    return { callId, trunkSid, accountSid, charge, endedMs: Date.parse(endedAt) };
  } catch {
    return undefined;
  }
};
