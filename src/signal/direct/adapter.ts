import { type Clock, type Random, Roster } from '../../kernel/index.js';
import {
  type EngineHandler,
  type EngineOptions,
  type IncomingInvite,
  type IncomingRequest,
  type OverloadWord,
  type Screening,
  type SipEngine,
  type SipRequest,
  type Source,
  createEngine,
} from '../../sip/index.js';
import type {
  AskSpec,
  InviteSpec,
  OutgoingEvents,
  OutgoingLeg,
  RequestOutcome,
  SignalCapabilities,
  SignalHandlers,
  SignalPort,
  SignalTarget,
} from '../port.js';
import { type SourceGate, UnlistedSources } from './gate.js';
import { DirectIncomingLeg } from './incomingLeg.js';
import { type DirectLeg, type LegHost, outcomeOf } from './leg.js';
import { DirectMessage, toFields } from './message.js';
import { DirectOutgoingLeg, type Launch } from './outgoingLeg.js';

export type DirectSignalOptions = Omit<EngineOptions, 'handler' | 'supported'> & {
  /** Who may talk to us at all; absent: everybody. */
  readonly gate?: SourceGate | undefined;
  /** Programs beside the application on the same engine: a method that they claim is theirs. */
  readonly neighbour?: EngineNeighbour | undefined;
  /**
   * Told what a next hop says of its load in an answer to an INVITE (RFC 7339). Absent: nobody is asked, and no answer is
   * looked at. `gateway`: host, port and transport as the INVITE's URI or next hop had them.
   */
  readonly onOverloadTold?: ((gateway: string, word: OverloadWord) => void) | undefined;
};

/** Another user of the engine, such as the drachtio server. */
export interface EngineNeighbour {
  readonly handler: EngineHandler;
  claims(method: string): boolean;
  attach(engine: SipEngine): void;
}

/** Option tags of RFC 3261 §20.32 that a call over this adapter serves. */
const SUPPORTED = ['100rel', 'timer', 'path', 'outbound', 'replaces', 'norefersub'];

const ACCEPT: Screening = { action: 'accept' };

/** Straight onto the embedded engine: no frames, no copies. */
class DirectSignal implements SignalPort, EngineHandler, LegHost {
  readonly capabilities: SignalCapabilities = { reportsTrying: true };
  readonly random: Random;
  readonly #options: DirectSignalOptions;
  readonly #clock: Clock;
  readonly #legs = new Roster<DirectLeg>();
  readonly #unlisted: UnlistedSources | undefined;
  readonly sameParty: EngineHandler['sameParty'];
  readonly onOverloadTold: DirectSignalOptions['onOverloadTold'];
  #handlers: SignalHandlers | undefined;
  #engine: SipEngine | undefined;
  #ids = 0;

  constructor(options: DirectSignalOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.random = options.random;
    const { gate } = options;
    this.onOverloadTold = options.onOverloadTold;
    this.#unlisted = gate === undefined ? undefined : new UnlistedSources(gate, options.clock);
    this.sameParty = gate === undefined ? undefined : (address, known) => gate.sameParty?.(address, known) === true;
  }

  async start(handlers: SignalHandlers): Promise<readonly string[]> {
    this.#handlers = handlers;
    this.#engine = await createEngine({
      ...this.#options,
      ...{ supported: SUPPORTED, handler: this, obeysOverload: this.onOverloadTold !== undefined },
    });
    this.#options.neighbour?.attach(this.#engine);
    handlers.onAvailability(true, 'embedded engine is listening');
    return this.#engine.listening;
  }

  invite(spec: InviteSpec, events: OutgoingEvents): OutgoingLeg {
    const leg = new DirectOutgoingLeg(this, this.#nextId('out'), events, { spec, launch: this.#launch });
    this.#legs.add(leg);
    leg.start();
    return leg;
  }

  readonly #launch: Launch = (leg, spec, again) => {
    const { uri, nextHop, target, flow, route, from, to, behindNat: symmetric } = spec;
    const { headers, body } = toFields(spec);
    const callId = again?.callId;
    const cseq = again?.cseq;
    const order = { uri, nextHop, target, flow, route, from, to, headers, body, symmetric, callId, cseq };
    return this.#engine?.invite(order, leg);
  };

  locate(uri: string, located: (targets: readonly SignalTarget[]) => void): void {
    if (this.#engine === undefined) located([]);
    else this.#engine.locate(uri, located);
  }

  ask(spec: AskSpec, done: (outcome: RequestOutcome) => void): void {
    const engine = this.#engine;
    const settle = (outcome: RequestOutcome): void => this.soon(() => done(outcome));
    if (engine === undefined) return settle({ kind: 'transport_error', code: 'engine_lost' });
    const sent = engine.request(spec, {
      onResponse: (response, origin) => {
        if (response.status >= 200) settle(outcomeOf(response, origin));
      },
    });
    if ('refusal' in sent) settle({ kind: 'transport_error', code: sent.refusal });
  }

  async stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    engine?.stop();
    // The engine ends confirmed dialogs; what was still ringing ends here.
    for (const leg of [...this.#legs]) leg.onEngineLost();
    this.#handlers?.onAvailability(false, 'embedded engine has stopped');
  }

  dump(): object {
    return { legs: this.#legs.size, unlistedRefused: this.#unlisted?.refused ?? 0, ...this.#engine?.dump() };
  }

  // ------------------------------------------------------------------ EngineHandler

  screen(request: SipRequest, source: Source): Screening {
    const handlers = this.#handlers;
    if (this.#unlisted === undefined || handlers === undefined) return ACCEPT;
    if (this.#options.neighbour?.claims(request.method) === true) return ACCEPT;
    return this.#unlisted.screen(request, source, (leg) => handlers.onInvite(leg));
  }

  onInvite(invite: IncomingInvite): void {
    const { neighbour } = this.#options;
    if (neighbour?.claims('INVITE') === true) return neighbour.handler.onInvite(invite);
    const leg = new DirectIncomingLeg(this, this.#nextId('in'), invite);
    this.#legs.add(leg);
    try {
      leg.sink = (this.#handlers as SignalHandlers).onInvite(leg);
    } catch (error) {
      // The engine answers 500 and tells the operator.
      leg.reject(500);
      throw error;
    }
  }

  onRequest(request: IncomingRequest): void {
    const { neighbour } = this.#options;
    if (neighbour?.claims(request.request.method) === true) return neighbour.handler.onRequest(request);
    this.#handlers?.onRequest({
      message: new DirectMessage(request.request),
      source: request.source,
      keepFlow: () => request.keepFlow?.() ?? '',
      nodeRoute: (flow) => request.nodeRoute?.(flow),
      respond: (status, spec) => void request.respond(status, toFields(spec ?? {})),
    });
  }

  onFlowClosed(flow: string): void {
    this.#handlers?.onFlowClosed?.(flow);
  }

  // ------------------------------------------------------------------ LegHost

  remove(leg: DirectLeg): void {
    this.#legs.delete(leg);
  }

  soon(work: () => void): void {
    this.#clock.setTimer('signal_soon', 0, work);
  }

  #nextId(prefix: string): string {
    return `${prefix}-${(++this.#ids).toString(36)}`;
  }
}

/** The embedded engine as a SignalPort. It binds its addresses at `start`. */
export const createDirectSignal = (options: DirectSignalOptions): SignalPort => new DirectSignal(options);
