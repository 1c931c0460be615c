/** One end of a conversation: a leg, whose books it is on, and who sits there. */
import type { HeaderEntry, Leg, LegEnd } from '../../../signal/port.js';
import { type ReferRule, ownerKind, referRuleOf } from '../../bridge/referRule.js';
import type { CallRequest, Decision, Destination } from '../../routing/decision.js';
import type { Owner } from '../../routing/decideTransfer.js';
import type { ThroughMedia } from '../flow/throughMedia.js';
import type { LiveCall } from '../liveCall.js';

/** By which decision the leg is there, and on which side of it. */
export interface Seat {
  readonly decision: Decision;
  readonly request: CallRequest;
  readonly side: 'a' | 'b';
  /** Of the callee's side. */
  readonly destination: Destination | undefined;
}

export interface Party {
  readonly leg: Leg;
  readonly call: LiveCall;
  readonly seat: Seat;
  /** The leg has not ended. */
  open: boolean;
  /** How it ended, while somebody still has use for that. */
  end: LegEnd | undefined;
  /** We said goodbye. */
  released: boolean;
  /** Of a caller whose audio is in the media plane: it stays in its place, and the other end may become another. */
  readonly side?: ThroughMedia | undefined;
  /** BYE; called once, and only while it is open. */
  hangUp(headers: readonly HeaderEntry[]): void;
}

/** An end that is there. */
export const newParty = (
  leg: Leg,
  { call, seat, side }: Pick<Party, 'call' | 'seat' | 'side'>,
  hangUp: Party['hangUp'],
): Party => ({ leg, call, seat, side, open: true, end: undefined, released: false, hangUp });

/** Undefined where nobody known sits: a URI that a flow dialled. */
export const ownerOf = ({ decision, side, destination }: Seat): Owner | undefined => {
  const kind = ownerKind(decision, side);
  const carrierId = side === 'a' ? decision.carrierId : destination?.carrierId;
  const id = kind === 'trunk' ? decision.trunkSid : carrierId;
  return id === undefined ? undefined : { kind, id };
};

export const ruleOf = ({ decision, side, destination }: Seat): ReferRule =>
  referRuleOf(decision, destination ?? {}, side);

export const sameOwner = (one: Owner | undefined, other: Owner | undefined): boolean =>
  one !== undefined && one.kind === other?.kind && one.id === other.id;

/** Says goodbye, once, to a party that is still there. */
export const release = (party: Party, headers: readonly HeaderEntry[]): void => {
  if (!party.open || party.released) return;
  party.released = true;
  party.hangUp(headers);
};
