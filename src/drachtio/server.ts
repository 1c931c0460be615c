import type { Clock, Random } from '../kernel/index.js';
import type {
  EngineHandler,
  HostResolver,
  IncomingInvite,
  IncomingRequest,
  SipEngine,
  SipNetwork,
  SocketAddress,
  StreamConnection,
  StreamListener,
} from '../sip/index.js';
import { Commands } from './commands.js';
import { inboundOf } from './incoming.js';
import { Ledger, type OnAppLost } from './ledger.js';
import { Meters } from './meters.js';
import { Outbound } from './outbound.js';
import { Records } from './records.js';
import type { AppPlace, AskHttp, RequestHandler } from './requestHandlers.js';
import { RouteTable } from './routes.js';
import { Session, type SessionContext, type SessionReady } from './session.js';
import { renderStatistics } from './statistics.js';

/**
 * Announced to applications, which compare it with the oldest server that they support. What follows the number says
 * that 100 Trying can be had (see session.ts).
 */
const PROTOCOL_VERSION = 'v0.9.10-tandem-trying';

/** Methods that make sense outside a dialog: without an application for them the service is unavailable. */
const SERVED = new Set('INVITE REGISTER MESSAGE OPTIONS INFO NOTIFY SUBSCRIBE PUBLISH REFER'.split(' '));
/** Methods that presuppose a dialog (RFC 3261 §12.2.2). */
const DIALOG_ONLY = new Set(['BYE', 'UPDATE', 'PRACK']);

export interface DrachtioServerOptions {
  readonly network: Pick<SipNetwork, 'listenStream' | 'connectStream'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Where applications connect to. Port 0: any free one. */
  readonly listen: SocketAddress;
  /** The same over TLS, with the certificates of the network. */
  readonly listenTls?: SocketAddress | undefined;
  readonly secret: string;
  /** Requests whose application the server finds by itself: connections that registered are not asked for those. */
  readonly requestHandlers?: readonly RequestHandler[];
  /** For names of applications to connect to. */
  readonly resolver?: HostResolver;
  /** For request handlers with an `http` URL. */
  readonly ask?: AskHttp;
  /** When an application's connection is lost: end its calls (default), or leave them to run. */
  readonly onAppLost?: OnAppLost;
  /** Longest frame accepted from an application; default 1 MiB. */
  readonly maxFrameBytes?: number;
  /** How long an application may leave a request without any response; default 64 s, then 408 or 500. */
  readonly answerTimeoutMs?: number;
  /** How long a connection may stay unauthenticated; default 10 s. */
  readonly authenticateTimeoutMs?: number;
  /** Told of faults of our own while an application's frame was worked on; that application gets a refusal. */
  readonly onError?: (error: unknown) => void;
}

/**
 * A server for the drachtio control protocol. Give `handler` to the engine, the engine to `attach`, then `listen`.
 */
export class DrachtioServer {
  /** What the engine calls. */
  readonly handler: EngineHandler;
  readonly #options: DrachtioServerOptions;
  readonly #ledger: Ledger;
  readonly #context: SessionContext;
  readonly #routes = new RouteTable<Session>();
  readonly #sessions = new Set<Session>();
  readonly #meters = new Meters();
  readonly #outbound: Outbound;
  readonly #startedAt: number;
  readonly #listeners: StreamListener[] = [];
  #engine: SipEngine | undefined;

  constructor(options: DrachtioServerOptions) {
    this.#options = options;
    const { clock, random, secret, onAppLost = 'hangup', answerTimeoutMs = 64_000 } = options;
    const records = new Records(clock, (verb) => this.#routes.pick(verb));
    this.#ledger = new Ledger({ clock, random, records, meters: this.#meters, onAppLost, answerTimeoutMs }, inboundOf);
    this.#context = {
      ...{ clock, random, secret },
      maxFrameBytes: options.maxFrameBytes ?? 1024 * 1024,
      authenticateTimeoutMs: options.authenticateTimeoutMs ?? 10_000,
      commands: new Commands(this.#ledger, () => this.#engine),
      routes: this.#routes,
      onError: options.onError ?? (() => undefined),
      welcome: () => this.#welcome(),
      onClosed: (session) => {
        this.#sessions.delete(session);
        this.#ledger.connectionLost(session);
      },
    };
    this.#startedAt = Math.floor(clock.wallMs() / 1000);
    this.#outbound = new Outbound({
      handlers: options.requestHandlers ?? [],
      ...{ resolver: options.resolver, ask: options.ask, ledger: this.#ledger },
      engine: () => this.#engine,
      dial: (at, ready) => this.#dial(at, ready),
      tagged: (tag, method) => this.#tagged(tag, method),
    });
    this.handler = {
      onInvite: (invite) => this.#onInvite(invite),
      onRequest: (request) => this.#onRequest(request),
      onRelayed: (request) => {
        this.#meters.requestIn(request.method);
        if (request.method === 'BYE') records.stop('network', 'normal-release', request);
      },
    };
  }

