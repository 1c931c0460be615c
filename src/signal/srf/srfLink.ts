import { type Clock, type Random, TandemError } from '../../kernel/index.js';
import {
  type SrfDialOptions,
  type SrfDialProgress,
  type SrfInstance,
  type SrfRequest,
  type SrfRequestOptions,
  type SrfResponse,
  type SrfSocket,
  type SrfUacDialog,
  newSrf,
} from './srfTypes.js';

/** Told of faults that no caller could be told of: an application callback that threw, a frame that made no sense. */
export type SrfLogger = (message: string, error?: unknown) => void;

export interface SrfLinkOptions {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: SrfLogger | undefined;
  /** Requests outside dialogs that are ours to answer. Default: all that applications serve. */
  readonly routes?: readonly string[] | undefined;
}

/** Why srf did not send a request. `dialog_gone`: the server knows no such dialog (any more). */
export interface SrfFault {
  readonly kind: 'refused' | 'dialog_gone' | 'link_down';
  readonly detail: string;
}

export interface SrfLinkEvents {
  onRequest(request: SrfRequest, response: SrfResponse): void;
  onUp(hostPorts: string): void;
  onDown(detail: string): void;
}

/** Verbs a drachtio-server hands out for requests outside dialogs; those within a dialog come to its owner unasked. */
const ROUTED = ['invite', 'register', 'options', 'message', 'subscribe', 'notify', 'publish', 'info', 'refer'];
/** Longest wait between attempts to reconnect. */
const RETRY_MAX_MS = 5000;
/** How long the server may take to close its half of the connection when we leave. */
const CLOSE_WAIT_MS = 1000;

/** The control connection: srf's agent behind a face that never throws and whose faults are values. */
export class SrfLink {
  readonly clock: Clock;
  readonly random: Random;
  readonly #options: SrfLinkOptions;
  readonly #srf: SrfInstance = newSrf();
  #events: SrfLinkEvents | undefined;
  #up = false;
  #tellsTrying = false;
  #saidDown = false;
  #closing = false;
  #onClosed: (() => void) | undefined;

  constructor(options: SrfLinkOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.random = options.random;
  }

  /** Whether the server passes 100 Trying on. */
  get tellsTrying(): boolean {
    return this.#tellsTrying;
  }

  get up(): boolean {
    return this.#up;
  }

  report(message: string, error?: unknown): void {
    this.#options.logger?.(message, error);
  }

  /** Resolves to `proto/host:port,...` at the first connection. Rejects when the server refuses our secret. */
  connect(events: SrfLinkEvents): Promise<string> {
    this.#events = events;
    const { host, port, secret } = this.#options;
    const srf = this.#srf;
    // srf repeats these events a turn later as its own; there, an 'error' without a listener would end the process.
    srf.on('error', () => undefined);
    const take = (request: SrfRequest, response: SrfResponse): void => this.#take(request, response);
    const routes = this.#options.routes ?? ROUTED;
    if (routes.length > 0) srf.use(take);
    for (const method of routes) srf.use(method, take);
    return new Promise((resolve, reject) => {
      srf.app.on('connect', (error, hostPorts = '', version = '') => {
        if (this.#closing) return;
        if (error) {
          this.#down(error.message);
          this.#abandon();
          reject(new TandemError({ code: 'drachtio_refused', message: error.message, cause: error }));
          return;
        }
        this.#tellsTrying = version.includes('-trying');
        this.#up = true;
        this.#saidDown = false;
        events.onUp(hostPorts);
        resolve(hostPorts);
      });
      srf.app.on('error', (error) => this.#down(error.message));
      srf.app.on('close', () => {
        this.#down('connection closed');
        this.#onClosed?.();
      });
      // Our own server passes 100 Trying on to whoever has this tag; to others it means nothing.
      const tags = routes.length > 0 ? ['trying'] : [];
      srf.connect({ host, port, secret, tags, reconnect: { retryMaxDelay: RETRY_MAX_MS } });
    });
  }

  /** Calls `done` exactly once, unless the link goes down first (see SrfLinkEvents.onDown); never within this call. */
  request(uri: string, options: SrfRequestOptions, done: (sent: SrfRequest | SrfFault) => void): void {
    const tell = (sent: SrfRequest | SrfFault): void => {
      try {
        done(sent);
      } catch (error) {
        this.report(`a callback of ${options.method} failed`, error);
      }
    };
    const later = (fault: SrfFault): void => queueMicrotask(() => tell(fault));
    if (!this.#up) {
      later({ kind: 'link_down', detail: 'no connection to the signalling server' });
      return;
    }
    try {
      this.#srf.request(uri, options, (error, request) => {
        if (request !== undefined) tell(request);
        else later(toFault(error));
      });
    } catch (error) {
      // srf asserts that a connection exists; it may have broken in this very turn.
      later({ kind: 'link_down', detail: String(error) });
    }
  }

  /** A dialog in srf's own form, for libraries that are built on srf. Rejects with a `status` when it is refused. */
  dial(uri: string, options: SrfDialOptions, progress: SrfDialProgress): Promise<SrfUacDialog> {
    if (!this.#up) return Promise.reject(new Error('no connection to the signalling server'));
    return this.#srf.createUAC(uri, options, progress);
  }

  async close(): Promise<void> {
    this.#closing = true;
    const sockets = this.#sockets();
    this.#abandon();
    if (sockets.length > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.clock.setTimer('srf close', CLOSE_WAIT_MS, () => {
          for (const socket of sockets) socket.destroy();
          resolve();
        });
        this.#onClosed = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.#up = false;
  }

  /** srf has no public way to give up reconnecting, so its state is set from here. */
  #abandon(): void {
    const wire = this.#srf.app.client?.wp;
    if (wire === undefined) return;
    wire.closing = true;
    const timer = wire.reconnectVars?.retryTimer;
    if (timer) clearTimeout(timer);
    const sockets = this.#sockets();
    for (const socket of sockets) socket.end();
    if (sockets.length === 0) wire.socket?.destroy();
  }

  #sockets(): SrfSocket[] {
    return [...(this.#srf.app.client?.mapServer?.keys() ?? [])];
  }

  #down(detail: string): void {
    this.#up = false;
    if (this.#saidDown || this.#closing) return;
    this.#saidDown = true;
    this.#events?.onDown(detail);
  }

  #take(request: SrfRequest, response: SrfResponse): void {
    try {
      this.#events?.onRequest(request, response);
    } catch (error) {
      this.report(`handling ${request.method} failed`, error);
    }
  }
}

function toFault(error: (Error & { code?: string }) | null | undefined): SrfFault {
  const detail = error?.message ?? 'not sent';
  if (error?.code === 'ENODIALOG') return { kind: 'dialog_gone', detail };
  if (error?.code === 'ESOCKETDESTROYED' || error?.code === 'EINVALIDSOCKET') return { kind: 'link_down', detail };
  return { kind: 'refused', detail };
}

export const isFault = (sent: SrfRequest | SrfResponse | SrfFault): sent is SrfFault => 'kind' in sent;
