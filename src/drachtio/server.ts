import type { Clock, Random } from '../kernel/index.js';
import type {
  EngineHandler,
  IncomingInvite,
  IncomingRequest,
  SipEngine,
  SipNetwork,
  SocketAddress,
  StreamListener,
} from '../sip/index.js';
import { Commands } from './commands.js';
import { inboundOf } from './incoming.js';
import { Ledger, type OnAppLost } from './ledger.js';
import { RouteTable } from './routes.js';
import { Session, type SessionContext } from './session.js';

/** Announced to applications, which compare it with the oldest server that they support. */
const PROTOCOL_VERSION = 'v0.9.10';

/** Methods that make sense outside a dialog: without an application for them the service is unavailable. */
const SERVED = new Set('INVITE REGISTER MESSAGE OPTIONS INFO NOTIFY SUBSCRIBE PUBLISH REFER'.split(' '));
/** Methods that presuppose a dialog (RFC 3261 §12.2.2). */
const DIALOG_ONLY = new Set(['BYE', 'UPDATE', 'PRACK']);

export interface DrachtioServerOptions {
  readonly network: Pick<SipNetwork, 'listenStream'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Where applications connect to. Port 0: any free one. */
  readonly listen: SocketAddress;
  readonly secret: string;
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
  #engine: SipEngine | undefined;
  #listener: StreamListener | undefined;

  constructor(options: DrachtioServerOptions) {
    this.#options = options;
    const { clock, random, secret, onAppLost = 'hangup', answerTimeoutMs = 64_000 } = options;
    this.#ledger = new Ledger({ clock, random, onAppLost, answerTimeoutMs }, inboundOf);
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
    this.handler = {
      onInvite: (invite) => this.#onInvite(invite),
      onRequest: (request) => this.#onRequest(request),
    };
  }

  /** Whether some application has registered for this method, so that a request outside dialogs is for it. */
  claims(method: string): boolean {
    return this.#routes.has(method.toLowerCase());
  }

  attach(engine: SipEngine): void {
    this.#engine = engine;
  }

  /** @returns the address bound. Rejects when it cannot be bound. */
  async listen(): Promise<SocketAddress> {
    this.#listener = await this.#options.network.listenStream(this.#options.listen, (connection) => {
      const session = new Session(this.#context, connection);
      this.#sessions.add(session);
      return session;
    });
    return this.#listener.local;
  }

  /** Closes the listener and all connections; calls are dealt with as for lost applications. */
  stop(): void {
    this.#listener?.close();
    this.#listener = undefined;
    for (const session of [...this.#sessions]) session.close();
  }

  dump(): Record<string, unknown> {
    return {
      sessions: [...this.#sessions].map((session) => session.dump()),
      routes: this.#routes.dump(),
      ...this.#ledger.dump(),
    };
  }

  #welcome(): string {
    const addresses = (this.#engine?.listening ?? []).join(',');
    return `${addresses}|${PROTOCOL_VERSION}|${addresses}`;
  }

  #onInvite(invite: IncomingInvite): void {
    // The dialogs of applications listen for themselves: this one is nobody's.
    if (invite.isReinvite) {
      invite.respond(481);
      return;
    }
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
    const session = this.#routes.pick(method.toLowerCase());
    if (session === undefined) request.respond(SERVED.has(method) ? 503 : 501);
    else this.#ledger.inbound.request(session, request, '');
  }
}
