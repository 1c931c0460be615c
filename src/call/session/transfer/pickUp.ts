/**
 * Call pickup: an INVITE with Replaces that names an early dialog of ours (RFC 3891 §3). Its sender is of the trunk where
 * the call rings; it takes the call, and whoever was ringing stops.
 */
import type { IncomingLeg, LegEvents, SignalMessage } from '../../../signal/port.js';
import type { Bridge } from '../../bridge/bridge.js';
import { cleanText, parseAddress } from '../../bridge/headerText.js';
import { contentOf } from '../../bridge/legHeaders.js';
import type { Owner } from '../../routing/decideTransfer.js';
import type { CallRequest, Decision, Destination, ReasonCode } from '../../routing/decision.js';
import type { FoundLeg, FoundRinging } from './dialogFinder.js';
import { mutualAnswers } from './mutualAnswer.js';
import { type Seat, ownerOf, ruleOf } from './party.js';
import { sdpOf } from './offers.js';
import { PickedLeg, type PickedMedia } from './pickedLeg.js';
import type { Replaces } from './referTo.js';

const MAX_URI = 256;

export type ReplacesRefusal = Extract<ReasonCode, `replaces_${string}`>;

/** What an INVITE with Replaces has come to. */
export interface TakenUp {
  /** It has taken a call that rang: the sink of its leg, which has no call of its own. */
  readonly sink?: LegEvents;
  readonly refusal?: ReplacesRefusal;
  /** It names a leg of an established call, whose place is to be had. */
  readonly established?: { readonly replaces: Replaces; readonly found: FoundLeg };
  readonly speaksFor: Newcomer['speaksFor'];
}

export interface Newcomer {
  readonly leg: IncomingLeg;
  readonly request: CallRequest;
  /** It is reached where its own requests come from. */
  readonly nat: boolean;
  readonly speaksFor: (request: CallRequest, owner: Owner) => boolean;
}

/** @returns the sink of the newcomer's leg, which has no call of its own; or why the call rings on */
export const pickUp = (
  { leg, request, nat, speaksFor }: Newcomer,
  found: FoundRinging,
): LegEvents | ReplacesRefusal => {
  const { call, ringing } = found;
  const { destination } = ringing;
  const seat: Seat = { decision: call.decision as Decision, request: call.request, side: 'b', destination };
  const owner = ownerOf(seat);
  if (owner?.kind !== 'trunk' || ruleOf(seat) !== 'terminate' || !speaksFor(request, owner))
    return 'replaces_not_allowed';
  const media = mediaOf(call.aLeg.message, leg.message);
  if (media === undefined) return 'replaces_media';
  if (nat || destination.sip?.nat === true) leg.behindNat?.();
  let picked: PickedLeg | undefined;
  (call.course as Bridge).pickUp({
    destination: asCallee(destination, leg),
    leg: (events) => (picked = new PickedLeg(leg, media, events)),
  });
  return picked ?? 'replaces_unknown';
};

/** URI at which a newcomer says it is. */
export const whereabouts = ({ message, source }: IncomingLeg): string => {
  const contact = parseAddress(message.header('Contact') ?? '').uri;
  const uri = contact === '' ? `sip:${source.address}:${source.port}` : contact;
  return cleanText(uri).slice(0, MAX_URI);
};

/** The rules of the trunk hold, and the record says who it was. */
const asCallee = ({ beside: _, ...destination }: Destination, leg: IncomingLeg): Destination => ({
  ...destination,
  uri: whereabouts(leg),
});

/** @returns undefined where the two cannot be brought together without asking one of them again */
const mediaOf = (caller: SignalMessage, picker: SignalMessage): PickedMedia | undefined => {
  if (picker.body.length === 0)
    return caller.body.length === 0 ? undefined : { kind: 'callers', offer: contentOf(caller) };
  if (caller.body.length === 0) return { kind: 'pickers' };
  const answers = mutualAnswers(caller.body.toString('latin1'), picker.body.toString('latin1'));
  if (answers === undefined) return undefined;
  return { kind: 'mutual', toCaller: sdpOf(answers.toFirst), toPicker: sdpOf(answers.toSecond) };
};
