/** Outbound mode: the server finds the application of a request, by a web server's word or by its own settings. */
import type { HostResolver, IncomingInvite, IncomingRequest, SipEngine, SipRequest } from '../sip/index.js';
import type { Ledger } from './ledger.js';
import { ProxyReport } from './proxying.js';
import {
  type AppPlace,
  type AskHttp,
  type RequestHandler,
  type Routing,
  handlerFor,
  placeOf,
  questionFor,
  routingOf,
} from './requestHandlers.js';
import type { Session, SessionReady } from './session.js';

/** A request for whom nobody is found: the caller may try later. */
const NO_APPLICATION = 480;

export interface OutboundParts {
  readonly handlers: readonly RequestHandler[];
  /** Absent: applications are dialled by numeric address only. */
  readonly resolver: HostResolver | undefined;
  /** Absent: handlers with an `http` URL answer 500. */
  readonly ask: AskHttp | undefined;
  readonly ledger: Ledger;
  readonly engine: () => SipEngine | undefined;
  /** A session for a connection that we open. `ready` is called once it has authenticated, `lost` when it never does. */
  readonly dial: (place: { address: string; port: number; place: AppPlace }, ready: SessionReady) => void;
  /** A session with this tag, that has registered for this method. */
  readonly tagged: (tag: string, method: string) => Session | undefined;
}

type Arrived = { readonly invite: IncomingInvite } | { readonly request: IncomingRequest };

/** One request whose application is being looked for. */
class Parked {
  readonly arrived: Arrived;
  withdrawn = false;

  constructor(arrived: Arrived) {
    this.arrived = arrived;
    if (!('invite' in arrived)) return;
    arrived.invite.listener = {
      onCancel: () => {
        this.withdrawn = true;
      },
      onAck: () => undefined,
    };
  }

  get message(): SipRequest {
    return this.incoming.request;
  }

  get incoming(): IncomingInvite | IncomingRequest {
    return 'invite' in this.arrived ? this.arrived.invite : this.arrived.request;
  }
}

export class Outbound {
  readonly #parts: OutboundParts;
  #waiting = 0;

  constructor(parts: OutboundParts) {
    this.#parts = parts;
  }

  /** Requests whose application is being looked for. */
  get waiting(): number {
    return this.#waiting;
  }

  serves(method: string): boolean {
    return handlerFor(this.#parts.handlers, method) !== undefined;
  }

  /** @returns false when no handler is for it */
  take(arrived: Arrived): boolean {
    const parked = new Parked(arrived);
    const handler = handlerFor(this.#parts.handlers, parked.message.method);
    if (handler === undefined) return false;
    const place = placeOf(handler.url);
    this.#waiting++;
    if (place !== undefined) this.#dial(parked, place);
    else this.#askWeb(parked, handler);
    return true;
  }

  #askWeb(parked: Parked, handler: RequestHandler): void {
    const { ask } = this.#parts;
    const { source } = parked.incoming;
    if (ask === undefined) return this.#refuse(parked, 500);
    ask(questionFor(handler, parked.message, source), (json) => this.#route(parked, routingOf(json)));
  }

  #route(parked: Parked, routing: Routing | undefined): void {
    switch (routing?.action) {
      case undefined:
        return this.#refuse(parked, 500);
      case 'reject':
        return this.#refuse(parked, routing.status, routing.reason);
      case 'redirect':
        return this.#redirect(parked, routing.contacts);
      case 'proxy':
        return this.#proxy(parked, routing);
      case 'dial':
        return this.#dial(parked, routing.place);
      case 'tag': {
        const session = this.#parts.tagged(routing.tag, parked.message.method);
        if (session === undefined) this.#refuse(parked, NO_APPLICATION);
        else this.#deliver(parked, session);
      }
    }
  }

  #refuse(parked: Parked, status: number, reason?: string): void {
    this.#waiting--;
    if (!parked.withdrawn) parked.incoming.respond(status, { reason });
  }

  #redirect(parked: Parked, contacts: readonly string[]): void {
    this.#waiting--;
    if (parked.withdrawn) return;
    const headers = contacts.map((contact) => ['Contact', contact.includes('<') ? contact : `<${contact}>`] as const);
    parked.incoming.respond(302, { headers });
  }

  #proxy(parked: Parked, { plan }: Routing & { readonly action: 'proxy' }): void {
    this.#waiting--;
    if (parked.withdrawn) return;
    const { ledger, engine } = this.#parts;
    const report = new ProxyReport(ledger, parked.message, undefined);
    const refused = engine()?.proxy(parked.incoming, plan, report);
    if (refused !== undefined) parked.incoming.respond(refused.refusal === 'too_many_hops' ? 483 : 500);
  }

  #dial(parked: Parked, place: AppPlace): void {
    const { resolver, dial } = this.#parts;
    const ready: SessionReady = {
      onReady: (session) => this.#deliver(parked, session),
      onLost: () => this.#refuse(parked, NO_APPLICATION),
    };
    const { host, port } = place;
    if (/^[\d.]+$|:/.test(host)) return dial({ address: host, port, place }, ready);
    if (resolver === undefined) return ready.onLost();
    resolver.resolve(host, (outcome) => {
      const [address] = outcome.ok ? outcome.addresses : [];
      if (address === undefined) ready.onLost();
      else dial({ address, port, place }, ready);
    });
  }

  #deliver(parked: Parked, session: Session): void {
    this.#waiting--;
    if (parked.withdrawn) return;
    const { inbound } = this.#parts.ledger;
    if ('invite' in parked.arrived) inbound.invite(session, parked.arrived.invite, undefined);
    else inbound.request(session, parked.arrived.request, '');
  }
}
