/** A flow call on fake legs and fake media, a manual clock, and a routing table that the test writes. */
import { CallLimiter } from '../../src/call/admission/limiter.js';
import { SpendLedger } from '../../src/call/admission/spend.js';
import type { BridgeSettings } from '../../src/call/bridge/world.js';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { MemoryCallRecorder } from '../../src/call/record/memoryRecorder.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import { flattenBatches, validateDocument } from '../../src/call/routing/schema.js';
import type { CallEvent } from '../../src/call/session/events.js';
import type { HttpAnswer, HttpAsk } from '../../src/call/session/flow/world.js';
import { CallService } from '../../src/call/session/service.js';
import { SpendWatch } from '../../src/call/session/spendWatch.js';
import { LiveAdmission } from '../../src/cli/admission.js';
import { observeSpend } from '../../src/cli/spendEvents.js';
import { EventChannel, ManualClock, type Result, SeededRandom, err } from '../../src/kernel/index.js';
import { FakeMedia } from './fakeMedia.js';
import { type FakeIncomingLeg, FakeSignal, type IncomingCall } from './fakeSignal.js';

export const FLOW_NUMBER = '+918040000002';
export const TRUNK_NUMBER = '+918040000001';

/** A web server that the test plays. */
export class FakeHttp {
  readonly asked: { readonly ask: HttpAsk; readonly answer: (answer: HttpAnswer) => void; cancelled: boolean }[] = [];

  fetch(ask: HttpAsk, done: (answer: HttpAnswer) => void): { cancel(): void } {
    const entry = {
      ask,
      cancelled: false,
      answer: (answer: HttpAnswer) => {
        if (!entry.cancelled) done(answer);
      },
    };
    this.asked.push(entry);
    return { cancel: () => (entry.cancelled = true) };
  }

  answers(status: number, body = ''): void {
    this.asked.at(-1)?.answer({ ok: true, status, body: Buffer.from(body) });
  }
}

export interface FlowRigOptions {
  readonly nodes: object;
  /** More of the flow: start (default `first`), fallback, variables. */
  readonly flow?: object;
  readonly flows?: readonly object[];
  readonly trunks?: readonly object[];
  /** More of the carrier and of the trunk: prices, and what calls may cost. */
  readonly carrier?: object;
  readonly trunk?: object;
  readonly groups?: readonly object[];
  readonly settings?: Partial<BridgeSettings>;
  /** Words about audio of the carrier that calls come from, and of the trunk. */
  readonly media?: { readonly carrier?: object; readonly trunk?: object };
  readonly speech?: (text: string) => Result<Buffer, string>;
}

export class FlowRig {
  readonly clock = new ManualClock();
  readonly signal = new FakeSignal();
  readonly media = new FakeMedia();
  readonly http = new FakeHttp();
  readonly recorder = new MemoryCallRecorder();
  readonly events: CallEvent[] = [];
  readonly admission: LiveAdmission;
  readonly limiter = new CallLimiter();
  readonly spend = new SpendLedger(this.clock);
  readonly #spendWatch: SpendWatch;
  readonly service: CallService;
  /** Faults that the test expects. */
  readonly faults: unknown[] = [];

  /** Faults end a test unless it looks at them. */
  expectsFaults = false;

