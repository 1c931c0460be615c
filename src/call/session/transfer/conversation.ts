/**
 * An established call after its bridge: two ends, of which each may become another by a transfer. Where two calls were
 * joined it is both of them: each keeps its books, and all are closed when the conversation is over.
 */
import type { InDialogRequest, IncomingReinvite, LegEnd } from '../../../signal/port.js';
import type { Bridge } from '../../bridge/bridge.js';
import { Described } from '../../bridge/described.js';
import type { DialogRelay } from '../../bridge/dialogRelay.js';
import {
  type CallEnding,
  DURATION_LIMIT,
  type HangUpReason,
  INTERNAL_ERROR,
  endingOf,
  endingOfHangUp,
  hangUpHeaders,
  releaseHeaders,
} from '../../bridge/ending.js';
import type { Heir, HeirOccurrence } from '../../bridge/heir.js';
import type { HeaderPolicy } from '../../bridge/headerPolicy.js';
import { DIALOG_LOST } from '../../bridge/occurrence.js';
import type { BridgeEvent } from '../../bridge/states.js';
import type { LiveCall } from '../liveCall.js';
import { type Party, release } from './party.js';

/** Closes the books of a call, and knows where its events go. */
export type MemberBooks = Pick<Bridge, 'conclude' | 'released' | 'handOver'> & {
  /** An end has become another, by a transfer to this target. */
  moved?(target: string): void;
};

/** A call of the conversation. */
export interface Member {
  readonly bridge: MemberBooks;
  readonly call: LiveCall;
  /** The bridge's own legs, whoever has their places now. */
  readonly own: { readonly a: Party; readonly b: Party };
  /** Place of its caller's side among the ends of the conversation. */
  aAt: 0 | 1;
}

/** What is changing the ends of the conversation; absent most of the time. */
export interface Change {
  /** An end is gone. @returns false when that is the end of the conversation */
  partyEnded(party: Party): boolean;
  /** No offers now: the media are being reconnected. */
  readonly offersLocked: boolean;
  /** The conversation ends for reasons of Tandem's own. */
  hangUp(): void;
  dump(): object;
}

const NORMAL: readonly [] = [];

export class Conversation implements Heir {
  readonly ends: [Party, Party];
  readonly relay: DialogRelay;
  readonly #policy: HeaderPolicy;
  readonly #onRefer: (conversation: Conversation, party: Party, request: InDialogRequest) => void;
  members: Member[] = [];
  change: Change | undefined;
  /** Transfers asked for so far. */
  transfers = 0;
  /** Dials whose legs may still live. */
  dials = 0;
  /** Ends that have left, and have not confirmed it. */
  #leaving: Party[] = [];
  #state: 'established' | 'releasing' | 'ended' = 'established';
  /** The one that has absorbed this one. */
  #into: Conversation | undefined;

  constructor(
    ends: readonly [Party, Party],
    relay: DialogRelay,
    ports: {
      readonly policy: HeaderPolicy;
      /** A REFER of an end. */
      readonly onRefer: (conversation: Conversation, party: Party, request: InDialogRequest) => void;
    },
  ) {
    this.ends = [...ends];
    this.relay = relay;
    this.#policy = ports.policy;
    this.#onRefer = ports.onRefer;
  }

  get state(): string {
    return this.#state === 'established' && this.change !== undefined ? 'transferring' : this.#state;
  }

  /** This conversation, or the one that it has become part of. */
  get current(): Conversation {
    return this.#into?.current ?? this;
  }

  get established(): boolean {
    return this.#state === 'established';
  }

  /** The other end. */
  peerOf(party: Party): Party {
    return this.ends[0] === party ? this.ends[1] : this.ends[0];
  }

  take(bridge: MemberBooks, event: BridgeEvent, { end, hangUp, request }: HeirOccurrence): void {
    const member = this.members.find((one) => one.bridge === bridge);
    if (member === undefined) return;
    const party = event.startsWith('a_') ? member.own.a : member.own.b;
    switch (event) {
      case 'a_request':
      case 'b_request':
        return this.request(party, request as InDialogRequest);
      case 'a_reinvite':
      case 'b_reinvite':
        return this.reinvite(party, request as IncomingReinvite);
      case 'duration_limit':
        return this.hangUp(DURATION_LIMIT);
      case 'hang_up':
        return this.hangUp(hangUp ?? INTERNAL_ERROR);
      case 'fault':
        return this.hangUp(INTERNAL_ERROR);
      case 'release_timeout':
        return this.abandon();
      default:
        this.partyEnded(party, end ?? DIALOG_LOST);
    }
  }

