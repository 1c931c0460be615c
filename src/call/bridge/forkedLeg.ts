/**
 * Several callees that ring at once (RFC 3261 §16.6, §16.7): to whoever uses it one leg, whose callees are its forks. The
 * first 2xx wins and the others are cancelled; without one the best of the failures is reported.
 */
import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  InDialogSpec,
  IncomingReinvite,
  InviteFailure,
  Leg,
  LegEnd,
  OutgoingEvents,
  OutgoingLeg,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
} from '../../signal/port.js';
import { bestFailure, decidesForAllCallees } from './bestFailure.js';
import { reasonHeader } from './reason.js';

/** RFC 3326 §3.1, in the words of RFC 3326's own example. */
export const ELSEWHERE: readonly HeaderEntry[] = [reasonHeader('SIP', 200, 'Call completed elsewhere')];

/** What became of one of the callees. */
export interface BranchRecord {
  readonly uri: string;
  /** Its latest SIP status, or 0 where none came. */
  readonly sipStatus: number;
  /** As in AttemptRecord; `cancelled`: another was faster, or the call was given up. */
  readonly result: string;
}

/** Sends the INVITE to one of them. */
export interface Callee {
  readonly uri: string;
  invite(events: OutgoingEvents): OutgoingLeg;
}

class Branch implements OutgoingEvents {
  readonly index: number;
  readonly uri: string;
  leg: OutgoingLeg | undefined;
  status = 0;
  result = 'cancelled';
  /** Neither answered nor failed. */
  open = true;
  failure: InviteFailure | undefined;
  readonly #of: ForkedLeg;

  constructor(of: ForkedLeg, index: number, uri: string) {
    this.#of = of;
    this.index = index;
    this.uri = uri;
  }

  onTrying(): void {
    if (this.status === 0) this.status = 100;
    this.#of.tried();
  }
  onProgress(_leg: OutgoingLeg, message: SignalMessage): void {
    this.status = message.status ?? 180;
    this.#of.progressed(this, message);
  }
  onAnswered(_leg: OutgoingLeg, message: SignalMessage): void {
    this.open = false;
    this.status = message.status ?? 200;
    this.#of.answered(this, message);
  }
  onFailed(_leg: OutgoingLeg, failure: InviteFailure): void {
    this.open = false;
    this.failure = failure;
    this.result = failure.kind;
    if (failure.kind === 'response') this.status = failure.status;
    this.#of.failed(this, failure);
  }
  onRequest(_leg: Leg, request: InDialogRequest): void {
    this.#of.asked(this, request);
  }
  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#of.reinvited(this, reinvite);
  }
  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.#of.acked(message, reinvite);
  }
  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#of.reinviteCancelled(reinvite);
  }
  onEnded(_leg: Leg, end: LegEnd): void {
    this.#of.ended(this, end);
  }
}

export class ForkedLeg implements OutgoingLeg {
  readonly #events: OutgoingEvents;
  readonly #branches: readonly Branch[];
  #winner: Branch | undefined;
  /** Whoever said something last. */
  #speaking: Branch;
  #trying = false;
  #cancelled = false;
  #over = false;
  /** The answer has been taken. */
  #settled = false;
  /** Whose reliable provisionals are still to be acknowledged. */
  #pracks: Map<SignalMessage, Branch> | undefined;