  private constructor(holder: TableHolder, options: FlowRigOptions) {
    const random = new SeededRandom(1);
    const { clock, limiter, spend } = this;
    this.admission = new LiveAdmission(holder, { clock, random, unlisted: 'reject', limiter, spend });
    const events = new EventChannel<CallEvent>((error) => {
      throw error;
    });
    events.subscribe((event) => {
      this.events.push(event);
      if (event.type === 'call_fault') this.faults.push(event.error);
    });
    this.service = new CallService({
      port: this.signal,
      clock: this.clock,
      random,
      admission: this.admission,
      recorder: this.recorder,
      events,
      nodeId: 'node-1',
      plane: {
        media: this.media,
        http: this.http,
        speech: { speak: (text) => Promise.resolve(options.speech?.(text) ?? err('no speech here')) },
        settings: {
          soundsPath: '/sounds',
          recordingsPath: '/recordings',
          recordingsUrl: 'https://rec.example/',
          mediaTimeoutMs: 0,
        },
      },
      ...(options.settings === undefined ? {} : { settings: options.settings }),
    });
    this.#spendWatch = new SpendWatch({
      clock,
      spend,
      capsOf: (trunkSid, accountSid) => holder.current.capsOf(trunkSid, accountSid),
      end: (callId, key) => this.service.endUnpaid(callId, key),
    });
    events.subscribe(this.#spendWatch.observe);
    events.subscribe((event) => observeSpend(spend, event));
    void this.signal.start(this.service);
  }

  static async create(options: FlowRigOptions): Promise<FlowRig> {
    const flow = { id: 'flw', start: 'first', nodes: options.nodes, ...options.flow };
    const document = validateDocument({
      accounts: [{ sid: 'demo' }],
      carriers: [
        {
          id: 'telco',
          source_acl: [{ ip: '127.0.20.10' }],
          gateways: [{ uri: 'sip:127.0.20.10:5060' }],
          media: options.media?.carrier ?? {},
          identity: { p_asserted_identity: true },
          ...options.carrier,
        },
      ],
      trunks: [
        {
          trunk_sid: 'trk',
          account_sid: 'demo',
          trunk_name: 'pbx',
          media: options.media?.trunk ?? {},
          whitelisted_ips: [{ ip: '127.0.20.20' }],
          destination_uris: [
            { destination: '127.0.20.20:5060', priority: 0 },
            { destination: '127.0.20.21:5060', priority: 1 },
          ],
          phone_numbers: [
            { phone_number: TRUNK_NUMBER, mode: 'pstn', carrier: 'telco' },
            { phone_number: FLOW_NUMBER, mode: 'flow', flow: 'flw', carrier: 'telco' },
          ],
          ...options.trunk,
        },
        ...(options.trunks ?? []),
      ],
      flows: [flow, ...(options.flows ?? [])],
      network_groups: [...(options.groups ?? [])],
    });
    if (!document.ok) throw new Error(document.error.map(({ message }) => message).join('\n'));
    const holder = new TableHolder();
    await holder.apply({ kind: 'full', revision: 'r1', batches: flattenBatches(document.value) });
    return new FlowRig(holder, options);
  }

  /** A caller's INVITE. */
  calls(more: IncomingCall = {}): FakeIncomingLeg {
    return this.signal.call({
      uri: `sip:${FLOW_NUMBER}@127.0.0.1:5060`,
      source: { transport: 'udp', address: '127.0.20.10', port: 5060 },
      ...more,
    });
  }

  /** A caller whom the flow has answered. */
  async answered(more: IncomingCall = {}): Promise<FakeIncomingLeg> {
    const leg = this.calls(more);
    await this.turn();
    leg.acks();
    await this.turn();
    return leg;
  }

  /** Lets promises that are due settle. */
  async turn(): Promise<void> {
    for (let i = 0; i < 30; i++) await Promise.resolve();
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms);
    await this.turn();
  }

  /** The only record; fails when there is none, or a second one. */
  get record(): CallRecord {
    if (this.recorder.records.length !== 1) throw new Error(`${this.recorder.records.length} records`);
    return this.recorder.records[0] as CallRecord;
  }

  /** What is left of calls; empty when all is well. */
  leftovers(): string[] {
    const left = [...this.signal.breaches, ...this.media.leftovers()];
    if (this.service.registry.size > 0) left.push(`calls ${JSON.stringify(this.service.dump())}`);
    if (this.clock.pending > 0) left.push(`timers ${JSON.stringify(this.clock.dump())}`);
    const limits = this.limiter.dump();
    if (limits.calls > 0) left.push(`limits ${JSON.stringify(limits)}`);
    const money = { running: this.spend.dump().running, watched: this.#spendWatch.dump().calls };
    if (money.running > 0 || money.watched > 0) left.push(`money ${JSON.stringify(money)}`);
    if (!this.expectsFaults)
      left.push(...this.faults.map((fault) => `fault ${String((fault as Error).stack ?? fault)}`));
    if (this.recorder.records.length !== 1) left.push(`${this.recorder.records.length} records`);
    return left;
  }
}
