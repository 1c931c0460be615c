/** The Reason header (RFC 3326, RFC 6432): why a leg is over, in SIP's words and in ITU-T Q.850's. */
import type { HeaderEntry } from '../../signal/port.js';
import { cleanText } from './headerText.js';

export interface Reason {
  /** Upper case: `SIP`, `Q.850` ... */
  readonly protocol: string;
  readonly cause: number;
  readonly text: string | undefined;
}

/** A Reason header of our own making. */
export const reasonHeader = (protocol: 'SIP' | 'Q.850', cause: number, text?: string): HeaderEntry => [
  'Reason',
  `${protocol};cause=${cause}${text === undefined ? '' : `;text="${cleanText(text).replaceAll(/["\\]/g, "'")}"`}`,
];

const CAUSE = /;\s*cause\s*=\s*(\d{1,3})(?!\d)/i;
const TEXT = /;\s*text\s*=\s*(?:"([^"\\]{0,256})"|([^\s;,"]{1,256}))/i;

/** Reads one reason-value; undefined when it has no cause. */
export const parseReason = (value: string): Reason | undefined => {
  const semicolon = value.indexOf(';');
  const cause = CAUSE.exec(value)?.[1];
  if (semicolon < 0 || cause === undefined) return undefined;
  const text = TEXT.exec(value);
  return {
    protocol: value.slice(0, semicolon).trim().toUpperCase(),
    cause: Number(cause),
    text: text?.[1] ?? text?.[2],
  };
};

/** Splits `SIP;cause=200;text="a, b", Q.850;cause=16` at the commas outside quotes. */
const splitValues = (value: string): string[] => {
  const values: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i++) {
    const char = value[i];
    if (char === '\\' && quoted) i++;
    else if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) {
      values.push(value.slice(start, i));
      start = i + 1;
    }
  }
  values.push(value.slice(start));
  return values;
};

/** The first Q.850 cause among the Reason fields, or undefined. */
export const q850Of = (headers: readonly HeaderEntry[]): number | undefined => {
  for (const [name, value] of headers) {
    if (name.toLowerCase() !== 'reason') continue;
    for (const part of splitValues(value)) {
      const reason = parseReason(part);
      if (reason?.protocol === 'Q.850') return reason.cause & 0x7f;
    }
  }
  return undefined;
};
