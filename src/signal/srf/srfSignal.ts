import type { Clock, Random } from '../../kernel/index.js';
import { type HostResolver, Locator, nextHopOfText } from '../../sip/index.js';
import type {
  AskSpec,
  InviteSpec,
  OutgoingEvents,
  OutgoingLeg,
  RequestOutcome,
  SignalCapabilities,
  SignalHandlers,
  SignalPort,
} from '../port.js';
import { SrfInDialogRequest, sendResponse } from './srfExchange.js';
import { SrfIncomingLeg, sourceOf } from './srfIncomingLeg.js';
import { type LegContext, type SrfLeg, outcomeOf } from './srfLeg.js';
import { SrfLink, type SrfLogger, isFault } from './srfLink.js';
import { type SrfMessage, readMessage } from './srfMessage.js';
import { SrfOutgoingLeg } from './srfOutgoingLeg.js';
import { dialogIdOf, fromSrf, headerObject, proxyOf, toSrf } from './srfText.js';
import type { SrfRequest, SrfResponse } from './srfTypes.js';

export interface SrfSignalOptions {
  /** Control port of a drachtio-server, or of our own `drachtio.listen`. */
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: SrfLogger | undefined;
  /** For `locate`; absent: the server alone finds its way from a name to a place. */
  readonly resolver?: HostResolver | undefined;
}

/** What a drachtio-server is expected to listen on: which transports a name may lead to. */
const SERVED: ReadonlySet<string> = new Set(['udp', 'tcp', 'tls']);

/**
 * The port over drachtio-srf, to any drachtio-server. Bodies and header text are exact as long as they are valid
 * UTF-8: srf carries strings. Further 2xx of forks are released by our own server; the C++ server repeats the first
 * ACK instead and says nothing.
 */
export function createSrfSignal(options: SrfSignalOptions): SignalPort {
  return new SrfSignal(options);
}

const TRYING: SignalCapabilities = { reportsTrying: true };
const NO_TRYING: SignalCapabilities = { reportsTrying: false };

class SrfSignal implements SignalPort {
  readonly #link: SrfLink;
  readonly #context: LegContext;
  /**
   * Both roles name a dialog by the caller's tag. A call that leaves us and comes back through a proxy has the same
   * name on either side, so the roles have a table each.
   */
  readonly #legs = { uas: new Map<string, SrfIncomingLeg>(), uac: new Map<string, SrfOutgoingLeg>() };
  readonly #locator: Locator | undefined;
  #handlers: SignalHandlers | undefined;

  /** A drachtio-server never passes 100 Trying on; our own does. */
  get capabilities(): SignalCapabilities {
    return this.#link.tellsTrying ? TRYING : NO_TRYING;
  }