  /** Whether some application has registered for this method, so that a request outside dialogs is for it. */
  claims(method: string): boolean {
    return this.#outbound.serves(method) || this.#routes.has(method.toLowerCase());
  }

  attach(engine: SipEngine): void {
    this.#engine = engine;
  }

  /** @returns the address bound. Rejects when it cannot be bound. */
  async listen(): Promise<SocketAddress> {
    const { network, listen, listenTls } = this.#options;
    const accept = (connection: StreamConnection): Session => {
      const session = new Session(this.#context, connection);
      this.#sessions.add(session);
      return session;
    };
    const plain = await network.listenStream(listen, accept);
    this.#listeners.push(plain);
    if (listenTls !== undefined) this.#listeners.push(await network.listenStream(listenTls, accept, 'tls'));
    return plain.local;
  }

  /** Where applications connect over TLS; undefined when they cannot. */
  get tlsAddress(): SocketAddress | undefined {
    return this.#listeners[1]?.local;
  }

  /** What Prometheus is told, in its text format, under the names that drachtio-server uses. */
  metrics(): string {
    const state = {
      version: PROTOCOL_VERSION,
      startedAt: this.#startedAt,
      applications: this.#sessions.size,
      stableDialogs: this.#ledger.stableDialogs,
      registered: this.#ledger.flows.size,
      engine: this.#engine,
    };
    return renderStatistics(state, this.#meters);
  }

  /** Closes the listener and all connections; calls are dealt with as for lost applications. */
  stop(): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
    for (const session of [...this.#sessions]) session.close();
  }

  dump(): Record<string, unknown> {
    return {
      sessions: [...this.#sessions].map((session) => session.dump()),
      routes: this.#routes.dump(),
      findingApplications: this.#outbound.waiting,
      ...this.#ledger.dump(),
    };
  }

  #welcome(): string {
    const addresses = (this.#engine?.listening ?? []).join(',');
    return `${addresses}|${PROTOCOL_VERSION}|${addresses}`;
  }

  /** A connection to an application, which proves itself first: to us, and by that only we ask for anything of it. */
  #dial({ address, port, place }: { address: string; port: number; place: AppPlace }, ready: SessionReady): void {
    const session = new Session(this.#context, undefined, ready);
    this.#sessions.add(session);
    const how = { protocol: place.protocol, serverName: place.host };
    session.attach(this.#options.network.connectStream({ address, port }, session, how));
  }

  #tagged(tag: string, method: string): Session | undefined {
    const verb = method.toLowerCase();
    const fits = [...this.#sessions].filter(
      (each) => each.authenticated && each.tags.includes(tag) && each.serves(verb),
    );
    // In turns, like those without a tag.
    const next = fits[0];
    if (next !== undefined && this.#sessions.delete(next)) this.#sessions.add(next);
    return next;
  }

  #onInvite(invite: IncomingInvite): void {
    // The dialogs of applications listen for themselves: this one is nobody's.
    if (invite.isReinvite) {
      invite.respond(481);
      return;
    }
    if (this.#outbound.take({ invite })) return;
    const session = this.#routes.pick('invite');
    if (session === undefined) invite.respond(503);
    else this.#ledger.inbound.invite(session, invite, undefined);
  }

  #onRequest(request: IncomingRequest): void {
    const { method } = request.request;
    if (request.dialog !== undefined || DIALOG_ONLY.has(method)) {
      request.respond(481);
      return;
    }
    if (this.#outbound.take({ request })) return;
    const session = this.#routes.pick(method.toLowerCase());
    if (session === undefined) request.respond(SERVED.has(method) ? 503 : 501);
    else this.#ledger.inbound.request(session, request, '');
  }
}
