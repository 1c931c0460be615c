/** Cells of a price deck: prefixes, money, pulses. Errors are the end of a sentence. */
import { type Result, err, ok } from '../../kernel/index.js';

/** A cell names at most so many prefixes, ranges counted out. */
const MAX_PREFIXES = 10_000;
const MAX_SHOWN = 40;

const shown = (text: string): string => JSON.stringify(text.slice(0, MAX_SHOWN));

const PLAIN = /^[1-9][0-9]{0,14}$/;

/** `91984`, `+91 984`, `0091984`, `91984;91985`, `91985-91989`. */
export function readPrefixes(cell: string): Result<readonly string[], string> {
  const text = cell.trim();
  if (PLAIN.test(text)) return ok([text]);
  if (text === '') return err('has no prefix');
  const found: string[] = [];
  for (const part of text.split(/[;,/|]+/)) {
    const [from, to, ...more] = part.split('-').map(digitsOf);
    if (from === undefined || more.length > 0) return err(`has a prefix that is none: ${shown(text)}`);
    if (!PLAIN.test(from)) return err(`has a prefix that is not 1 to 15 digits: ${shown(text)}`);
    if (to === undefined) {
      found.push(from);
      continue;
    }
    const count = Number(to) - Number(from) + 1;
    if (!PLAIN.test(to) || to.length !== from.length || count < 1) {
      return err(`has a range of prefixes that is none: ${shown(text)}`);
    }
    if (found.length + count > MAX_PREFIXES) return err(`has a range of more than ${MAX_PREFIXES} prefixes`);
    for (let i = 0; i < count; i++) found.push(String(Number(from) + i));
  }
  return ok(found);
}

const digitsOf = (text: string): string =>
  text
    .trim()
    .replace(/^(\+|00)/, '')
    .replace(/[ .()]/g, '');

/** As the document has it: major units, at most six decimals, nothing that could be left out. */
export function readMoney(cell: string, what: string): Result<string, string> {
  const text = cell.trim().replace(/^[$€£₹]\s*/, '');
  const [, whole, fraction = ''] = /^([0-9]{0,15})(?:[.,]([0-9]*))?$/.exec(text) ?? [];
  if (whole === undefined || whole + fraction === '')
    return err(`has a ${what} that is no amount: ${shown(cell.trim())}`);
  const digits = fraction.replace(/(?<!0)0+$/, '');
  const major = whole.replace(/^0+(?=[0-9])/, '') || '0';
  if (digits.length > 6) return err(`has a ${what} with more than six decimals: ${shown(text)}`);
  if (major.length > 9) return err(`has a ${what} that is too large: ${shown(text)}`);
  return ok(digits === '' ? major : `${major}.${digits}`);
}

const MAX_SECONDS = 3600;

/** `60`: from 1 to 3600. */
export function readSeconds(cell: string): Result<number, string> {
  const text = cell.trim();
  const seconds = /^[0-9]{1,4}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= MAX_SECONDS) return ok(seconds);
  return err(`has an increment that is not 1 to ${MAX_SECONDS} seconds: ${shown(text)}`);
}

/** `60/60`, `1/1`, `60/6`, `60+60`; one number is both. */
export function readIncrement(cell: string): Result<readonly [first: number, next: number], string> {
  const parts = cell.trim().split(/[/+]/);
  if (parts.length > 2) return err(`has an increment that is none, such as 60/60: ${shown(cell.trim())}`);
  const first = readSeconds(parts[0] ?? '');
  if (!first.ok) return first;
  const next = parts[1] === undefined ? first : readSeconds(parts[1]);
  return next.ok ? ok([first.value, next.value]) : next;
}
