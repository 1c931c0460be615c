import type { Clock } from '../../kernel/index.js';
import {
  type EngineHandler,
  type EngineOptions,
  type IncomingInvite,
  type IncomingRequest,
  type SipEngine,
  createEngine,
} from '../../sip/index.js';
import type {
  InviteSpec,
  OutgoingEvents,
  OutgoingLeg,
  SignalCapabilities,
  SignalHandlers,
  SignalPort,
} from '../port.js';
import { DirectIncomingLeg } from './incomingLeg.js';
import type { DirectLeg, LegHost } from './leg.js';
import { DirectMessage, toFields } from './message.js';
import { DirectOutgoingLeg } from './outgoingLeg.js';

export type DirectSignalOptions = Omit<EngineOptions, 'handler' | 'supported'> & {
  /** The gate before any state, see EngineHandler.screen. */
  readonly screen?: EngineHandler['screen'] | undefined;
};

/** Option tags of RFC 3261 §20.32 that a call over this adapter serves. */
const SUPPORTED = ['100rel'];

/** Straight onto the embedded engine: no frames, no copies. */
class DirectSignal implements SignalPort, EngineHandler, LegHost {
  readonly capabilities: SignalCapabilities = { reportsTrying: true };
  readonly screen: EngineHandler['screen'];
  readonly #options: DirectSignalOptions;
  readonly #clock: Clock;
  readonly #legs = new Set<DirectLeg>();
  #handlers: SignalHandlers | undefined;
  #engine: SipEngine | undefined;
  #ids = 0;

  constructor(options: DirectSignalOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.screen = options.screen;
  }

  async start(handlers: SignalHandlers): Promise<readonly string[]> {
    this.#handlers = handlers;
    this.#engine = await createEngine({ ...this.#options, supported: SUPPORTED, handler: this });
    handlers.onAvailability(true, 'embedded engine is listening');
    return this.#engine.listening;
  }

  invite(spec: InviteSpec, events: OutgoingEvents): OutgoingLeg {
    const leg = new DirectOutgoingLeg(this, this.#nextId('out'), events);
    this.#legs.add(leg);
    const { uri, nextHop, from, to } = spec;
    const { headers, body } = toFields(spec);
    const engine = this.#engine;
    if (engine === undefined) leg.launched({ refusal: 'no_transport', detail: 'the engine is not started' });
    else leg.launched(engine.invite({ uri, nextHop, from, to, headers, body }, leg));
    return leg;
  }

  async stop(): Promise<void> {
    this.#engine?.stop();
    this.#handlers?.onAvailability(false, 'embedded engine has stopped');
  }

  dump(): object {
    return { legs: this.#legs.size, ...this.#engine?.dump() };
  }

  // ------------------------------------------------------------------ EngineHandler

  onInvite(invite: IncomingInvite): void {
    const leg = new DirectIncomingLeg(this, this.#nextId('in'), invite);
    this.#legs.add(leg);
    leg.sink = (this.#handlers as SignalHandlers).onInvite(leg);
  }

  onRequest(request: IncomingRequest): void {
    this.#handlers?.onRequest({
      message: new DirectMessage(request.request),
      source: request.source,
      respond: (status, spec) => void request.respond(status, toFields(spec ?? {})),
    });
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
