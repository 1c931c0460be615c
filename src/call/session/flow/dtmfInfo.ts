/** Keys that come in SIP INFO: `application/dtmf-relay` (Signal=, Duration=) and `application/dtmf` (the key alone). */
import type { SignalMessage } from '../../../signal/port.js';

export interface InfoKey {
  readonly digit: string;
  readonly durationMs: number;
}

const DEFAULT_MS = 160;
const MAX_MS = 10_000;
const MAX_BODY = 256;

/** Codes that some senders write instead of the key. */
const NAMED: { readonly [code: string]: string } = { '10': '*', '11': '#' };

/** @returns undefined when the INFO is about something else, or about no key */
export function infoKey(message: SignalMessage): InfoKey | undefined {
  if (message.method !== 'INFO' || message.body.length > MAX_BODY) return undefined;
  const type = (message.contentType ?? '').split(';')[0]?.trim().toLowerCase();
  const text = message.body.toString('latin1');
  if (type === 'application/dtmf') return keyOf(text.trim(), DEFAULT_MS);
  if (type !== 'application/dtmf-relay') return undefined;
  const signal = /^[ \t]*signal[ \t]*=[ \t]*(\S{1,2})[ \t\r]*$/im.exec(text)?.[1];
  const duration = /^[ \t]*duration[ \t]*=[ \t]*(\d{1,5})[ \t\r]*$/im.exec(text)?.[1];
  return signal === undefined ? undefined : keyOf(signal, duration === undefined ? DEFAULT_MS : Number(duration));
}

function keyOf(signal: string, durationMs: number): InfoKey | undefined {
  const digit = (NAMED[signal] ?? signal).toUpperCase();
  return /^[0-9*#A-D]$/.test(digit) ? { digit, durationMs: Math.min(durationMs, MAX_MS) } : undefined;
}
