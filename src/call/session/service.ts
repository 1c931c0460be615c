/** The application behind the signal port: every INVITE becomes a call with one record, whatever happens. */
import { type Clock, type EventChannel, type Random, type Result, err, ok } from '../../kernel/index.js';
import type {
  HeaderEntry,
  IncomingLeg,
  LegEvents,
  OutOfDialogRequest,
  SignalHandlers,
  SignalMessage,
  SignalPort,
  SignalSource,
} from '../../signal/port.js';
import { type Alarm, AlarmGate } from '../admission/alarms.js';
import { Bridge } from '../bridge/bridge.js';
import { DEAF } from '../bridge/deafLeg.js';
import { CAPABILITY_HEADERS } from '../bridge/dialogRelay.js';
import { ENDED_BY_API, SESSION_EXPIRED, SPEND_LIMIT, endingOfRefusal } from '../bridge/ending.js';
import { HeaderPolicy } from '../bridge/headerPolicy.js';
import { wantsMorePrivacy } from '../bridge/identityFields.js';
import { commonInvite } from '../bridge/legHeaders.js';
import { reasonHeader } from '../bridge/reason.js';
import { refusedOption } from '../bridge/reliability.js';
import { LEAST_SECONDS } from '../bridge/sessionFields.js';
import { TimedIncomingLeg, callerTimer } from '../bridge/timedLegs.js';
import { type BridgeSettings, type BridgeWorld, DEFAULT_BRIDGE_SETTINGS } from '../bridge/world.js';
import type { CallRecorder } from '../record/cdr.js';
import type { Owner, TransferWish } from '../routing/decideTransfer.js';
import type { CallRequest, Decision, ReasonCode } from '../routing/decision.js';
import type { FailoverPolicy, MediaSettings } from '../routing/resources.js';
import { Draft } from '../routing/draft.js';
import { CallIds } from './callId.js';
import type { Login } from './callerLogin.js';
import type { CallEvent } from './events.js';
import { FlowCall } from './flow/flowCall.js';
import type { AdmittedDial, FlowPlane } from './flow/world.js';
import { type AdmittedCall, type CallWorld, LiveCall } from './liveCall.js';
import { CalledLeg } from './originate/calledLeg.js';
import type { AdmittedOrigin, OriginateOrder, OriginateRefusal } from './originate/order.js';
import { OriginCall } from './originate/originCall.js';
import { CallRegistry } from './registry.js';
import { callRequestOf, plainAddress } from './request.js';
import { TransferDesk } from './transfer/desk.js';
import type { TakenUp } from './transfer/pickUp.js';

/** Port to admission and routing: decides by the live table and takes the call's limits. */
export interface Admission {
  /** A refused call has `accepted` false, and nothing to release. */
  admit(request: CallRequest): AdmittedCall;
  /** Decides on a placed call, by the live table too; absent where none are placed. */
  originate?(order: OriginateOrder): Result<AdmittedOrigin, OriginateRefusal>;
  /** Decides where somebody who is transferred goes, and takes the limits; absent where nobody transfers to numbers. */
  transfer?(wish: TransferWish): AdmittedDial;
  /** What is said about audio of a trunk or carrier; absent: nothing. */
  mediaOf?(owner: Owner): MediaSettings;
  /** Whether calls of this source are calls of the trunk or carrier, passwords included. */
  speaksFor?(request: CallRequest, owner: Owner): boolean;
  /** Whether any trunk or carrier lists this address. */
  isListed(address: string): boolean;
  /** What an INVITE has proved, once; absent: nobody is asked for a password. */
  login?(invite: SignalMessage, source: SignalSource): Login;
  /** Fields of a 401 to this address. */
  challenge?(invite: SignalMessage, address: string): readonly HeaderEntry[];
  /** Whether this exchange is registered at any carrier, so that To may name the number that was dialled. */
  readonly registersOut?: boolean;
  /** Whether some user is registered from this address. */
  isRegisteredFrom?(address: string): boolean;
  /** Revision of the live table, for calls that are refused before a decision. */
  readonly revision: string;
}

