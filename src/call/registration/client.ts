/**
 * Our own registration at a carrier (RFC 3261 §10.2) as a table: what is asked, and when again. Pure; whoever runs it sends
 * requests and sets timers as it is told.
 */

export type ClientState =
  /** Nothing was asked yet. */
  | 'idle'
  /** The first REGISTER, or one after a failure, is under way. */
  | 'registering'
  | 'registered'
  /** It holds, and is being prolonged. */
  | 'refreshing'
  /** It was refused, or nobody answered: it is asked for again later. */
  | 'failed'
  /** It is being given back. */
  | 'leaving'
  | 'gone';

export type ClientEvent =
  | 'start'
  /** 2xx. */
  | 'granted'
  /** 423: the same again, for longer. */
  | 'too_brief'
  | 'refused'
  /** The time that was waited for has come. */
  | 'due'
  | 'stop';

export type ClientAct = 'send' | 'send_longer' | 'refresh_later' | 'retry_later' | 'leave' | 'finish';

export interface ClientRow {
  readonly next: ClientState;
  readonly act?: ClientAct;
}

const stay = (next: ClientState): ClientRow => ({ next });

export const CLIENT_TABLE: { readonly [state in ClientState]: { readonly [event in ClientEvent]: ClientRow } } = {
  idle: {
    start: { next: 'registering', act: 'send' },
    granted: stay('idle'),
    too_brief: stay('idle'),
    refused: stay('idle'),
    due: stay('idle'),
    stop: { next: 'gone', act: 'finish' },
  },
  registering: {
    start: stay('registering'),
    granted: { next: 'registered', act: 'refresh_later' },
    too_brief: { next: 'registering', act: 'send_longer' }, // RFC 3261 §10.2.8
    refused: { next: 'failed', act: 'retry_later' },
    due: stay('registering'),
    // What is under way may still be granted.
    stop: { next: 'leaving', act: 'leave' },
  },
  registered: {
    start: stay('registered'),
    granted: stay('registered'),
    too_brief: stay('registered'),
    refused: stay('registered'),
    due: { next: 'refreshing', act: 'send' },
    stop: { next: 'leaving', act: 'leave' },
  },
  refreshing: {
    start: stay('refreshing'),
    granted: { next: 'registered', act: 'refresh_later' },
    too_brief: { next: 'refreshing', act: 'send_longer' },
    refused: { next: 'failed', act: 'retry_later' },
    due: stay('refreshing'),
    stop: { next: 'leaving', act: 'leave' },
  },
  failed: {
    start: stay('failed'),
    granted: stay('failed'),
    too_brief: stay('failed'),
    refused: stay('failed'),
    due: { next: 'registering', act: 'send' },
    // It may hold still, from before it failed.
    stop: { next: 'leaving', act: 'leave' },
  },
  leaving: {
    start: stay('leaving'),
    granted: { next: 'gone', act: 'finish' },
    too_brief: { next: 'gone', act: 'finish' },
    refused: { next: 'gone', act: 'finish' },
    due: { next: 'gone', act: 'finish' },
    stop: stay('leaving'),
  },
  gone: {
    start: stay('gone'),
    granted: stay('gone'),
    too_brief: stay('gone'),
    refused: stay('gone'),
    due: stay('gone'),
    stop: stay('gone'),
  },
};

/** Part of the time granted after which it is prolonged: well before its end, and not all carriers' at once. */
const REFRESH_FROM = 0.7;
const REFRESH_SPREAD = 0.15;
/** RFC 5626 §4.5: a failure doubles the wait; no two nodes wait alike. */
const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 300_000;
/** The longest Retry-After that is believed. */
const LONGEST_RETRY_AFTER_S = 3_600;

/** @param random uniform in [0, 1) */
export const refreshDelayMs = (grantedS: number, random: number): number =>
  Math.max(1000, grantedS * 1000 * (REFRESH_FROM + REFRESH_SPREAD * random));

/**
 * @param failures in a row, from 1
 * @param random uniform in [0, 1)
 */
export const retryDelayMs = (failures: number, random: number, retryAfterS = 0): number => {
  const upperMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(20, failures - 1));
  const waitMs = upperMs * (0.5 + 0.5 * random);
  return Math.max(waitMs, Math.min(retryAfterS, LONGEST_RETRY_AFTER_S) * 1000);
};
