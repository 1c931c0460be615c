/** Reliable provisional responses (RFC 3262) between two legs: who offers 100rel to whom, and whose PRACK it is. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import type { SipSettings } from '../routing/resources.js';

export type ReliableMode = NonNullable<SipSettings['reliable_provisionals']>;

/**
 * Transparent, so that offers and answers in PRACK reach the end that they are meant for, and free for all who do not
 * speak it: 100rel is offered to a callee only where the caller offers it.
 */
export const DEFAULT_RELIABLE_MODE: ReliableMode = 'relay';

/** What the caller's INVITE says of 100rel. */
export type CallerReliability = 'none' | 'supported' | 'required';

/** How one attempt's provisionals come about. */
export interface Reliability {
  /** Offered to the callee. */
  readonly offered: boolean;
  /** A PRACK of the callee's provisional is the caller's; else it is ours, at once. */
  readonly relayed: boolean;
}

const NONE: Reliability = { offered: false, relayed: false };
const OURS: Reliability = { offered: true, relayed: false };
const ACROSS: Reliability = { offered: true, relayed: true };

const TAG = '100rel';

/** Whether a comma-separated field holds this option tag; RFC 3261 §7.3.1: in any case. */
export const hasOption = (field: string | undefined, tag: string): boolean => {
  if (field === undefined || field.length < tag.length) return false;
  for (const part of field.split(',', 64)) if (part.trim().toLowerCase() === tag) return true;
  return false;
};

/** Whether any of the fields of this name holds the tag. */
export const listsOption = (message: SignalMessage, name: 'Supported' | 'Require', tag: string): boolean => {
  const first = message.header(name);
  if (first === undefined) return false;
  if (hasOption(first, tag)) return true;
  for (const [field, value] of message.headers()) if (field === name && hasOption(value, tag)) return true;
  return false;
};

export const callerReliability = (invite: SignalMessage): CallerReliability =>
  listsOption(invite, 'Require', TAG) ? 'required' : listsOption(invite, 'Supported', TAG) ? 'supported' : 'none';

/**
 * The two sides' settings and the caller's word, to what the callee is offered. An INVITE without an offer has the callee
 * make one in its first reliable response (RFC 3261 §13.2.1), and its answer comes in the caller's PRACK (RFC 3262 §5):
 * such a call is relayed wherever both sides let it.
 */
export const reliabilityOf = (
  sides: { readonly caller: ReliableMode; readonly callee: ReliableMode },
  said: CallerReliability,
  lateOffer: boolean,
): Reliability => {
  const { caller, callee } = sides;
  if (callee === 'off') return NONE;
  const speaks = caller !== 'off' && said !== 'none';
  if (speaks && (lateOffer || (caller === 'relay' && callee === 'relay'))) return ACROSS;
  if (lateOffer) return NONE;
  return callee === 'terminate' || speaks ? OURS : NONE;
};

export const OFFER_100REL: HeaderEntry = ['Supported', TAG];

/** A provisional that awaits a PRACK. */
export const isReliable = (progress: SignalMessage): boolean => progress.header('RSeq') !== undefined;

/** The option that this side has switched off and its INVITE requires: RFC 3261 §8.2.2.3. */
export const refusedOption = (sip: SipSettings | undefined, invite: SignalMessage): string | undefined => {
  if (sip?.reliable_provisionals === 'off' && listsOption(invite, 'Require', TAG)) return TAG;
  return sip?.session_timer?.mode === 'off' && listsOption(invite, 'Require', 'timer') ? 'timer' : undefined;
};
