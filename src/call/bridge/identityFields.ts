/** How the caller's identity, and who sent the call on, are told to each end: rebuilt by its settings, never copied. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';
import type { Decision, Destination } from '../routing/decision.js';
import type { HeaderSettings } from '../routing/headerSettings.js';
import { escapeUser, isDialable, parseAddress, unescapeUser, userOf } from './headerText.js';
import { causeOf, forwardingOf, reasonWord } from './forwarding.js';

/** What is known of a call's identities; ends are told what they ask for, and may know. */
export interface Identity {
  /** Number that we, or a trusted peer, vouch for. */
  readonly asserted: string | undefined;
  /** Number that sent the call on, and why: a reason of RFC 5806 §4. */
  readonly diverting: string | undefined;
  readonly reason: string;
  /** Number called. */
  readonly called: string | undefined;
  /** The caller withholds its identity (RFC 3323 §4.2, RFC 3325 §9.3). */
  readonly withheld: boolean;
}

const NO_HEADERS: readonly HeaderEntry[] = [];

/** RFC 3323 §4.2: the caller asked not to be named. `none` asks for the opposite, and outranks the rest. */
export const asksForPrivacy = (privacy: string | undefined, wanted = /^(?:id|user|header|full)$/i): boolean => {
  if (privacy === undefined) return false;
  const values = privacy.slice(0, 256).split(/[\s;,]+/);
  return values.some((one) => wanted.test(one)) && !values.some((one) => /^none$/i.test(one));
};

/** What we do for callers who ask for it. Not `session`: media may pass between the ends, whose addresses are in them. */
const SERVED = /^(?:|none|id|user|header|full|critical)$/i;

/**
 * RFC 3323 §4.2 and §5: the caller would rather have no call than one without all the privacy that it asks for, and asks for
 * some that we do not give.
 */
export const wantsMorePrivacy = (privacy: string | undefined): boolean => {
  if (privacy === undefined || !asksForPrivacy(privacy, /^critical$/i)) return false;
  // What is too long to be read may hold anything.
  return privacy.length > 256 || !privacy.split(/[\s;,]+/).every((one) => SERVED.test(one));
};

/** RFC 3325 §2.3: whether an end is within our trust domain. */
const trusts = (settings: HeaderSettings | undefined, isCarrier: boolean): boolean => settings?.trusted ?? isCarrier;

const asksForIdentity = ({ sip }: Destination): boolean =>
  sip?.headers?.identity !== undefined || sip?.headers?.diversion !== undefined;

/**
 * Outbound, RFC 3325 §5: only what we have verified is asserted, a number of the caller's trunk. Inbound: what a trusted
 * carrier asserts.
 * @returns undefined where there is nothing to tell, or nobody who asks
 */
export const identityOf = (message: SignalMessage, decision: Decision, mayAssert: boolean): Identity | undefined => {
  const { direction, callerNumber, calledNumber } = decision;
  const outbound = direction === 'outbound';
  if (!outbound && !decision.destinations.some(asksForIdentity)) return undefined;
  const believed = outbound || trusts(decision.sip?.headers, true);
  const asserted = !mayAssert
    ? undefined
    : outbound
      ? callerNumber.asserted
      : believed
        ? assertedBy(message)
        : undefined;
  const forwarding = believed ? forwardingOf(message) : undefined;
  const diverting = outbound ? decision.diverting : forwarding?.number;
  if (asserted === undefined && diverting === undefined) return undefined;
  return {
    asserted,
    diverting,
    reason: forwarding?.reason ?? 'unconditional',
    called: calledNumber.e164,
    withheld: asksForPrivacy(message.header('Privacy')),
  };
};

/** The number that a peer vouches for: RFC 3325, else the field that came before it. */
const assertedBy = (message: SignalMessage): string | undefined => {
  for (const name of ['P-Asserted-Identity', 'Remote-Party-ID']) {
    const value = message.header(name);
    if (value === undefined) continue;
    const user = unescapeUser(userOf(parseAddress(value).uri));
    if (isDialable(user)) return user;
  }
  return undefined;
};

const own = (number: string): string => `<sip:${escapeUser(number)}@localhost>`;

/** The identity headers of one destination's INVITE: for ends that ask for them, and nobody else. */
export const identityHeaders = (identity: Identity | undefined, to: Destination): readonly HeaderEntry[] => {
  if (identity === undefined) return NO_HEADERS;
  const settings = to.sip?.headers;
  const { asserted, diverting, withheld } = identity;
  const trusted = trusts(settings, to.carrierId !== undefined || to.identity !== undefined);
  // RFC 3325 §7: outside the trust domain what is withheld is left out.
  if (withheld && !trusted) return NO_HEADERS;
  const headers: HeaderEntry[] = [];
  const how = settings?.identity ?? (to.identity?.p_asserted_identity === true ? 'asserted' : 'none');
  if (asserted !== undefined && how !== 'none') addIdentity(headers, how, own(asserted), withheld);
  const which = settings?.diversion ?? (to.identity?.diversion === true ? 'diversion' : 'none');
  if (diverting !== undefined && which !== 'none') addForwarding(headers, which, identity, diverting);
  return headers;
};

const addIdentity = (
  headers: HeaderEntry[],
  how: 'asserted' | 'preferred' | 'remote_party' | 'both',
  address: string,
  withheld: boolean,
): void => {
  if (how === 'asserted' || how === 'both') headers.push(['P-Asserted-Identity', address]);
  if (how === 'preferred') headers.push(['P-Preferred-Identity', address]);
  if (how === 'preferred' || how === 'asserted') return;
  headers.push(['Remote-Party-ID', `${address};party=calling;screen=yes;privacy=${withheld ? 'full' : 'off'}`]);
};

/** RFC 5806 §4; RFC 7044 §10.3 and, for what the one says in the other's words, RFC 7544 §5. */
const addForwarding = (
  headers: HeaderEntry[],
  which: 'diversion' | 'history_info' | 'both',
  { reason, called = '' }: Identity,
  diverting: string,
): void => {
  if (which !== 'history_info') headers.push(['Diversion', `${own(diverting)};reason=${reasonWord(reason)}`]);
  if (which === 'diversion') return;
  const target = `<sip:${escapeUser(called)}@localhost;cause=${causeOf(reason)}>;index=1.1;mp=1`;
  headers.push(['History-Info', `${own(diverting)};index=1, ${target}`]);
};
