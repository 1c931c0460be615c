/** Records as lines of CSV (RFC 4180), for spreadsheets that must not take a number for a formula. */
import { amountOf } from '../rating.js';
import type { CallRecord } from '../cdr.js';

/** Records of older versions have no charge at all. */
const chargedAmount = (record: Partial<CallRecord>): string | null =>
  record.charge === undefined || record.charge === null ? null : amountOf(record.charge.micros);

/** Of the dials of its flow, one for each currency; a spreadsheet that adds up one currency finds a bare number. */
const dialSums = ({ dials = [] }: CallRecord): Map<string, number> => {
  const sums = new Map<string, number>();
  for (const { charge } of dials) {
    if (charge !== null) sums.set(charge.currency, (sums.get(charge.currency) ?? 0) + charge.micros);
  }
  return sums;
};

const listed = (values: Iterable<string | number>): string | number | null => {
  const [first = null, ...more] = values;
  return more.length === 0 ? first : [first, ...more].join(';');
};

const COLUMNS: readonly (readonly [name: string, value: (record: CallRecord) => string | number | null])[] = [
  ['callId', (r) => r.callId],
  ['startedAt', (r) => r.startedAt],
  ['answeredAt', (r) => r.answeredAt],
  ['endedAt', (r) => r.endedAt],
  ['direction', (r) => r.direction],
  ['accountSid', (r) => r.accountSid],
  ['trunkSid', (r) => r.trunkSid],
  ['carrierId', (r) => r.carrierId],
  ['caller', (r) => r.callerE164 ?? r.callerReceived],
  ['called', (r) => r.calledE164 ?? r.calledReceived],
  ['outcome', (r) => r.outcome],
  ['endedBy', (r) => r.endedBy],
  ['sipStatus', (r) => r.sipStatus],
  ['reasonCode', (r) => r.reasonCode],
  ['setupMs', (r) => r.setupMs],
  ['talkMs', (r) => r.talkMs],
  ['billedSeconds', (r) => r.charge?.billedSeconds ?? null],
  ['amount', (r) => chargedAmount(r)],
  ['currency', (r) => r.charge?.currency ?? null],
  ['networkGroup', (r) => r.charge?.networkGroup ?? null],
  ['dial_charge_micros', (r) => listed(dialSums(r).values())],
  ['dial_currency', (r) => listed(dialSums(r).keys())],
];

/** What spreadsheets take for the beginning of a formula, or skip to find one. */
const FORMULA = /^[=+\-@\t\r]/;

/** An apostrophe makes a spreadsheet take the cell as text. Numbers of ours stay numbers. */
const cell = (value: string | number | null): string => {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const safe = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n\t']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const CSV_HEAD = `${COLUMNS.map(([name]) => name).join(',')}\r\n`;

export const csvLine = (record: CallRecord): string =>
  `${COLUMNS.map(([, value]) => cell(value(record))).join(',')}\r\n`;
