import { CallHold } from '../call/admission/callHold.js';
import { CallLimiter, type Limiter } from '../call/admission/limiter.js';
import { UnlistedLog, screenSource } from '../call/admission/sourceGate.js';
import type { HeaderPolicy } from '../call/bridge/headerPolicy.js';
import type { PeerOverload } from '../call/admission/peerOverload.js';
import type { HuntPlan } from '../call/bridge/hunt.js';
import { decide, refuse } from '../call/routing/decide.js';
import { type DialWish, decideDial } from '../call/routing/decideDial.js';
import type {
  CallRequest,
  ContactsView,
  DecideContext,
  Decision,
  Destination,
  GatewayView,
  SpendView,
} from '../call/routing/decision.js';
import { type Owner, type TransferWish, decideTransfer } from '../call/routing/decideTransfer.js';
import { mediaSettingsOf } from '../call/routing/mediaSettings.js';
import { limitCode } from '../call/routing/finish.js';
import type { MediaSettings } from '../call/routing/resources.js';
import type { RoutingTable } from '../call/routing/table.js';
import type { TableHolder } from '../call/routing/compile.js';
import type { AdmittedDial, PinnedFlows } from '../call/session/flow/world.js';
import { CallerLogin, type Login } from '../call/session/callerLogin.js';
import { type Explanation, explainDecision } from '../call/session/explanation.js';
import type { AdmittedCall } from '../call/session/liveCall.js';
import type { AdmittedOrigin, OriginateOrder, OriginateRefusal } from '../call/session/originate/order.js';
import type { Admission } from '../call/session/service.js';
import { plainAddress } from '../call/session/request.js';
import { type Clock, type Random, type Result, err, ok } from '../kernel/index.js';
import type { Credentials, HeaderEntry, SignalMessage, SignalSource, SourceGate } from '../signal/index.js';

const NOTHING_HELD = (): void => {};

/** A decision and what it took. */
type Admitted = HuntPlan & { release(): void };

/** Looked up when a carrier is tried, so that no decision, and no record of one, ever holds a password. */
const credentialsOf = (table: RoutingTable, carrierId: string | undefined): Credentials | undefined => {
  const known = carrierId === undefined ? undefined : table.carrier(carrierId)?.carrier.credentials;
  return known === undefined ? undefined : { userName: known.user_name, password: known.password, realm: known.realm };
};

/** Who is registered, and who may be asked for a password to register. */
export interface RegisteredContacts extends ContactsView {
  /** Why this node has no registration at a carrier that wants one. */
  unregistered(carrierId: string): string | undefined;
  mayChallenge(address: string, nowMs: number): boolean;
  /** Whether some user is registered from this address. */
  knows(address: string): boolean;
  /** False: every REGISTER is refused. */
  readonly enabled: boolean;
}

/** Admission and routing on the live table: what the call path, the source gate and `explain` share. */
export class LiveAdmission implements Admission, SourceGate {
  readonly limiter: Limiter;
  readonly #spend: SpendView | undefined;
  readonly #health: GatewayView | undefined;
  readonly #registrations: RegisteredContacts | undefined;
  readonly #peers: PeerOverload | undefined;
  readonly unlisted: 'reject' | 'drop';
  readonly #holder: TableHolder;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #login: CallerLogin;
  readonly #egress: ((address: string) => boolean) | undefined;
  readonly #log = new UnlistedLog();

  constructor(
    holder: TableHolder,
    deps: {
      readonly clock: Clock;
      readonly random: Random;
      readonly unlisted: 'reject' | 'drop';
      /** Default: one of this node alone. */
      readonly limiter?: Limiter;
      readonly spend?: SpendView;
      readonly health?: GatewayView;
      /** Whether what a tenant has named may be called at this address; default: anywhere. */
      readonly egress?: ((address: string) => boolean) | undefined;
      readonly registrations?: RegisteredContacts | undefined;
      /** Which next hops ask for fewer calls; absent: nobody asks them. */
      readonly peers?: PeerOverload | undefined;
    },
  ) {
    this.#holder = holder;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#login = new CallerLogin(deps.random.hex(32));
    this.unlisted = deps.unlisted;
    this.limiter = deps.limiter ?? new CallLimiter();
    this.#spend = deps.spend;
    this.#health = deps.health;
    this.#egress = deps.egress;
    this.#registrations = deps.registrations;
    this.#peers = deps.peers;
  }

