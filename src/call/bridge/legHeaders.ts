/** What the callee's INVITE says of caller and callee: rebuilt, so that no host of the caller's side crosses. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import type { Decision, Destination } from '../routing/decision.js';
import type { HeaderPolicy } from './headerPolicy.js';
import type { CommonInvite } from './hunt.js';
import { callerReliability } from './reliability.js';
import {
  type Address,
  cleanText,
  escapeUser,
  hostOf,
  mentionsPrivateHost,
  parseAddress,
  userOf,
} from './headerText.js';

const MAX_DISPLAY = 128;

/** RFC 3261 §20.22: what a request starts with when it names no limit. */
const INITIAL_MAX_FORWARDS = 70;

/**
 * How many hops the callee's INVITE may take: the caller's less one, so that a call that comes back to us, however
 * often, ends (RFC 7332 §4: a B2BUA must not raise it).
 * @returns undefined when the limit is used up: answer 483.
 */
export const nextMaxForwards = (message: SignalMessage): number | undefined => {
  const value = message.header('Max-Forwards');
  if (value === undefined || !/^\d{1,9}$/.test(value.trim())) return INITIAL_MAX_FORWARDS;
  const hops = Math.min(Number(value), 255);
  return hops > 0 ? hops - 1 : undefined;
};

/** RFC 3323 §4.1: the caller asked not to be named. `none` asks for the opposite. */
const asksForPrivacy = (privacy: string | undefined): boolean =>
  privacy !== undefined && /(?:^|[\s;,])(?:id|user|header|full)(?:$|[\s;,])/i.test(privacy);

/** True for `sip:anonymous@...`, a host `anonymous.invalid`, and a Privacy header that withholds the identity. */
export const isAnonymous = (from: Address, privacy: string | undefined): boolean =>
  asksForPrivacy(privacy) ||
  userOf(from.uri).toLowerCase() === 'anonymous' ||
  hostOf(from.uri).toLowerCase() === 'anonymous.invalid';

/** The caller's name as a quoted string, or nothing where it is unsafe, too long, or names an inside host. */
const quotedDisplay = (display: string | undefined): string => {
  if (display === undefined || display.length > MAX_DISPLAY || mentionsPrivateHost(display)) return '';
  const clean = cleanText(display).trim();
  return clean === '' ? '' : `"${clean.replaceAll(/["\\]/g, '\\$&')}" `;
};

/** Digits of a number that is shown in place of a name. */
const asNumber = (text: string): string | undefined =>
  /^\+?[\d\s().-]+$/.test(text) ? text.replaceAll(/\D/g, '') : undefined;

const ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>';

const fromField = (decision: Decision, from: Address): string => {
  const number = decision.callerNumber.sent ?? '';
  // The decision shows no number: a name that the caller chose would be all that is left, and prove nothing.
  if (number === '') return ANONYMOUS;
  // A PBX that repeats its extension as the name would give away what the alias hides.
  const digits = from.display === undefined ? undefined : asNumber(from.display);
  const display = digits === undefined || number.endsWith(digits) ? quotedDisplay(from.display) : '';
  return `${display}<sip:${escapeUser(number)}@localhost>`;
};

/**
 * The part of the callee's INVITE that is the same for every destination tried.
 * @returns undefined when Max-Forwards is used up.
 */
export const commonInvite = (
  message: SignalMessage,
  decision: Decision,
  policy: HeaderPolicy,
): CommonInvite | undefined => {
  const maxForwards = nextMaxForwards(message);
  if (maxForwards === undefined) return undefined;
  const from = parseAddress(message.header('From') ?? '');
  const anonymous = isAnonymous(from, message.header('Privacy'));
  const headers: HeaderEntry[] = policy.relay('invite', message.headers());
  headers.push(['Max-Forwards', String(maxForwards)]);
  const identity = identityOf(message, decision, policy);
  const reliability = callerReliability(message);
  return {
    from: anonymous ? ANONYMOUS : fromField(decision, from),
    headers,
    ...(identity === undefined ? {} : { identity }),
    ...(reliability === 'none' ? {} : { reliability }),
    ...contentOf(message),
  };
};

/** What carriers are told of a call's identities, if they ask. Privacy does not withhold it from them (RFC 3325 §7). */
export interface Identity {
  /** P-Asserted-Identity. */
  readonly asserted: string | undefined;
  /** Diversion, RFC 5806. */
  readonly diversion: string | undefined;
}

/** RFC 3325 §5: only what we have verified is asserted, a number of the caller's trunk. Inbound calls have none. */
const identityOf = (message: SignalMessage, decision: Decision, policy: HeaderPolicy): Identity | undefined => {
  const { direction, callerNumber, diverting } = decision;
  if (direction !== 'outbound') return undefined;
  const asserted = policy.settings.assertedIdentity === 'never' ? undefined : callerNumber.asserted;
  if (asserted === undefined && diverting === undefined) return undefined;
  const own = (number: string | undefined): string | undefined =>
    number === undefined || number === '' ? undefined : `<sip:${escapeUser(number)}@localhost>`;
  const diversion = own(diverting);
  return {
    asserted: own(asserted),
    diversion: diversion === undefined ? undefined : diversion + diversionReason(message.header('Diversion')),
  };
};

/** RFC 5806 §4: why the call was sent on, in the words of who did it. */
const diversionReason = (field: string | undefined): string => {
  const reason = /;\s*reason\s*=\s*"?([a-z-]{1,32})\b/i.exec(field?.slice(0, MAX_DIVERSION) ?? '')?.[1];
  return `;reason=${reason?.toLowerCase() ?? 'unconditional'}`;
};

const MAX_DIVERSION = 512;
const NO_HEADERS: readonly HeaderEntry[] = [];

/** The identity headers of one destination's INVITE: for carriers that ask for them, and nobody else. */
export const identityHeaders = (identity: Identity | undefined, to: Destination): readonly HeaderEntry[] => {
  if (identity === undefined || to.identity === undefined) return NO_HEADERS;
  const headers: HeaderEntry[] = [];
  const { asserted, diversion } = identity;
  if (to.identity.p_asserted_identity === true && asserted !== undefined)
    headers.push(['P-Asserted-Identity', asserted]);
  if (to.identity.diversion === true && diversion !== undefined) headers.push(['Diversion', diversion]);
  return headers;
};

/**
 * To of the callee's INVITE: the number in E.164, towards a carrier as its gateway writes it, at the destination's own host.
 * RFC 3261 §19.1.1: no port in To.
 */
export const toField = (decision: Decision, destination: Destination): string => {
  const number = destination.carrierId === undefined ? decision.calledNumber.e164 : undefined;
  const user = number === undefined ? userOf(destination.uri) : escapeUser(number);
  return `<sip:${user === '' ? '' : `${user}@`}${hostOf(destination.uri)}>`;
};

/** Body and type, exactly as they came. Empty for a message without a body. */
export const contentOf = (message: SignalMessage): { contentType?: string | undefined; body?: Buffer | undefined } =>
  message.body.length === 0
    ? {}
    : {
        contentType: message.contentType === undefined ? undefined : cleanText(message.contentType),
        body: message.body,
      };
