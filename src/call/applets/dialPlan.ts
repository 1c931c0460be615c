/** Whom to call and how: the same whether the flow says it or a server does. */
import type { DialTarget, FlowSource } from '../flow/effects.js';

export interface DialPlan {
  readonly targets: readonly DialTarget[];
  /** Attempts at one time: 1 is serial. */
  readonly parallel: number;
  /** Per attempt. */
  readonly ringMs: number;
  readonly talkMs: number | undefined;
  readonly callerId: string | undefined;
  readonly musicOnHold: readonly FlowSource[];
  readonly whisper: readonly FlowSource[];
  /** The caller hears the whisper, too. */
  readonly whisperToBoth: boolean;
  readonly record: 'mono' | 'stereo' | undefined;
  /** Keys to press once the callee has answered: an extension. */
  readonly sendDigits: string;
  /** The server is asked again when all of this has failed. */
  readonly fetchAfterAttempt: boolean;
  /** Told of every attempt's end; empty: nobody. */
  readonly eventUrl: string;
  readonly customParameters: readonly (readonly [name: string, value: string])[];
}

export const MAX_TARGETS = 20;

const NUMBER = /^\+?[0-9*#]{1,32}$/;
const TRUNK = /^sip:([A-Za-z0-9_.:-]{1,128})$/;
const URI = /^sips?:[^\s<>"@]{1,256}@[^\s<>"@]{1,512}$/i;
const CALLER_ID = /^\+?[A-Za-z0-9*#_.-]{1,64}$/;
const DIGITS = /^[0-9*#A-Dw,]{0,64}$/;

/** `sip:<trunk_sid>`, a number, or a SIP URI with a user; undefined for anything else. */
export function targetOf(text: string): DialTarget | undefined {
  const trunk = TRUNK.exec(text);
  if (trunk !== null) return { kind: 'trunk', trunkSid: trunk[1] as string };
  const plain = text.replaceAll(/[ ()-]/g, '');
  if (NUMBER.test(plain)) return { kind: 'number', number: plain };
  return URI.test(text) ? { kind: 'uri', uri: text } : undefined;
}

/** What a target is called in results, traces and webhooks. */
export const nameOfTarget = (target: DialTarget): string => {
  if (target.kind === 'trunk') return `sip:${target.trunkSid}`;
  return target.kind === 'number' ? target.number : target.uri;
};

export const isCallerId = (text: string): boolean => CALLER_ID.test(text);
export const isDigits = (text: string): boolean => DIGITS.test(text);