  get revision(): string {
    return this.#holder.current.revision;
  }

  isRegisteredFrom(address: string): boolean {
    return this.#registrations?.knows(address) === true;
  }

  get registersOut(): boolean {
    return this.#holder.current.registersOut;
  }

  /** The decision alone: nothing is taken. */
  explain(request: CallRequest): Decision {
    return decide(this.#holder.current, request, this.#context());
  }

  /** What an operator wants to know of a decision, on the table of now. */
  explanation(decision: Decision, request: CallRequest, policy: HeaderPolicy): Explanation {
    const unregistered = (id: string): string | undefined => this.#registrations?.unregistered(id);
    const view = { ...this.#context(), policy, unregistered };
    return explainDecision(decision, request, this.#holder.current, view);
  }

  admit(request: CallRequest): AdmittedCall {
    const table = this.#holder.current;
    const admitted = this.#take(table, request, () => decide(table, request, this.#context()));
    const { decision } = admitted;
    const flow = decision.flow === undefined ? undefined : table.flow(decision.flow.id);
    if (flow === undefined) return admitted;
    // The table of this moment is the call's until its end: flows and numbers do not change under its feet.
    const flows: PinnedFlows = {
      flow,
      media: mediaSettingsOf(table, decision, 'caller'),
      find: (flowId) => table.flow(flowId),
      dial: (wish) => {
        const dial = this.#take(table, request, () => decideDial(table, { decision, request }, wish, this.#context()));
        return { ...dial, media: mediaSettingsOf(table, dial.decision, 'callee') };
      },
    };
    return { ...admitted, flows };
  }

  /** A call that an account has placed: its caller ID decides the trunk, and that all else. */
  originate(order: OriginateOrder): Result<AdmittedOrigin, OriginateRefusal> {
    const table = this.#holder.current;
    const trunkSid = table.number(order.from)?.trunkSid;
    if (trunkSid === undefined || table.trunk(trunkSid)?.trunk.account_sid !== order.accountSid)
      return err('caller_number_unknown');
    const flow = typeof order.flow === 'string' ? table.flow(order.flow) : order.flow;
    if (flow === undefined || (flow.account_sid ?? order.accountSid) !== order.accountSid) return err('flow_unknown');
    const { address: sourceAddress, port: sourcePort } = order.source;
    const caller = { sourceAddress, sourcePort, transport: 'api', callerNumber: order.from };
    const request: CallRequest = { ...caller, calledNumber: order.to };
    const base = { ...refuse(table, request, 'internal_error'), trunkSid, accountSid: order.accountSid };
    const dialled = (wish: DialWish, decision: Decision): Admitted =>
      this.#take(table, request, () => decideDial(table, { decision, request }, wish, this.#context()));
    const first = dialled({ target: { kind: 'number', number: order.to }, callerId: order.from }, base);
    const decision = { ...first.decision, mode: 'flow', flow: { id: flow.id, version: flow.version } } as const;
    const media = mediaSettingsOf(table, first.decision, 'callee');
    const flows: PinnedFlows = {
      flow,
      media,
      find: (flowId) => table.flow(flowId),
      dial: (wish) => {
        // Whoever was called is no number of ours: further calls leave in the name of the first.
        const dial = dialled({ ...wish, callerId: wish.callerId ?? order.from }, decision);
        return { ...dial, media: mediaSettingsOf(table, dial.decision, 'callee') };
      },
    };
    return ok({ request, dial: { ...first, decision, media }, flows });
  }

  speaksFor({ sourceAddress, provedTrunks }: CallRequest, { kind, id }: Owner): boolean {
    const table = this.#holder.current;
    const listed = table.ownersOf(sourceAddress).some((owner) => owner.kind === kind && owner.id === id);
    if (kind === 'carrier') return listed;
    const trunk = table.trunk(id)?.trunk;
    if (trunk === undefined || trunk.status === 'inactive') return false;
    if ((trunk.credentials?.length ?? 0) === 0) return listed;
    return provedTrunks?.includes(id) === true && (listed || trunk.whitelisted_ips.length === 0);
  }

  /** By the table of now: a transfer is a call that begins now. */
  transfer(wish: TransferWish): AdmittedDial {
    const table = this.#holder.current;
    const admitted = this.#take(table, wish.request, () => decideTransfer(table, wish, this.#context()));
    return { ...admitted, media: mediaSettingsOf(table, admitted.decision, 'callee') };
  }

  mediaOf({ kind, id }: Owner): MediaSettings {
    const table = this.#holder.current;
    return (kind === 'trunk' ? table.trunk(id)?.trunk.media : table.carrier(id)?.carrier.media) ?? {};
  }

  login(invite: SignalMessage, source: SignalSource): Login {
    const login = this.#lookAt(invite, source.address);
    if (login.kind === 'proved') this.#login.take(invite);
    return login;
  }

  stranger(invite: SignalMessage, address: string): 'proved' | readonly HeaderEntry[] | undefined {
    // Nobody registers here: one answer for all.
    if (invite.method === 'REGISTER' && this.#registrations?.enabled !== true) return undefined;
    const login = this.#lookAt(invite, address);
    return login.kind === 'proved' ? 'proved' : login.kind === 'challenge' ? login.headers : undefined;
  }

  mayChallenge(address: string, nowMs: number): boolean {
    return this.#registrations?.mayChallenge(plainAddress(address), nowMs) === true;
  }

  challenge(invite: SignalMessage, address: string): readonly HeaderEntry[] {
    return this.#login.challenge(invite, address, this.#clock.nowMs());
  }

  isListed(address: string): boolean {
    const table = this.#holder.current;
    return !table.loaded || screenSource(table, plainAddress(address)) === 'known';
  }

  sameParty(address: string, known: string): boolean {
    const table = this.#holder.current;
    const owners = table.ownersOf(known);
    return table.ownersOf(address).some((one) => owners.some(({ kind, id }) => kind === one.kind && id === one.id));
  }

  isWorthARecord(address: string, nowMs: number): boolean {
    return this.#log.shouldLog(address, nowMs);
  }

  #lookAt(invite: SignalMessage, address: string): Login {
    return this.#login.look(this.#holder.current, invite, plainAddress(address), this.#clock.nowMs());
  }

  /** Takes the limits of what was decided. */
  #take(table: RoutingTable, request: CallRequest, decideNow: () => Decision): Admitted {
    const decision = decideNow();
    if (!decision.accepted) return { decision, release: NOTHING_HELD };
    const held = this.limiter.claim(decision.limits, this.#clock.nowMs());
    // The decision looked at the same counters a moment ago; where they have changed all the same, nobody gets in unheld.
    if (!held.ok) {
      const { key, limit } = held.error;
      return { decision: refuse(table, request, limitCode(key, limit)), release: NOTHING_HELD };
    }
    const hold = new CallHold(this.limiter, this.#clock, decision, held.value);
    return {
      decision,
      enter: (destination) => this.#sparing(destination, request.calledNumber) ?? hold.enter(destination),
      mayCall: (destination, address) => this.#mayCall(table, destination, address),
      credentials: ({ carrierId }) => credentialsOf(table, carrierId),
      release: () => hold.release(),
    };
  }

  /** RFC 7339 §5.10: asked before anything is taken for this destination. */
  #sparing({ gateway, sip }: Destination, called: string): 'destination_overloaded' | undefined {
    const peers = this.#peers;
    if (peers === undefined) return undefined;
    const place = sip?.next_hop?.replace(/^sips?:/i, '') ?? gateway;
    return peers.keeps(place, called, this.#clock.nowMs()) ? 'destination_overloaded' : undefined;
  }

  /** Gateways of carriers that no account brought along are the operator's word; all else a tenant may have named. */
  #mayCall(table: RoutingTable, { carrierId }: Destination, address: string): boolean {
    if (this.#egress === undefined) return true;
    const carrier = carrierId === undefined ? undefined : table.carrier(carrierId)?.carrier;
    if (carrier !== undefined && carrier.account_sid === undefined) return true;
    return this.#egress(address);
  }

  #context(): DecideContext {
    const nowMs = this.#clock.nowMs();
    return {
      limits: this.limiter.at(nowMs),
      spend: this.#spend,
      health: this.#health,
      contacts: this.#registrations,
      nowMs,
      random: this.#draw,
    };
  }

  readonly #draw = (): number => this.#random.float();
}