  constructor(options: SrfSignalOptions) {
    const { resolver } = options;
    if (resolver !== undefined) {
      this.#locator = new Locator({ ...options, resolver, serves: (transport) => SERVED.has(transport) });
    }
    this.#link = new SrfLink(options);
    this.#context = {
      link: this.#link,
      release: (leg) => {
        const table = this.#legs[leg.role];
        if (table.get(leg.dialogId) === leg) table.delete(leg.dialogId);
      },
      dispatch: (request, response) => this.#onRequest(request, response),
      cancelled: (cancel) => {
        this.#legs.uas.get(dialogIdOf(cancel.callId, cancel.fromTag))?.onCancel(cancel);
      },
    };
  }

  async start(handlers: SignalHandlers): Promise<readonly string[]> {
    this.#handlers = handlers;
    const hostPorts = await this.#link.connect({
      onRequest: (request, response) => this.#onRequest(request, response),
      onUp: (detail) => this.#tell(() => handlers.onAvailability(true, detail)),
      onDown: (detail) => {
        // Legs first: whoever hears that the plane is down finds every call accounted for.
        this.#endAll();
        this.#tell(() => handlers.onAvailability(false, detail));
      },
    });
    return hostPorts.split(',').filter((entry) => entry !== '');
  }

  invite(spec: InviteSpec, events: OutgoingEvents): OutgoingLeg {
    const leg = new SrfOutgoingLeg(this.#context, events);
    this.#legs.uac.set(leg.dialogId, leg);
    leg.start(spec);
    queueMicrotask(() => leg.open());
    return leg;
  }

  get locate(): SignalPort['locate'] {
    const locator = this.#locator;
    if (locator === undefined) return undefined;
    return (uri, located) => {
      const next = nextHopOfText(uri);
      if (next === undefined) located([]);
      else locator.locate(next, located);
    };
  }

  ask(spec: AskSpec, done: (outcome: RequestOutcome) => void): void {
    const { method, uri, headers } = spec;
    const next = proxyOf(spec);
    const proxy = next === undefined ? {} : { proxy: next };
    this.#link.request(
      toSrf(uri),
      { method, headers: { ...headerObject(headers), ...ownFields(spec) }, ...proxy },
      (sent) => {
        if (isFault(sent)) return this.#tell(() => done({ kind: 'transport_error', code: sent.kind }));
        sent.on('response', (response) => {
          if (response.status >= 200) this.#tell(() => done(outcomeOf(response)));
        });
      },
    );
  }

  async stop(): Promise<void> {
    this.#locator?.close();
    this.#endAll();
    await this.#link.close();
  }

  dump(): object {
    return { adapter: 'srf', up: this.#link.up, legs: [...this.#all()].map((leg) => leg.dump()) };
  }

  *#all(): Generator<SrfLeg> {
    yield* this.#legs.uas.values();
    yield* this.#legs.uac.values();
  }

  #endAll(): void {
    for (const leg of [...this.#all()]) {
      leg.onEngineLost();
      this.#context.release(leg);
    }
  }

  #onRequest(request: SrfRequest, response: SrfResponse): void {
    const message = readMessage(request.msg);
    const dialogId = fromSrf(request.stackDialogId ?? '');
    if (dialogId !== '' || message.toTag !== '') {
      const leg = this.#find(request, message, dialogId);
      if (leg !== undefined) leg.onNetworkRequest(request, response, message);
      else if (message.method !== 'ACK' && request.source === 'network') sendResponse(response, 481);
      return;
    }
    if (message.method === 'ACK') return;
    if (message.method === 'INVITE') {
      this.#onInvite(request, response, message);
      return;
    }
    const answerable = new SrfInDialogRequest(message, response);
    const outOfDialog = {
      message,
      source: sourceOf(request),
      respond: answerable.respond.bind(answerable),
    };
    this.#tell(() => this.#handlers?.onRequest(outOfDialog));
  }

  /** The dialog's tag is the From tag of its first INVITE: the sender's own if the caller sends, else ours. */
  #find(request: SrfRequest, message: SrfMessage, dialogId: string): SrfLeg | undefined {
    const sentByCaller = dialogIdOf(message.callId, message.fromTag) === dialogId;
    const callerIsPeer = sentByCaller === (request.source === 'network');
    return (callerIsPeer ? this.#legs.uas : this.#legs.uac).get(dialogId);
  }

  #onInvite(request: SrfRequest, response: SrfResponse, message: SrfMessage): void {
    const leg = new SrfIncomingLeg(this.#context, request, response, message);
    if (this.#legs.uas.has(leg.dialogId)) {
      // RFC 3261 §8.2.2.2: the same request by another path.
      sendResponse(response, 482);
      return;
    }
    const handlers = this.#handlers;
    if (handlers === undefined) {
      sendResponse(response, 503);
      return;
    }
    this.#legs.uas.set(leg.dialogId, leg);
    try {
      leg.attach(handlers.onInvite(leg));
    } catch (error) {
      this.#link.report('the application failed on an incoming call', error);
      leg.reject(500);
    }
  }

  #tell(fire: () => void): void {
    try {
      fire();
    } catch (error) {
      this.#link.report('the application failed on an event', error);
    }
  }
}

/** Fields that name who asks for whom; the server writes those that are left out. */
function ownFields({ from, to, contact, callId, cseq, method }: AskSpec): Record<string, string> {
  const fields: Record<string, string> = {};
  if (from !== undefined) fields['From'] = toSrf(from);
  if (to !== undefined) fields['To'] = toSrf(to);
  if (contact !== undefined) fields['Contact'] = toSrf(contact);
  if (callId !== undefined) fields['Call-ID'] = toSrf(callId);
  if (cseq !== undefined) fields['CSeq'] = `${cseq} ${method}`;
  return fields;
}