export interface CallServiceOptions {
  readonly port: SignalPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly admission: Admission;
  readonly recorder: CallRecorder;
  readonly events: EventChannel<CallEvent>;
  readonly nodeId: string;
  readonly policy?: HeaderPolicy;
  readonly settings?: Partial<BridgeSettings>;
  /** What a failed attempt leads to, where the trunk's own policy says nothing. */
  readonly failover?: FailoverPolicy;
  /** Of the places that a gateway's name leads to: which to try last. */
  readonly health?: { isDown(place: string): boolean } | undefined;
  /** What flows need: without it, numbers that a flow answers are refused. */
  readonly plane?: FlowPlane | undefined;
  readonly registrar?: RegisterHandler | undefined;
  /** Live calls; more are refused with 503. */
  readonly maxCalls?: number;
}

/** Seconds after which a refused sender may try this node again. */
const RETRY_AFTER_S = 10;

/** RFC 3261 §12.2.2: requests that make sense within a dialog only. */
const IN_DIALOG_ONLY = new Set(['BYE', 'INFO', 'NOTIFY', 'PRACK', 'UPDATE']);
/** Known methods that are not served; others are unknown. RFC 3261 §21.4.6, §21.5.2. */
const NOT_ALLOWED = new Set(['MESSAGE', 'PUBLISH', 'REFER', 'REGISTER', 'SUBSCRIBE']);

/** Who takes REGISTERs; absent: they are not served. */
export interface RegisterHandler {
  receive(request: OutOfDialogRequest, proved: { readonly userName: string; readonly trunks: readonly string[] }): void;
  flowClosed(flow: string): void;
}

export class CallService implements SignalHandlers {
  readonly registry = new CallRegistry();
  readonly #options: CallServiceOptions;
  readonly #world: CallWorld;
  readonly #bridgeWorld: BridgeWorld;
  readonly #desk: TransferDesk;
  readonly #ids: CallIds;
  readonly #alarms = new AlarmGate();
  readonly #maxCalls: number;
  #draining = false;

