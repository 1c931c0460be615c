/** Who sent a call on, and why: read from Diversion (RFC 5806) or History-Info (RFC 7044), told in either's words. */
import type { SignalMessage } from '../../signal/port.js';
import { isDialable, parseAddress, unescapeUser, userOf } from './headerText.js';

export interface Forwarding {
  /** As written, unescaped: digits, `+`, `*`, `#`. */
  readonly number: string;
  /** A word of RFC 5806 §4. */
  readonly reason: string;
}

/** Longer fields are cut: the first entries tell all that is asked for. */
const MAX_FIELD = 2048;
const MAX_ENTRIES = 16;

/** RFC 7544 §5.3, table 1: reasons of Diversion, and causes of RFC 4458 in History-Info. The first of a cause is its word. */
const CAUSES: readonly (readonly [reason: string, cause: number])[] = [
  ['unconditional', 302],
  ['user-busy', 486],
  ['no-answer', 408],
  ['deflection', 480],
  ['deflection', 487],
  ['unavailable', 503],
  ['unknown', 404],
  ['time-of-day', 404],
  ['do-not-disturb', 404],
  ['follow-me', 404],
  ['out-of-service', 404],
  ['away', 404],
];

/** Whether a reason is one that we may repeat: a word, and no more. */
export const reasonWord = (reason: string): string => (/^[a-z-]{1,32}$/.test(reason) ? reason : 'unknown');

export const causeOf = (reason: string): number => CAUSES.find(([word]) => word === reason)?.[1] ?? 404;

/** @returns undefined where the call came straight, or nothing can be read of who sent it on */
export const forwardingOf = (message: SignalMessage): Forwarding | undefined =>
  byDiversion(message.header('Diversion')) ?? byHistory(message);

/** RFC 5806 §4: the last to divert stands first. */
const byDiversion = (field: string | undefined): Forwarding | undefined => {
  if (field === undefined) return undefined;
  const text = field.slice(0, MAX_FIELD);
  const number = unescapeUser(userOf(parseAddress(text).uri));
  if (!isDialable(number)) return undefined;
  const reason = /;\s*reason\s*=\s*"?([a-z-]{1,32})\b/i.exec(text)?.[1];
  return { number, reason: reason?.toLowerCase() ?? 'unconditional' };
};

/** RFC 7544 §6: the entry before the last that has a cause is who sent the call on. */
const byHistory = (message: SignalMessage): Forwarding | undefined => {
  if (message.header('History-Info') === undefined) return undefined;
  const entries = message
    .headers()
    .flatMap(([name, value]) => (name.toLowerCase() === 'history-info' ? entriesOf(value) : []))
    .slice(0, MAX_ENTRIES);
  for (let i = entries.length - 1; i > 0; i--) {
    const cause = /[;?&]\s*cause\s*=\s*(\d{3})(?!\d)/i.exec(entries[i] ?? '')?.[1];
    if (cause === undefined) continue;
    const number = unescapeUser(userOf(parseAddress(entries[i - 1] ?? '').uri));
    const reason = CAUSES.find(([, code]) => code === Number(cause))?.[0] ?? 'unknown';
    return isDialable(number) ? { number, reason } : undefined;
  }
  return undefined;
};

/** Entries of one field: at commas outside of brackets and quotes, in one pass. */
const entriesOf = (field: string): string[] => {
  const text = field.slice(0, MAX_FIELD);
  const entries: string[] = [];
  let start = 0;
  let bracketed = false;
  let quoted = false;
  for (let i = 0; i < text.length && entries.length < MAX_ENTRIES; i++) {
    const char = text[i];
    if (char === '\\' && quoted) i++;
    else if (char === '"' && !bracketed) quoted = !quoted;
    else if (quoted) continue;
    else if (char === '<') bracketed = true;
    else if (char === '>') bracketed = false;
    else if (char === ',' && !bracketed) {
      entries.push(text.slice(start, i));
      start = i + 1;
    }
  }
  entries.push(text.slice(start));
  return entries;
};