  /** @param callees at least one */
  constructor(callees: readonly Callee[], events: OutgoingEvents) {
    this.#events = events;
    this.#branches = callees.map(({ uri }, i) => new Branch(this, i, uri));
    this.#speaking = this.#branches[0] as Branch;
    // No event of a leg comes before `invite` has returned, so that all are there when the first speaks.
    for (const branch of this.#branches) branch.leg = callees[branch.index]?.invite(branch);
  }

  get #leg(): OutgoingLeg {
    return (this.#winner ?? this.#speaking).leg as OutgoingLeg;
  }

  /** Place of whoever answered among the callees. */
  get winner(): number | undefined {
    return this.#winner?.index;
  }

  get branches(): readonly BranchRecord[] {
    return this.#branches.map((branch) => ({
      uri: branch.uri,
      sipStatus: branch.status,
      result: branch === this.#winner ? 'answered' : branch.result,
    }));
  }

  /** Whether one of them has this early dialog (RFC 3261 §12.1). */
  ringsIn(dialog: EarlyDialog): boolean {
    return this.#branches.some(({ open, leg }) => open && leg !== undefined && isEarly(leg, dialog));
  }

  get id(): string {
    return this.#leg.id;
  }
  get callId(): string {
    return this.#leg.callId;
  }
  get localTag(): string {
    return this.#leg.localTag;
  }

  /** Before an answer two callees may have chosen the same tag. */
  get remoteTag(): string {
    const { remoteTag } = this.#leg;
    return this.#settled || remoteTag === '' ? remoteTag : nameOf(this.#speaking, remoteTag);
  }

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    const { fork } = spec;
    if (this.#winner !== undefined || fork === undefined) return this.#leg.request(spec, done);
    const space = fork.indexOf(' ');
    const branch = this.#branches[Number(fork.slice(0, space))] ?? this.#speaking;
    branch.leg?.request({ ...spec, fork: fork.slice(space + 1) }, done);
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    this.#leg.reinvite(spec, done);
  }

  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    const branch = this.#pracks?.get(progress) ?? this.#speaking;
    this.#pracks?.delete(progress);
    branch.leg?.prack(progress, spec, done);
  }

  ack(content?: Content): void {
    this.#winner?.leg?.ack(content);
  }

  bye(headers?: readonly HeaderEntry[]): void {
    this.#winner?.leg?.bye(headers);
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.#winner !== undefined || this.#cancelled) return;
    this.#cancelled = true;
    this.#cancelOthers(undefined, headers);
  }

  dump(): object {
    return { ...this.#leg.dump(), branches: this.branches };
  }

  // ------------------------------------------------------------------ from the branches

  tried(): void {
    if (this.#trying || this.#winner !== undefined) return;
    this.#trying = true;
    this.#events.onTrying(this);
  }

  progressed(branch: Branch, message: SignalMessage): void {
    if (this.#winner !== undefined || this.#cancelled) return;
    this.#speaking = branch;
    if (message.header('RSeq') !== undefined) (this.#pracks ??= new Map()).set(message, branch);
    this.#events.onProgress(this, message);
  }

  answered(branch: Branch, message: SignalMessage): void {
    if (this.#winner !== undefined || this.#over) {
      // RFC 3261 §13.2.2.4: it crossed the CANCEL, or came before it.
      branch.leg?.ack();
      branch.leg?.bye(ELSEWHERE);
      return;
    }
    this.#speaking = this.#winner = branch;
    this.#cancelOthers(branch, ELSEWHERE);
    this.#events.onAnswered(this, message);
    this.#settled = true;
    this.#pracks = undefined;
  }

  failed(branch: Branch, failure: InviteFailure): void {
    if (this.#winner !== undefined || this.#over) return;
    // RFC 3261 §16.7 step 5: a 6xx speaks for all of them.
    if (decidesForAllCallees(failure)) this.#cancelOthers(branch, undefined);
    if (this.#branches.some(({ open }) => open)) return;
    this.#over = true;
    this.#speaking = branch;
    const failures = this.#branches.flatMap((one) => one.failure ?? []);
    this.#events.onFailed(this, this.#cancelled ? { kind: 'cancelled' } : bestFailure(failures));
  }

  asked(branch: Branch, request: InDialogRequest): void {
    if (this.#winner !== undefined) {
      if (branch === this.#winner) this.#events.onRequest(this, request);
      else request.respond(481);
      return;
    }
    const { message } = request;
    const fork = nameOf(branch, request.fork ?? branch.leg?.remoteTag ?? '');
    this.#events.onRequest(this, { message, fork, respond: (status, spec) => request.respond(status, spec) });
  }

  reinvited(branch: Branch, reinvite: IncomingReinvite): void {
    if (branch === this.#winner) this.#events.onReinvite(this, reinvite);
    else reinvite.respond(481);
  }

  acked(message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.#events.onAck(this, message, reinvite);
  }

  reinviteCancelled(reinvite: IncomingReinvite): void {
    this.#events.onReinviteCancelled(this, reinvite);
  }

  ended(branch: Branch, end: LegEnd): void {
    if (branch === this.#winner) this.#events.onEnded(this, end);
  }

  #cancelOthers(but: Branch | undefined, headers: readonly HeaderEntry[] | undefined): void {
    for (const branch of this.#branches) if (branch !== but && branch.open) branch.leg?.cancel(headers);
  }
}

/** An early dialog by what both its ends know of it. */
export interface EarlyDialog {
  readonly callId: string;
  /** Ours. */
  readonly localTag: string;
  /** The callee's. */
  readonly remoteTag: string;
}

/** Whether the callee has answered the leg's INVITE provisionally with this tag. */
export const isEarly = (leg: OutgoingLeg, { callId, localTag, remoteTag }: EarlyDialog): boolean =>
  leg.callId === callId &&
  leg.localTag === localTag &&
  (leg.remoteTag === remoteTag || leg.hasEarly?.(remoteTag) === true);

const nameOf = ({ index }: Branch, tag: string): string => `${index} ${tag}`;