  constructor(options: CallServiceOptions) {
    this.#options = options;
    this.#maxCalls = options.maxCalls ?? Infinity;
    this.#ids = new CallIds(options.clock, options.random);
    const { port, clock, random } = options;
    const settings = { ...DEFAULT_BRIDGE_SETTINGS, ...options.settings };
    const { policy = new HeaderPolicy(), failover = {}, health } = options;
    this.#bridgeWorld = { port, clock, random, policy, settings, failover, health };
    this.#desk = new TransferDesk({
      world: this.#bridgeWorld,
      admit: options.admission.transfer?.bind(options.admission),
      mediaOf: options.admission.mediaOf?.bind(options.admission),
      calls: () => this.registry.values(),
    });
    this.#world = {
      ...options,
      transfers: this.#desk,
    };
  }

  get draining(): boolean {
    return this.#draining;
  }

  onInvite(leg: IncomingLeg): LegEvents {
    const login = this.#options.admission.login?.(leg.message, leg.source);
    if (login?.kind === 'challenge' || login?.kind === 'refused') return this.#ask(leg, login);
    const plain = callRequestOf(leg.message, leg.source, this.#options.admission.registersOut);
    const request =
      login?.kind === 'proved' ? { ...plain, userName: login.userName, provedTrunks: login.trunks } : plain;
    const taken = leg.message.header('Replaces') === undefined ? undefined : this.#takeUp(leg, request);
    if (taken?.sink !== undefined) return taken.sink;
    const call = new LiveCall(this.#world, this.#ids.next(), leg, {
      request,
      onReleased: (gone) => this.registry.remove(gone),
    });
    try {
      return this.#connect(call, taken);
    } catch (error) {
      call.onFault('invite', error);
      const { course } = call;
      if (course instanceof Bridge || course instanceof FlowCall) return course;
      return this.#refuse(call, call.decision, 'internal_error');
    }
  }

  /**
   * Places a call and runs a flow with whoever answers. Whatever becomes of it is in the call's record and events.
   * @returns the call's id; or why there is no call at all
   */
  originate(order: OriginateOrder): Result<{ readonly callId: string; readonly decision: Decision }, OriginateRefusal> {
    const { admission, plane } = this.#options;
    if (this.#draining) return err('draining');
    if (this.registry.size >= this.#maxCalls) return err('node_full');
    if (plane === undefined) return err('flow_not_available');
    const admitted = admission.originate?.(order) ?? err('flow_not_available');
    if (!admitted.ok) return admitted;
    const { request, dial, flows } = admitted.value;
    const callId = this.#ids.next();
    const leg = new CalledLeg(`origin-${callId}`, order);
    const call = new LiveCall(this.#world, callId, leg, {
      request,
      placed: true,
      onReleased: (gone) => this.registry.remove(gone),
    });
    call.decided({ decision: dial.decision, flows, release: () => dial.release() });
    const course = new OriginCall(
      { ...this.#bridgeWorld, plane },
      { callId, leg, order, admitted: admitted.value },
      call,
    );
    call.course = course;
    this.registry.add(call);
    course.begin();
    return ok({ callId, decision: dial.decision });
  }

  onRequest(request: OutOfDialogRequest): void {
    try {
      this.#respond(request);
    } catch (error) {
      this.#fault('request', error);
      request.respond(500);
    }
  }

  onFlowClosed(flow: string): void {
    this.#options.registrar?.flowClosed(flow);
  }

  onAvailability(up: boolean, detail: string): void {
    this.#options.events.emit({ type: 'signalling', atMs: this.#options.clock.wallMs(), up, detail });
  }

  /**
   * Takes no new calls. Those that live run on for up to `limitMs`, then are ended.
   * @returns when none is left
   */
  async drain(limitMs: number): Promise<void> {
    const { clock, events } = this.#options;
    if (!this.#draining) {
      this.#draining = true;
      events.emit({ type: 'drain_started', atMs: clock.wallMs(), liveCalls: this.registry.size, limitMs });
    }
    const timer = clock.setTimer('drain_limit', limitMs, () => {
      this.registry.hangUpAll({
        sipStatus: 503,
        reasonCode: 'drain_limit',
        q850: 41,
        retryAfterS: RETRY_AFTER_S,
      });
    });
    await this.registry.whenEmpty();
    timer.cancel();
  }

  dump(): object {
    return { draining: this.#draining, liveCalls: this.registry.size, calls: this.registry.dump(1000) };
  }

  #connect(call: LiveCall, taken: TakenUp | undefined): LegEvents {
    if (this.#draining) return this.#refuse(call, undefined, 'draining');
    if (this.registry.size >= this.#maxCalls) return this.#refuse(call, undefined, 'node_full');
    if (taken !== undefined) return this.#replace(call, taken);
    const admitted = this.#options.admission.admit(call.request);
    call.decided(admitted);
    const { decision } = admitted;
    if (!decision.accepted) return this.#refuse(call, decision, decision.reasonCode);
    if (refusedOption(decision.sip, call.aLeg.message) !== undefined)
      return this.#refuse(call, decision, 'extension_off');
    if (wantsMorePrivacy(call.aLeg.message.header('Privacy')))
      return this.#refuse(call, decision, 'privacy_not_served');
    if (decision.sip?.nat === true || this.#sendsFromItsContact(call, decision)) call.aLeg.behindNat?.();
    const timer = callerTimer(decision.sip?.session_timer, call.aLeg.message, decision.mode === 'flow');
    if (timer?.verdict.kind === 'too_small') return this.#refuse(call, decision, 'session_interval_too_small');
    if (timer === undefined) return this.#follow(call, admitted, call.aLeg);
    const expired = (): void => call.course?.hangUp(SESSION_EXPIRED);
    const leg = new TimedIncomingLeg(call.aLeg, timer.verdict, { ...this.#bridgeWorld, ...timer, expired });
    return leg.attach(this.#follow(call, admitted, leg));
  }

  /** An INVITE with Replaces: whoever takes a call that rings makes none of its own. */
  #takeUp(leg: IncomingLeg, request: CallRequest): TakenUp {
    const { admission } = this.#options;
    const speaksFor = (of: CallRequest, owner: Owner): boolean => admission.speaksFor?.(of, owner) === true;
    const nat = request.userName !== undefined && admission.isRegisteredFrom?.(request.sourceAddress) === true;
    try {
      return this.#desk.takeUp({ leg, request, nat, speaksFor });
    } catch (error) {
      this.#fault('pick_up', error);
      leg.reject(500, { headers: [reasonHeader('SIP', 500, 'internal_error')] });
      return { sink: DEAF, speaksFor };
    }
  }

  /** A newcomer for an end of an established call. */
  #replace(call: LiveCall, taken: TakenUp): LegEvents {
    const replacement = this.#desk.replace(call, this.#revision(), taken);
    if (typeof replacement === 'string') return this.#refuse(call, undefined, replacement);
    this.registry.add(call);
    return replacement;
  }

  /** @param aLeg the caller's leg as the call's course has it */
  #follow(call: LiveCall, admitted: AdmittedCall, aLeg: IncomingLeg): LegEvents {
    const { decision } = admitted;
    if (decision.mode === 'flow') return this.#startFlow(call, admitted, aLeg);
    const invite = commonInvite(call.aLeg.message, decision, this.#bridgeWorld.policy);
    if (invite === undefined) return this.#refuse(call, decision, 'too_many_hops');
    const bridge = new Bridge(this.#bridgeWorld, { aLeg, plan: admitted, invite }, call);
    call.course = bridge;
    this.registry.add(call);
    bridge.begin();
    return bridge;
  }

  /** The call is answered by a flow. Without a media plane none can. */
  #startFlow(call: LiveCall, { decision, flows }: AdmittedCall, aLeg: IncomingLeg): LegEvents {
    const { plane } = this.#options;
    if (plane === undefined || flows === undefined) return this.#refuse(call, decision, 'flow_not_available');
    const { id: callId, request } = call;
    const world = { ...this.#bridgeWorld, plane };
    const course = new FlowCall(world, { callId, aLeg, request, decision, flows }, call);
    call.course = course;
    this.registry.add(call);
    course.begin();
    return course;
  }

  /** A caller who has to prove a password first: no call yet, and no record (RFC 3261 §22.2). */
  #ask(leg: IncomingLeg, login: Extract<Login, { kind: 'challenge' | 'refused' }>): LegEvents {
    if (login.kind === 'challenge') leg.reject(401, { headers: login.headers });
    else leg.reject(403, { headers: [reasonHeader('SIP', 403, 'source_not_allowed')] });
    return DEAF;
  }

  /** The final answer to a call that goes nowhere, with its reason and its record. */
  #refuse(call: LiveCall, decided: Decision | undefined, code: ReasonCode): LegEvents {
    const refusal = new Draft(this.#revision(), call.request).reject(code === 'routed' ? 'internal_error' : code);
    const decision = decided ?? refusal;
    if (decided === undefined) call.decided({ decision, release: () => {} });
    const status = (decision.accepted ? refusal.sipStatus : decision.sipStatus) ?? 500;
    const headers: HeaderEntry[] = [reasonHeader('SIP', status, code)];
    // RFC 3261 §21.5.4: without Retry-After a 503 may take this node out of service for its sender.
    if (status === 401)
      headers.push(...(this.#options.admission.challenge?.(call.aLeg.message, call.request.sourceAddress) ?? []));
    if (status === 422) headers.push(['Min-SE', String(decision.sip?.session_timer?.min_se ?? LEAST_SECONDS)]);
    // RFC 3261 §21.4.15.
    if (status === 420) headers.push(['Unsupported', refusedOption(decision.sip, call.aLeg.message) ?? '']);
    if (status === 503) headers.push(['Retry-After', String(decision.retryAfterSeconds ?? RETRY_AFTER_S)]);
    this.#alarm(call, this.#alarms.refused(decision, this.#options.clock.nowMs()));
    // The record before the answer, as in the bridge.
    call.onOver(endingOfRefusal(status, code));
    call.aLeg.reject(status, { headers });
    call.onReleased(0);
    return DEAF;
  }

  /** Ends a call because somebody asked for it over the administration. @returns false when there is none of this id */
  endByApi(callId: string): boolean {
    const call = this.registry.get(callId);
    if (call === undefined || call.isOver) return false;
    call.course?.hangUp(ENDED_BY_API);
    return true;
  }

  /** Ends a call for want of money: what its trunk or account, `key`, may spend today is spent. */
  endUnpaid(callId: string, key: string): void {
    const call = this.registry.get(callId);
    if (call === undefined || call.isOver) return;
    this.#alarm(call, this.#alarms.raise('spend_cap_reached', key, this.#options.clock.nowMs()));
    call.course?.hangUp(SPEND_LIMIT);
  }

  #alarm({ id: callId }: LiveCall, alarm: Alarm | undefined): void {
    if (alarm === undefined) return;
    const { events, clock } = this.#options;
    events.emit({ type: 'fraud_alarm', callId, atMs: clock.wallMs(), ...alarm });
  }

  #respond(request: OutOfDialogRequest): void {
    const { method } = request.message;
    if (method === 'REGISTER' && this.#register(request)) return;
    if (!this.#options.admission.isListed(plainAddress(request.source.address))) {
      request.respond(403, { headers: [reasonHeader('SIP', 403, 'source_not_allowed')] });
    } else if (method === 'OPTIONS') {
      // RFC 3261 §11.2: the status that an INVITE would get.
      if (this.#draining) request.respond(503, { headers: [['Retry-After', String(RETRY_AFTER_S)]] });
      else request.respond(200, { headers: CAPABILITY_HEADERS });
    } else if (IN_DIALOG_ONLY.has(method)) request.respond(481);
    else request.respond(NOT_ALLOWED.has(method) ? 405 : 501, { headers: CAPABILITY_HEADERS.slice(0, 1) });
  }

  /** Whoever is registered from the address that the call comes from is reached there, whatever its Contact says. */
  #sendsFromItsContact({ request }: LiveCall, { userName }: Decision): boolean {
    return userName !== undefined && this.#options.admission.isRegisteredFrom?.(request.sourceAddress) === true;
  }

  /** RFC 3261 §10.3. @returns false when nobody can register here */
  #register(request: OutOfDialogRequest): boolean {
    const { registrar, admission } = this.#options;
    const login = registrar === undefined ? undefined : admission.login?.(request.message, request.source);
    if (login === undefined || login.kind === 'open') return false;
    if (login.kind === 'challenge') request.respond(401, { headers: login.headers });
    else if (login.kind === 'refused')
      request.respond(403, { headers: [reasonHeader('SIP', 403, 'source_not_allowed')] });
    else if (this.#draining) request.respond(503, { headers: [['Retry-After', String(RETRY_AFTER_S)]] });
    else registrar?.receive(request, login);
    return true;
  }

  #revision(): string {
    try {
      return this.#options.admission.revision;
    } catch {
      return '';
    }
  }

  #fault(where: string, error: unknown): void {
    this.#options.events.emit({ type: 'call_fault', callId: '', atMs: this.#options.clock.wallMs(), where, error });
  }
}