  request(party: Party, request: InDialogRequest): void {
    if (!this.#isIn(party)) return request.respond(481);
    if (request.message.method === 'REFER') return this.#onRefer(this, party, request);
    const peer = this.peerOf(party);
    if (peer.open) this.relay.request(peer.leg, request);
    else this.relay.defer(request);
  }

  reinvite(party: Party, reinvite: IncomingReinvite): void {
    if (!this.#isIn(party)) return reinvite.respond(481);
    const peer = this.peerOf(party);
    if (this.change?.offersLocked === true) reinvite.respond(491);
    else if (peer.open) this.relay.reinvite(party.leg, peer.leg, reinvite);
    else this.relay.defer(reinvite);
  }

  partyEnded(party: Party, end: LegEnd): void {
    if (!party.open) return;
    party.open = false;
    party.end = end;
    const leaving = this.#leaving.indexOf(party);
    if (leaving >= 0) this.#leaving.splice(leaving, 1);
    else if (this.#state === 'established' && this.change?.partyEnded(party) !== true) this.over(party, end);
    this.settle();
  }

  /** An end gives its place to another. It leaves: `release` says goodbye to it, when that is due. */
  replace(party: Party, other: Party): void {
    this.ends[this.ends[0] === party ? 0 : 1] = other;
    if (party.open) this.#leaving.push(party);
  }

  /** What an end takes media by, from here on. */
  describe({ leg }: Party, description: string): void {
    (this.relay.described ??= new Described()).keep(leg, Buffer.from(description, 'latin1'));
  }

  /** Tells all calls of it that a transfer is complete. */
  moved(target: string): void {
    for (const { bridge } of this.members) bridge.moved?.(target);
  }

  /** Joins another conversation, of which `other` stays and the rest leaves: its calls go on as part of this one. */
  absorb(from: Conversation, other: Party): void {
    const place = this.ends[0] === other ? 0 : 1;
    const flipped = (from.ends[0] === other ? 0 : 1) !== place;
    for (const member of from.members) {
      if (flipped) member.aAt = member.aAt === 0 ? 1 : 0;
      member.bridge.handOver(this, this.relay);
      this.members.push(member);
    }
    from.relay.unwatch();
    this.dials += from.dials;
    this.transfers += from.transfers;
    const left = from.peerOf(other);
    from.members = [];
    from.#state = 'ended';
    from.#into = this;
    this.#leaving.push(...from.#leaving);
    if (!left.open) return;
    this.#leaving.push(left);
    release(left, NORMAL);
  }

  /** One end is gone for good: the other is told, and the books of all calls are closed. */
  over(party: Party, end: LegEnd): void {
    if (this.#state !== 'established') return;
    const place = this.ends[0] === party ? 0 : 1;
    this.#conclude((member) => endingOf(member.aAt === place ? 'a' : 'b', end, true));
    this.#releaseAll(releaseHeaders(end, this.#policy));
  }

  /** An end that has gone was not needed until now. */
  miss(party: Party): void {
    if (party.end !== undefined) this.over(party, party.end);
  }

  hangUp(reason: HangUpReason): void {
    if (this.#state !== 'established') return;
    this.change?.hangUp();
    this.#conclude(() => endingOfHangUp(reason, true));
    this.#releaseAll(hangUpHeaders(reason));
    this.settle();
  }

  abandon(): void {
    if (this.#state === 'ended') return;
    if (this.#state === 'established') this.#conclude(() => endingOfHangUp(INTERNAL_ERROR, true));
    this.#state = 'ended';
    const legs = [...this.ends, ...this.#leaving].filter((party) => party.open);
    for (const party of legs) party.open = false;
    for (const { bridge, call } of this.members) bridge.released(legs.filter((party) => party.call === call).length);
  }

  /** In the end only the legs matter: when all are gone, so are the calls. */
  settle(): void {
    if (this.#state !== 'releasing' || this.dials > 0 || this.#leaving.length > 0) return;
    if (this.ends.some((party) => party.open)) return;
    this.#state = 'ended';
    for (const { bridge } of this.members) bridge.released(0);
  }

  /** Runs what a callback of the port asks for: an exception ends the conversation, and does not reach the port. */
  guard(where: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fault(where, error);
    }
  }

  fault(where: string, error: unknown): void {
    this.members[0]?.call.onFault(where, error);
    if (this.#state === 'established') this.hangUp(INTERNAL_ERROR);
    else this.abandon();
  }

  dump(): object {
    return {
      ends: this.ends.map((party) => (party.open ? party.leg.dump() : null)),
      calls: this.members.map(({ call }) => call.id),
      leaving: this.#leaving.length,
      dials: this.dials,
      ...this.change?.dump(),
    };
  }

  #isIn(party: Party): boolean {
    return this.#state === 'established' && party.open && this.ends.includes(party);
  }

  #conclude(endingFor: (member: Member) => CallEnding): void {
    this.#state = 'releasing';
    this.relay.close();
    for (const member of this.members) member.bridge.conclude(endingFor(member));
  }

  #releaseAll(headers: Parameters<Party['hangUp']>[0]): void {
    for (const party of [...this.ends, ...this.#leaving]) release(party, headers);
  }
}
