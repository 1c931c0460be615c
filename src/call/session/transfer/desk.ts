/** Where REFERs of established calls come: whether they are off, passed on, or carried out here. */
import type { InDialogRequest } from '../../../signal/port.js';
import { Bridge } from '../../bridge/bridge.js';
import type { Estate } from '../../bridge/heir.js';
import type { DialogRelay } from '../../bridge/dialogRelay.js';
import { nextMaxForwards, commonInvite } from '../../bridge/legHeaders.js';
import { escapeUser } from '../../bridge/headerText.js';
import type { CommonInvite } from '../../bridge/hunt.js';
import type { Owner, TransferWish } from '../../routing/decideTransfer.js';
import type { CallRequest, Decision, Destination } from '../../routing/decision.js';
import { Draft } from '../../routing/draft.js';
import type { MediaSettings } from '../../routing/resources.js';
import { addressesOf } from '../flow/endpointSpec.js';
import type { FlowTalk } from '../flow/talk.js';
import type { NewcomersAudio } from '../flow/throughMedia.js';
import type { AdmittedDial, DialWorld } from '../flow/world.js';
import { ImaginedInvite } from '../imaginedInvite.js';
import type { LiveCall } from '../liveCall.js';
import { TransferAccount, refusalReason } from './account.js';
import { flowOf } from './callsOf.js';
import { Conversation, type Member } from './conversation.js';
import { DialogFinder, type FoundLeg, type FoundRinging, isNamed } from './dialogFinder.js';
import { type Party, type Seat, newParty, ownerOf, ruleOf, sameOwner } from './party.js';
import { passOn } from './passOn.js';
import { type Newcomer, type ReplacesRefusal, type TakenUp, pickUp, whereabouts } from './pickUp.js';
import type { TransferCode } from './reasons.js';
import { type ReferTarget, type Replaces, readReferTo, readReplaces } from './referTo.js';
import { Replacement } from './replacement.js';
import { ReferSubscription } from './subscription.js';
import { Transfer } from './transfer.js';
import type { TransferOrder, TransferTarget } from './order.js';

/** Transfers of one call; each may bring another caller to us who is transferred again. */
const MAX_TRANSFERS = 5;

export interface TransferPorts {
  readonly world: DialWorld;
  /** Decides, and takes the limits; absent where nobody transfers. */
  readonly admit: ((wish: TransferWish) => AdmittedDial) | undefined;
  /** What is said about audio of a trunk or carrier; absent: nothing. */
  readonly mediaOf: ((owner: Owner) => MediaSettings) | undefined;
  /** All calls that live. */
  readonly calls: () => Iterable<LiveCall>;
}

export class TransferDesk {
  readonly #ports: TransferPorts;
  readonly #finder: DialogFinder;
  #dials = 0;

  constructor(ports: TransferPorts) {
    this.#ports = ports;
    this.#finder = new DialogFinder(ports.world.clock, ports.calls);
  }

  /** A REFER from a side of a call that is still with its bridge, or its flow. */
  refer(call: LiveCall, side: 'a' | 'b', request: InDialogRequest): void {
    const flow = flowOf(call);
    if (flow !== undefined) return this.#referInFlow(flow.dials.talk(call), { call, side }, request);
    const account = new TransferAccount(this.#ports.world.clock, seatedAt(call, side, undefined), request.message);
    const { course } = call;
    const estate = course instanceof Bridge ? course.estate : undefined;
    // RFC 3261 §14.2: what cannot be served yet is put off.
    if (estate === undefined) return refuse(request, account, [500, 'refer_not_ready']);
    const asker = seatedAt(call, side, estate);
    const rule = ruleOf(asker.seat);
    if (rule === 'off') return refuse(request, account, [603, 'refer_off']);
    if (rule === 'relay' && !this.#isOurs(request)) {
      const { relay, a, b } = estate;
      return passOn({ to: side === 'a' ? b : a, policy: this.#ports.world.policy, relay }, request, account);
    }
    const conversation = this.#conversationOf(call, course as Bridge, estate);
    this.#carryOut(conversation, conversation.ends[side === 'a' ? 0 : 1], request);
  }

  #referInFlow(
    talk: FlowTalk | undefined,
    { call, side }: { readonly call: LiveCall; readonly side: 'a' | 'b' },
    request: InDialogRequest,
  ): void {
    if (talk !== undefined) return this.#referAgain(this.#conversationIn(talk), talk[side], request);
    const account = new TransferAccount(this.#ports.world.clock, seatedAt(call, side, undefined), request.message);
    refuse(request, account, [500, 'refer_not_ready']);
  }

  /** The conversation that a bridge's call becomes; the bridge still has it until `begin`. */
  #conversationOf(call: LiveCall, bridge: Bridge, estate: Estate): Conversation {
    if (bridge.heir instanceof Conversation) return bridge.heir.current;
    const own = { a: partyOf(call, 'a', estate), b: partyOf(call, 'b', estate) };
    return this.#newConversation({ bridge, call, own, aAt: 0 }, estate.relay);
  }

  /** The same of a flow's caller and callee. */
  #conversationIn(talk: FlowTalk): Conversation {
    const { call, a, b, relay } = talk;
    return talk.conversation ?? this.#newConversation({ bridge: talk, call, own: { a, b }, aAt: 0 }, relay);
  }

  #newConversation(member: Member, relay: DialogRelay): Conversation {
    const { a, b } = member.own;
    const conversation = new Conversation([a, b], relay, {
      policy: this.#ports.world.policy,
      onRefer: (current, party, request) => this.#referAgain(current, party, request),
    });
    conversation.members.push(member);
    return conversation;
  }

