/** A call service on fake legs, a manual clock and an admission that the test writes. */
import { EventChannel, ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { HeaderPolicy, type HeaderPolicySettings } from '../../src/call/bridge/headerPolicy.js';
import type { BridgeSettings } from '../../src/call/bridge/world.js';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { MemoryCallRecorder } from '../../src/call/record/memoryRecorder.js';
import type { CallRequest, Decision, Destination, Priced, ReasonCode } from '../../src/call/routing/decision.js';
import { Draft } from '../../src/call/routing/draft.js';
import type { TransferWish } from '../../src/call/routing/decideTransfer.js';
import type { FailoverPolicy, SipSettings } from '../../src/call/routing/resources.js';
import type { CallEvent } from '../../src/call/session/events.js';
import type { AdmittedDial } from '../../src/call/session/flow/world.js';
import type { AdmittedCall } from '../../src/call/session/liveCall.js';
import { type Admission, CallService } from '../../src/call/session/service.js';
import { FakeSignal } from './fakeSignal.js';

export interface RigOptions {
  /** Hosts to try, in order. */
  readonly destinations?: readonly string[];
  readonly failover?: FailoverPolicy;
  readonly direction?: 'inbound' | 'outbound';
  readonly callerSent?: string;
  readonly reportsTrying?: boolean;
  /** SIP towards the caller, and towards all destinations. */
  readonly callerSip?: SipSettings;
  readonly calleeSip?: SipSettings;
  readonly settings?: Partial<BridgeSettings>;
  readonly policy?: Partial<HeaderPolicySettings>;
  readonly maxCalls?: number;
  /** Of the destinations, in their order. */
  readonly prices?: readonly Priced[];
  readonly inboundPrice?: Priced;
  /** Why a destination must not be tried: the limits of its carrier. */
  readonly enter?: (destination: Destination) => ReasonCode | undefined;
  /** Whose INVITEs with Replaces are whose; default: those of 127.0.20.20 are any trunk's. */
  readonly speaksFor?: (request: CallRequest, id: string) => boolean;
  /** Decides on transfers; without it nobody transfers to numbers. */
  readonly transfer?: (wish: TransferWish) => Decision;
  /** Replaces the decision that accepts. */
  readonly decide?: (request: CallRequest) => Decision;
}

export class CallRig {
  readonly clock = new ManualClock();
  readonly signal: FakeSignal;
  readonly recorder = new MemoryCallRecorder();
  readonly events: CallEvent[] = [];
  readonly requests: CallRequest[] = [];
  readonly wishes: TransferWish[] = [];
  readonly service: CallService;
  admitted = 0;
  released = 0;
  readonly #options: RigOptions;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    this.signal = new FakeSignal({ reportsTrying: options.reportsTrying ?? true });
    const events = new EventChannel<CallEvent>((error) => {
      throw error;
    });
    events.subscribe((event) => this.events.push(event));
    const admission: Admission = {
      admit: (request) => this.#admit(request),
      isListed: (address) => address.startsWith('127.0.20.'),
      revision: 'r1',
      speaksFor: (request, { kind, id }) =>
        options.speaksFor?.(request, id) ?? (kind === 'trunk' && request.sourceAddress === '127.0.20.20'),
      ...(options.transfer === undefined ? {} : { transfer: (wish) => this.#transfer(wish) }),
    };
    this.service = new CallService({
      port: this.signal,
      clock: this.clock,
      random: new SeededRandom(1),
      admission,
      recorder: this.recorder,
      events,
      nodeId: 'node-1',
      policy: new HeaderPolicy(options.policy),
      ...(options.settings === undefined ? {} : { settings: options.settings }),
      ...(options.maxCalls === undefined ? {} : { maxCalls: options.maxCalls }),
    });
    void this.signal.start(this.service);
  }

  /** The only record; fails when there is none, or a second one. */
  get record(): CallRecord {
    if (this.recorder.records.length !== 1) throw new Error(`${this.recorder.records.length} records`);
    return this.recorder.records[0] as CallRecord;
  }

  get state(): string {
    return this.service.registry.dump()[0]?.state ?? 'gone';
  }

  eventTypes(): string[] {
    return this.events.map((event) => event.type);
  }

  /** What is left of calls; empty when all is well. */
  leftovers(): string[] {
    const left = [...this.signal.breaches];
    if (this.service.registry.size > 0) left.push(`${this.service.registry.size} calls in the registry`);
    if (this.clock.pending > 0) left.push(`timers ${JSON.stringify(this.clock.dump())}`);
    if (this.admitted !== this.released) left.push(`${this.admitted - this.released} limits held`);
    for (const event of this.events) if (event.type === 'call_fault') left.push(`fault ${String(event.error)}`);
    return left;
  }

  #admit(request: CallRequest): AdmittedCall {
    this.requests.push(request);
    const decision = this.#options.decide?.(request) ?? this.#accept(request);
    this.admitted++;
    const { enter } = this.#options;
    return {
      decision,
      ...(enter === undefined ? {} : { enter }),
      release: () => {
        this.released++;
      },
    };
  }

  #transfer(wish: TransferWish): AdmittedDial {
    this.wishes.push(wish);
    const decision = (this.#options.transfer as (wish: TransferWish) => Decision)(wish);
    if (decision.accepted) this.admitted++;
    return {
      decision,
      media: {},
      release: () => {
        if (decision.accepted) this.released++;
      },
    };
  }

  #accept(request: CallRequest): Decision {
    const draft = new Draft('r1', request);
    const { direction = 'inbound' } = this.#options;
    draft.direction = direction;
    draft.mode = 'pstn';
    draft.accountSid = 'demo';
    draft.trunkSid = 'trk_demo';
    draft.carrierId = 'telco-a';
    draft.calledE164 = '+918040000001';
    draft.callerE164 = '+919820000000';
    draft.callerSent = this.#options.callerSent ?? '+919820000000';
    draft.failover = this.#options.failover ?? {};
    draft.sip = this.#options.callerSip;
    draft.destinations = (this.#options.destinations ?? ['127.0.20.20:5060;transport=udp']).map((gateway, i) => ({
      uri: `sip:+918040000001@${gateway}`,
      gateway,
      priority: 0,
      weight: 1,
      ...(direction === 'outbound' ? { carrierId: 'telco-a' } : {}),
      sip: this.#options.calleeSip,
      ...this.#options.prices?.[i],
    }));
    draft.inbound = this.#options.inboundPrice;
    return draft.accept();
  }
}
