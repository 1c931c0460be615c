/** Session timers (RFC 4028): the fields, and what a user agent makes of them. Times in whole seconds. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import type { SipSettings } from '../routing/resources.js';
import { listsOption } from './reliability.js';

export type SessionTimerSettings = NonNullable<SipSettings['session_timer']>;
export type Refresher = 'uac' | 'uas';

/** RFC 4028 §4: no interval is shorter. */
export const LEAST_SECONDS = 90;
/** Longer ones serve no purpose, and timers have their limits. */
const MOST_SECONDS = 86_400;

const TAG = 'timer';
const SUPPORTS_TIMER: HeaderEntry = ['Supported', TAG];
const REQUIRES_TIMER: HeaderEntry = ['Require', TAG];

export interface Interval {
  readonly seconds: number;
  readonly refresher: Refresher | undefined;
}

/** Of a field `1800;refresher=uac`; undefined where there is none, or none that can be read. */
export const intervalOf = (message: SignalMessage): Interval | undefined => {
  const [delta, ...params] = (message.header('Session-Expires') ?? '').split(';', 8);
  const seconds = secondsOf(delta);
  if (seconds === undefined || seconds === 0) return undefined;
  const said = params.map((param) => param.trim().toLowerCase()).find((param) => param.startsWith('refresher'));
  const role = said?.split('=')[1]?.trim();
  return { seconds: Math.min(seconds, MOST_SECONDS), refresher: role === 'uac' || role === 'uas' ? role : undefined };
};

export const leastOf = (message: SignalMessage): number =>
  Math.min(Math.max(secondsOf((message.header('Min-SE') ?? '').split(';', 1)[0]) ?? 0, LEAST_SECONDS), MOST_SECONDS);

const secondsOf = (text: string | undefined): number | undefined => {
  const digits = (text ?? '').trim();
  return /^\d{1,10}$/.test(digits) ? Number(digits) : undefined;
};

export const speaksTimer = (message: SignalMessage): boolean =>
  listsOption(message, 'Supported', TAG) || listsOption(message, 'Require', TAG);

const expiresField = (seconds: number, refresher: Refresher | undefined): HeaderEntry => [
  'Session-Expires',
  refresher === undefined ? String(seconds) : `${seconds};refresher=${refresher}`,
];

/** What crosses where both sides relay: the ends agree between themselves. */
export const relayedFields = (message: SignalMessage): readonly HeaderEntry[] => {
  const fields: HeaderEntry[] = [];
  for (const name of ['Session-Expires', 'Min-SE'] as const) {
    const value = message.header(name);
    if (value !== undefined && value.length < 128) fields.push([name, value]);
  }
  if (listsOption(message, 'Supported', TAG)) fields.push(SUPPORTS_TIMER);
  if (listsOption(message, 'Require', TAG)) fields.push(REQUIRES_TIMER);
  return fields;
};

/** What a request of the peer's comes to: RFC 4028 §9. */
export type Verdict =
  /** 422. */
  | { readonly kind: 'too_small'; readonly least: number }
  /** No session timer. */
  | { readonly kind: 'none' }
  | { readonly kind: 'agreed'; readonly seconds: number; readonly refresher: Refresher };

/**
 * Answers the timer of an INVITE or UPDATE that came to us.
 * @param running seconds of the timer that the session has already
 */
export const answerTimer = (request: SignalMessage, ours: SessionTimerSettings, running?: number): Verdict => {
  const speaks = speaksTimer(request);
  const asked = intervalOf(request);
  const wanted = ours.expires ?? running;
  if (asked === undefined) {
    if (wanted === undefined) return NO_TIMER;
    return {
      kind: 'agreed',
      seconds: Math.max(wanted, leastOf(request)),
      refresher: roleAsUas(speaks, undefined, ours),
    };
  }
  const least = ours.min_se ?? LEAST_SECONDS;
  // A proxy on the way may have asked: who does not speak of timers cannot ask again (§9).
  if (asked.seconds < least && speaks) return { kind: 'too_small', least };
  // §9: it may be made shorter, but not than the sender's own least, nor than any may be.
  const seconds = wanted === undefined ? asked.seconds : Math.min(asked.seconds, Math.max(wanted, leastOf(request)));
  return { kind: 'agreed', seconds, refresher: roleAsUas(speaks, asked.refresher, ours) };
};

const NO_TIMER: Verdict = { kind: 'none' };

/** RFC 4028 §9, table 2. Where we may choose it is the other end, unless the settings say otherwise. */
const roleAsUas = (speaks: boolean, asked: Refresher | undefined, ours: SessionTimerSettings): Refresher => {
  if (!speaks) return 'uas';
  return asked ?? (ours.refresher === 'local' ? 'uas' : 'uac');
};

/** Fields of the 2xx that says so. §9: the sender must know of timers to be the one who refreshes. */
export const agreedFields = (verdict: Verdict): readonly HeaderEntry[] => {
  if (verdict.kind !== 'agreed') return NO_FIELDS;
  const expires = expiresField(verdict.seconds, verdict.refresher);
  return verdict.refresher === 'uac' ? [REQUIRES_TIMER, expires] : [expires];
};

const NO_FIELDS: readonly HeaderEntry[] = [];

/** Fields of an INVITE of ours, §7.1. @param least of a 422 that an earlier one got */
export const askedFields = (ours: SessionTimerSettings, least = 0): readonly HeaderEntry[] => {
  if (ours.expires === undefined && least === 0) return [SUPPORTS_TIMER];
  const refresher = ours.refresher === 'local' ? 'uac' : ours.refresher === 'remote' ? 'uas' : undefined;
  return timerFields(Math.max(ours.expires ?? 0, least), refresher, Math.max(ours.min_se ?? 0, least));
};

/** Fields of a request that refreshes, §7.4. */
export const timerFields = (
  seconds: number,
  refresher: Refresher | undefined,
  least: number,
): readonly HeaderEntry[] => {
  const fields = [SUPPORTS_TIMER, expiresField(seconds, refresher)];
  if (least > LEAST_SECONDS) fields.push(['Min-SE', String(least)]);
  return fields;
};

/**
 * Who refreshes after the 2xx to a request of ours (§7.2). A peer that does not speak of timers says nothing; where we
 * want one all the same, it is ours to refresh.
 */
export const agreedByPeer = (ok: SignalMessage, wanted: number | undefined): Interval | undefined => {
  const said = intervalOf(ok);
  if (said !== undefined) return { seconds: said.seconds, refresher: said.refresher ?? 'uac' };
  return wanted === undefined ? undefined : { seconds: wanted, refresher: 'uac' };
};