  /** A REFER within a conversation: one that has seen a transfer already, or that begins with this one. */
  #referAgain(conversation: Conversation, party: Party, request: InDialogRequest): void {
    const { clock, policy } = this.#ports.world;
    const rule = ruleOf(party.seat);
    const account = new TransferAccount(clock, party, request.message);
    if (rule === 'off') return refuse(request, account, [603, 'refer_off']);
    if (rule === 'relay' && !this.#isOurs(request)) {
      return passOn({ to: conversation.peerOf(party).leg, policy, relay: conversation.relay }, request, account);
    }
    this.#carryOut(conversation, party, request);
  }

  /** Refer-To names a dialog of ours: nobody else can make sense of that. */
  #isOurs({ message }: InDialogRequest): boolean {
    const replaces = readReferTo(message)?.replaces;
    const found = replaces === undefined ? undefined : this.#finder.find(replaces);
    return found !== undefined && 'leg' in found;
  }

  #carryOut(conversation: Conversation, referrer: Party, request: InDialogRequest): void {
    const { world } = this.#ports;
    const { message } = request;
    const account = new TransferAccount(world.clock, referrer, message);
    const target = readReferTo(message);
    account.target = target?.uri ?? '';
    if (target?.replaces !== undefined) account.kind = 'attended';
    if (conversation.change !== undefined) return refuse(request, account, [491, 'refer_not_ready']);
    if (++conversation.transfers > MAX_TRANSFERS) return refuse(request, account, [603, 'refer_limit']);
    if (target === undefined) return refuse(request, account, [400, 'refer_to_invalid']);
    // Its audio is in the flow's hands, which records it or has more to say: it is not to be had elsewhere.
    if (referrer.side !== undefined) return refuse(request, account, [603, 'refer_in_flow']);
    const reached =
      target.replaces === undefined
        ? this.#callee(conversation, referrer, target, account)
        : this.#otherEnd(referrer, target.replaces, account);
    if (Array.isArray(reached)) return refuse(request, account, reached as Refusal);
    for (const { bridge } of conversation.members) bridge.handOver(conversation, conversation.relay);
    const silent = message.header('Refer-Sub')?.trim().toLowerCase() === 'false';
    request.respond(202, silent ? { headers: [['Refer-Sub', 'false']] } : {});
    const id = conversation.transfers > 1 ? message.header('CSeq')?.split(' ')[0] : undefined;
    const subscription = new ReferSubscription(referrer.leg, id, silent);
    const order = { conversation, referrer, target: reached as TransferTarget, subscription, account };
    this.#expect(order);
    new Transfer(world, order).begin();
  }

  /** Ends whose audio is in the media plane are told whose audio theirs will be joined with. */
  #expect({ conversation, referrer, target }: TransferOrder): void {
    const transferee = conversation.peerOf(referrer);
    if (target.kind === 'end') {
      transferee.side?.expect(this.#audioOf(target.party));
      return target.party.side?.expect(this.#audioOf(transferee));
    }
    const { media, decision } = target.admitted;
    transferee.side?.expect({ settings: media, peerAddresses: addressesOf(decision.destinations) });
  }

  #audioOf({ seat }: Party): NewcomersAudio {
    const owner = ownerOf(seat);
    const settings = owner === undefined ? undefined : this.#ports.mediaOf?.(owner);
    return { settings: settings ?? {}, peerAddresses: undefined };
  }

  /** Blind: somebody new is called, as the referrer would. */
  #callee(
    { transfers }: Conversation,
    { call, seat }: Party,
    { user }: ReferTarget,
    account: TransferAccount,
  ): TransferTarget | Refusal {
    const { admit, world } = this.#ports;
    const referrer = ownerOf(seat);
    if (referrer === undefined || admit === undefined) return [603, 'refer_party_unknown'];
    const hops = nextMaxForwards(call.aLeg.message);
    if (hops === undefined || hops - transfers < 0) return [603, 'refer_too_many_hops'];
    const { decision: of, request, side } = seat;
    const admitted = admit({ target: user, referrer, side, decision: of, request });
    const { decision } = admitted;
    account.revision = decision.revision;
    if (!decision.accepted) return [decision.sipStatus ?? 603, decision.reasonCode];
    const imagined = imaginedInvite(decision, hops - transfers + 1);
    const invite = commonInvite(imagined, decision, world.policy) as CommonInvite;
    return { kind: 'dial', dialId: `transfer-${++this.#dials}`, admitted, invite };
  }

  /** Attended: an end of another call of whoever asks. */
  #otherEnd(referrer: Party, replaces: Replaces, account: TransferAccount): TransferTarget | Refusal {
    const found = this.#endOf(this.#finder.find(replaces));
    if (found === undefined) return [481, 'replaces_unknown'];
    const { conversation, party: middle } = found;
    if (!sameOwner(ownerOf(middle.seat), ownerOf(referrer.seat))) return [403, 'replaces_not_allowed'];
    if (conversation.ends.includes(referrer)) return [400, 'refer_to_invalid'];
    if (middle.side !== undefined) return [603, 'refer_in_flow'];
    if (replaces.earlyOnly) return [486, 'replaces_confirmed'];
    if (conversation.change !== undefined) return [491, 'refer_not_ready'];
    for (const member of conversation.members) member.bridge.handOver(conversation, conversation.relay);
    account.other = middle;
    return { kind: 'end', conversation, party: conversation.peerOf(middle) };
  }

  #endOf(
    found: FoundLeg | FoundRinging | undefined,
  ): { readonly conversation: Conversation; readonly party: Party } | undefined {
    if (found === undefined || !('leg' in found)) return undefined;
    const { callId, localTag: toTag, remoteTag: fromTag } = found.leg;
    const conversation = this.#conversationWith(found.call);
    const party = conversation?.ends.find(({ leg }) => isNamed(leg, { callId, toTag, fromTag }));
    return conversation === undefined || party === undefined ? undefined : { conversation, party };
  }

  #conversationWith(call: LiveCall): Conversation | undefined {
    const { course } = call;
    if (!(course instanceof Bridge)) {
      const talk = flowOf(call)?.dials.talk(call);
      return talk === undefined ? undefined : this.#conversationIn(talk);
    }
    const { estate, heir } = course;
    if (heir instanceof Conversation) return heir.current;
    return estate === undefined ? undefined : this.#conversationOf(call, course, estate);
  }

  /** An INVITE with Replaces; `replace` follows where it has not taken a call that rings. */
  takeUp(newcomer: Newcomer): TakenUp {
    const { speaksFor, leg } = newcomer;
    const values = leg.message.headers().filter(([name]) => name.toLowerCase() === 'replaces');
    const replaces = values.length === 1 ? readReplaces(values[0]?.[1] ?? '') : undefined;
    if (replaces === undefined) return { speaksFor, refusal: 'replaces_invalid' };
    const found = this.#finder.find(replaces);
    if (found === undefined) return { speaksFor, refusal: 'replaces_unknown' };
    if ('leg' in found) return { speaksFor, established: { replaces, found } };
    const taken = pickUp(newcomer, found);
    return typeof taken === 'string' ? { speaksFor, refusal: taken } : { speaksFor, sink: taken };
  }

  /**
   * An INVITE with Replaces (RFC 3891 §3): its sender must speak for whoever is replaced, and that one be allowed to
   * transfer: this is one in other words.
   * @param revision of the table of now, for the new call's decision
   * @returns the sink of the newcomer's leg, or why there is none
   */
  replace(
    call: LiveCall,
    revision: string,
    { refusal, established, speaksFor }: TakenUp,
  ): Replacement | ReplacesRefusal {
    const { message } = call.aLeg;
    const found = this.#endOf(established?.found);
    if (found === undefined || established === undefined) return refusal ?? 'replaces_unknown';
    const { replaces } = established;
    const { conversation, party: replaced } = found;
    const owner = ownerOf(replaced.seat);
    if (owner === undefined || ruleOf(replaced.seat) !== 'terminate' || !speaksFor(call.request, owner))
      return 'replaces_not_allowed';
    // Its audio is in the hands of a flow.
    if (replaced.side !== undefined) return 'replaces_not_allowed';
    if (replaces.earlyOnly) return 'replaces_confirmed';
    if (conversation.change !== undefined) return 'replaces_busy';
    const decision = replacing(revision, call.request, owner, replaced.seat.decision);
    call.decided({ decision, release: () => {} });
    for (const member of conversation.members) member.bridge.handOver(conversation, conversation.relay);
    const party = partyOf(call, 'a', { a: call.aLeg, b: call.aLeg, destination: undefined });
    const account = new TransferAccount(this.#ports.world.clock, replaced, message);
    account.kind = 'replaced';
    account.target = whereabouts(call.aLeg);
    account.other = party;
    const replacement = new Replacement({ party, leg: call.aLeg, conversation, replaced, account });
    call.course = replacement;
    conversation.peerOf(replaced).side?.expect(this.#audioOf(replaced));
    replacement.begin();
    return replacement;
  }
}

/** What the newcomer's call was decided on: it goes nowhere but into a call that is there. */
const replacing = (revision: string, request: CallRequest, owner: Owner, of: Decision): Decision => {
  const draft = new Draft(revision, request);
  draft.direction = owner.kind === 'trunk' ? 'outbound' : 'inbound';
  draft.mode = 'pstn';
  draft.trunkSid = of.trunkSid;
  draft.accountSid = of.accountSid;
  if (owner.kind === 'carrier') draft.carrierId = owner.id;
  draft.sip = undefined;
  draft.pass('replaces', { by: owner.kind, id: owner.id }, (d) => `takes the place of a leg of ${d.by} ${d.id}`);
  return draft.accept();
};

type Refusal = readonly [status: number, code: TransferCode];

/**
 * RFC 5057 §5: several statuses say that the dialog itself is dead, and would end the call. A refusal never uses them:
 * 603, or 400, 403, 491 and 500, which speak of the request alone; the Reason has the status that a call would have got.
 */
const SAFE = new Set([400, 403, 491, 500, 603]);

const refuse = (request: InDialogRequest, account: TransferAccount, [status, code]: Refusal): void => {
  const safe = SAFE.has(status) ? status : 603;
  account.target ||= readReferTo(request.message)?.uri ?? '';
  account.close('refused', safe, code);
  const headers = [...refusalReason(status, code), ...(safe === 500 ? ([['Retry-After', '2']] as const) : [])];
  request.respond(safe, { headers });
};

/** The legs of a call, and where it went. */
type Seats = Pick<Estate, 'a' | 'b'> & { readonly destination: Destination | undefined };

const seatedAt = (call: LiveCall, side: 'a' | 'b', estate: Seats | undefined): { call: LiveCall; seat: Seat } => ({
  call,
  seat: {
    decision: call.decision as Decision,
    request: call.request,
    side,
    destination: side === 'b' ? estate?.destination : undefined,
  },
});

const partyOf = (call: LiveCall, side: 'a' | 'b', estate: Seats): Party => {
  const leg = estate[side];
  return newParty(leg, seatedAt(call, side, estate), (headers) => leg.bye(headers));
};

/** What the callee's INVITE is made of: a call of the referrer's, on its behalf (RFC 3892), never its own words. */
const imaginedInvite = ({ callerNumber }: Decision, maxForwards: number): ImaginedInvite => {
  const number = escapeUser(callerNumber.sent ?? '');
  return new ImaginedInvite('sip:localhost', [
    ['From', `<sip:${number}@localhost>`],
    ['Max-Forwards', String(maxForwards)],
  ]);
};
