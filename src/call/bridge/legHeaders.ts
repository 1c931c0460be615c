/** What the callee's INVITE says of caller and callee: rebuilt, so that no host of the caller's side crosses. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import type { Decision, Destination } from '../routing/decision.js';
import type { HeaderSettings } from '../routing/headerSettings.js';
import { REVEALING } from './headerRules.js';
import { asksForPrivacy, identityOf } from './identityFields.js';
import type { HeaderPolicy } from './headerPolicy.js';
import type { CommonInvite } from './hunt.js';
import { allowOf } from './allow.js';
import { callerReliability } from './reliability.js';
import { relayedFields } from './sessionFields.js';
import {
  type Address,
  cleanText,
  escapeUser,
  hostOf,
  isWord,
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

/** True for `sip:anonymous@...`, a host `anonymous.invalid`, and a Privacy header that withholds the identity. */
const isAnonymous = (from: Address, privacy: string | undefined): boolean =>
  asksForPrivacy(privacy) || isWord(userOf(from.uri), 'anonymous') || isWord(hostOf(from.uri), 'anonymous.invalid');

/** The caller's name as a quoted string, or nothing where it is unsafe, too long, or names an inside host. */
const quotedDisplay = (display: string | undefined): string => {
  if (display === undefined || display.length > MAX_DISPLAY || mentionsPrivateHost(display)) return '';
  const clean = cleanText(display).trim();
  if (clean === '') return '';
  return `"${clean.includes('"') || clean.includes('\\') ? clean.replaceAll(/["\\]/g, '\\$&') : clean}" `;
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
  const headersFor = (to: HeaderSettings | undefined): readonly HeaderEntry[] =>
    inviteHeaders(message, policy.between(decision.sip?.headers, to), maxForwards);
  const identity = identityOf(message, decision, policy.settings.assertedIdentity !== 'never');
  const reliability = callerReliability(message);
  const timers = (decision.sip?.session_timer?.mode ?? 'relay') === 'relay' ? relayedFields(message) : undefined;
  const { contentType, body } = contentOf(message);
  return {
    from: anonymous ? ANONYMOUS : fromField(decision, from),
    headers: headersFor(undefined),
    headersFor: decision.destinations.some(({ sip }) => sip?.headers !== undefined) ? headersFor : undefined,
    identity,
    reliability: reliability === 'none' ? undefined : reliability,
    timers,
    contentType,
    body,
  };
};

/** What crosses of the caller's INVITE. RFC 3323 §5.1: less what names a caller who asks for that. */
const inviteHeaders = (message: SignalMessage, policy: HeaderPolicy, maxForwards: number): readonly HeaderEntry[] => {
  const headers = policy.relay('invite', message.headers());
  const hidden = asksForPrivacy(message.header('Privacy'), /^(?:header|user|full)$/i);
  const shown = hidden ? headers.filter(([name]) => !REVEALING.has(name.toLowerCase())) : headers;
  shown.push(['Max-Forwards', String(maxForwards)]);
  const allow = allowOf(message);
  if (allow !== undefined) shown.push(allow);
  return shown;
};

/**
 * To of the callee's INVITE: the number in E.164, towards a carrier as its gateway writes it, at the destination's own host.
 * RFC 3261 §19.1.1: no port in To.
 */
export const toField = (decision: Decision, destination: Destination): string => {
  const number = destination.carrierId === undefined ? decision.calledNumber.e164 : undefined;
  const user = number === undefined ? userOf(destination.uri) : escapeUser(number);
  // A registered contact is called by the number, at the domain that it registered with.
  const host = destination.reach?.domain ?? hostOf(destination.uri);
  return `<sip:${user === '' ? '' : `${user}@`}${host}>`;
};

/** Body and type, exactly as they came. Empty for a message without a body. */
export const contentOf = (message: SignalMessage): { contentType?: string | undefined; body?: Buffer | undefined } =>
  message.body.length === 0
    ? {}
    : {
        contentType: message.contentType === undefined ? undefined : cleanText(message.contentType),
        body: message.body,
      };
