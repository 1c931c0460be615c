import type { Clock, Result, Timer } from '../../kernel/index.js';
import { err, ok } from '../../kernel/index.js';
import { type Failure, type Patience, bounded } from './bounded.js';
import {
  type EslConnection,
  type FsEndpoint,
  type FsMediaServer,
  type SrfDialer,
  type SrfInvite,
  loadFsmrf,
} from './fsmrf.js';

/** One media server, as configured. */
export interface MediaServerPlace {
  /** Host of its event socket. */
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  /** Its SIP profile for us. */
  readonly profile: string;
  /** Our address that its channels, and its streams, connect to. */
  readonly listenAddress: string;
  /** The name of that address on the server's side of a NAT. */
  readonly advertisedAddress?: string | undefined;
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** After a failure that was the server's, others come first for so long. */
const QUARANTINE_MS = 10_000;
/** In fsmrf an endpoint tells only of those that it was made for. */
const CUSTOM_EVENTS = ['mod_audio_fork::connect_failed', 'mod_audio_fork::disconnect'];

export interface ServerLinkDeps {
  readonly clock: Clock;
  readonly dialer: SrfDialer;
  readonly patience: Patience;
  /** For the log. */
  readonly report: (message: string, detail: object) => void;
  /** Nobody is behind the sockets any more: nothing more will be heard of its channels. */
  readonly onDead: (link: ServerLink, detail: string) => void;
}

type State = 'idle' | 'connecting' | 'up' | 'waiting' | 'stopped';

/** The connection to one media server: made, watched, made again. */
export class ServerLink {
  readonly place: MediaServerPlace;
  readonly #deps: ServerLinkDeps;
  #state: State = 'idle';
  #connection: EslConnection | undefined;
  #server: FsMediaServer | undefined;
  #attempt = 0;
  #timer: Timer | undefined;
  #fault = 'not tried yet';
  #faultsInARow = 0;
  #quarantinedUntilMs = -Infinity;
  #waiting: ((up: boolean) => void)[] = [];
  /** Endpoints of ours there, those being opened included. */
  endpoints = 0;

  constructor(place: MediaServerPlace, deps: ServerLinkDeps) {
    this.place = place;
    this.#deps = deps;
  }

  get name(): string {
    return `${this.place.address}:${this.place.port}`;
  }

  get up(): boolean {
    return this.#state === 'up';
  }

  get quarantined(): boolean {
    return this.#deps.clock.nowMs() < this.#quarantinedUntilMs;
  }

  /** Why it is not up. */
  get fault(): string {
    return this.#fault;
  }

  /** Share of its sessions in use, 0 to 1 and beyond; what others use is known by its last heartbeat. */
  get load(): number {
    const { currentSessions = 0, maxSessions = 0 } = this.#server ?? {};
    return Math.max(this.endpoints, currentSessions) / (maxSessions > 0 ? maxSessions : 1000);
  }

  get full(): boolean {
    return this.load >= 1;
  }

  /** Resolves to whether the first attempt succeeded; further ones follow by themselves. */
  start(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#connect();
    });
  }

  stop(): void {
    this.#state = 'stopped';
    this.#let();
    this.#tell(false);
  }

  /** Opens a channel. @param remoteSdp the other party's description; undefined: the server makes an offer */
  async createEndpoint(remoteSdp: string | undefined): Promise<Result<FsEndpoint, Failure>> {
    const server = this.#server;
    if (server === undefined) return err({ detail: `no media server at ${this.name}`, status: undefined, late: false });
    let creation: Promise<FsEndpoint> | undefined;
    const dial: Dial = { request: undefined };
    const opened = await bounded(this.#deps.clock, this.#deps.patience.openMs, () => {
      // The library calls the dialer within this call.
      this.#dial = dial;
      creation = server.createEndpoint(remoteSdp === undefined ? {} : { remoteSdp });
      return creation;
    });
    if (opened.ok) return ok(opened.value);
    if (opened.error.late) {
      dial.request?.cancel({}, () => undefined);
      // What comes after all is of no use to anybody.
      creation?.then(
        (endpoint) => void bounded(this.#deps.clock, this.#deps.patience.openMs, () => endpoint.destroy()),
        () => undefined,
      );
    }
    // A refusal is an answer; silence, or a channel that does not call back, is a fault.
    const { status } = opened.error;
    if (status === undefined || (status >= 500 && status !== 503)) {
      this.#quarantinedUntilMs = this.#deps.clock.nowMs() + QUARANTINE_MS;
      this.#deps.report('a media server failed to open a channel', { server: this.name, detail: opened.error.detail });
    }
    return opened;
  }

  dump(): object {
    const server = this.#server;
    return {
      server: this.name,
      state: this.#state,
      ...(this.up ? {} : { fault: this.#fault }),
      endpoints: this.endpoints,
      quarantined: this.quarantined,
      sessions: server?.currentSessions ?? 0,
      maxSessions: server?.maxSessions ?? 0,
      cpuIdle: server?.cpuIdle,
      hostname: server?.hostname,
      version: server?.fsVersion,
    };
  }

  #dial: Dial = { request: undefined };

  #connect(): void {
    if (this.#state === 'stopped') return;
    const { clock, dialer, patience } = this.#deps;
    const { connectMs } = patience;
    const { address, port, secret, profile, listenAddress, advertisedAddress } = this.place;
    this.#state = 'connecting';
    const attempt = ++this.#attempt;
    const failed = (detail: string): void => this.#failed(attempt, detail);
    this.#timer = clock.setTimer('freeswitch_connect', connectMs, () => failed(`not ready in ${connectMs} ms`));
    const { Connection, MediaServer } = loadFsmrf();
    const srf = {
      createUAC: (uri: string, options: Parameters<SrfDialer['createUAC']>[1]) => {
        const dial = this.#dial;
        return dialer.createUAC(uri, options, { cbRequest: (_error, request) => (dial.request = request) });
      },
    };
    const connection = new Connection(address, port, secret, () => {
      if (attempt !== this.#attempt || this.#state !== 'connecting') return;
      const mrf = { srf, customEvents: CUSTOM_EVENTS };
      const server = new MediaServer(connection, mrf, listenAddress, 0, advertisedAddress, undefined, profile);
      this.#server = server;
      server.on('error', (error) => failed(error.message));
      server.on('ready', () => this.#ready(attempt, server));
    });
    this.#connection = connection;
    connection.on('error', (error: Error) => failed(error.message));
    connection.on('esl::event::auth::fail', () => failed('the event socket refuses the secret'));
    connection.on('esl::event::raw::text/rude-rejection', () =>
      failed("the event socket's access list refuses our address"),
    );
    connection.on('esl::end', () => failed('the event socket has closed'));
  }

  #ready(attempt: number, server: FsMediaServer): void {
    if (attempt !== this.#attempt || this.#state !== 'connecting') return;
    // The connection is looked after here, not by the library.
    server.closing = true;
    this.#timer?.cancel();
    this.#state = 'up';
    this.#faultsInARow = 0;
    this.#quarantinedUntilMs = -Infinity;
    this.#deps.report('a media server is up', { server: this.name });
    this.#tell(true);
    this.#watch(attempt);
  }

  #failed(attempt: number, detail: string): void {
    if (attempt !== this.#attempt || (this.#state !== 'connecting' && this.#state !== 'up')) return;
    const was = this.#state;
    this.#state = 'waiting';
    if (was === 'up' || detail !== this.#fault) {
      this.#deps.report('a media server is not there', { server: this.name, detail });
    }
    this.#fault = detail;
    this.#let();
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, this.#faultsInARow++));
    this.#timer = this.#deps.clock.setTimer('freeswitch_reconnect', pauseMs, () => this.#connect());
    this.#tell(false);
  }

  /** Asks now and then whether anybody is there. */
  #watch(attempt: number): void {
    this.#timer = this.#deps.clock.setTimer('freeswitch_probe', this.#deps.patience.probeMs, () => {
      const connection = this.#connection;
      if (attempt !== this.#attempt || connection === undefined) return;
      const asked = bounded(this.#deps.clock, this.#deps.patience.answerMs, () => apiOf(connection, 'uptime'));
      void asked.then((answer) => {
        if (attempt !== this.#attempt || this.#state !== 'up') return;
        if (answer.ok) return this.#watch(attempt);
        const detail = `the media server does not answer: ${answer.error.detail}`;
        this.#failed(attempt, detail);
        this.#deps.onDead(this, detail);
      });
    });
  }

  #let(): void {
    this.#timer?.cancel();
    const [connection, server] = [this.#connection, this.#server];
    this.#connection = this.#server = undefined;
    // Its channels have connections of their own, which live on.
    const socket = connection?.socket;
    if (server !== undefined) server.closing = true;
    attempt(() => server?.disconnect());
    attempt(() => connection?.disconnect());
    socket?.destroy();
  }

  #tell(up: boolean): void {
    for (const resolve of this.#waiting.splice(0)) resolve(up);
  }
}

/** The INVITE of the endpoint that is being made. */
interface Dial {
  request: SrfInvite | undefined;
}

const apiOf = (connection: EslConnection, command: string): Promise<void> =>
  new Promise((resolve) => connection.api(command, '', () => resolve()));

/** The library throws where a socket is half gone. */
const attempt = (work: () => void): void => {
  try {
    work();
  } catch {
    return;
  }
};
