/**
 * The part of drachtio-fsmrf 4 and of its event socket library (drachtio-modesl 1) that the adapter uses. Neither
 * package has types of its own; these were written from their behaviour. Nothing of them passes through the port.
 */
import { createRequire } from 'node:module';
import { guardParser } from './parserGuard.js';

/** One event, reply or response of the event socket. */
export interface EslEvent {
  /** null or undefined when absent. */
  getHeader(name: string): string | null | undefined;
  getBody(): string | null | undefined;
}

/** One event socket: ours to the server's port, or the server's to us for one channel. */
export interface EslConnection {
  /** Set: it does not connect again by itself. */
  closing?: boolean;
  readonly socket?: { destroy(): void } | null;
  api(command: string, args: string, done: (response: EslEvent) => void): void;
  /** Adds to what is listened to. */
  subscribe(events: string): void;
  on(event: string, listener: (event: EslEvent) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  removeAllListeners(event: string): void;
  disconnect(): void;
}

/** A SIP dialog of drachtio-srf, with the media server at its other end. */
export interface SrfDialog {
  /** The other end's description: its answer, or its offer. */
  readonly remote: { readonly sdp: string };
  /** Sends a re-INVITE. Resolves to the answer; rejects with a `status` when it is refused. */
  modify(sdp: string): Promise<string>;
  /** Sends BYE. */
  destroy(): Promise<unknown>;
}

/** A request under way. */
export interface SrfInvite {
  cancel(options: object, done: (error: unknown) => void): void;
}

export interface SrfInviteOptions {
  readonly headers: Record<string, string>;
  readonly localSdp?: string | undefined;
}

/** What the adapter needs of a drachtio-srf instance: whoever puts the program together has one. */
export interface SrfDialer {
  /** Rejects with a `status` when the INVITE is refused. */
  createUAC(
    uri: string,
    options: SrfInviteOptions,
    progress: { cbRequest(error: unknown, request: SrfInvite | undefined): void },
  ): Promise<SrfDialog>;
}

export interface FsDtmf {
  readonly dtmf: string;
  /** Samples at 8 kHz, as text. */
  readonly duration: string;
  /** RTP, INBAND_AUDIO ... */
  readonly source: string;
}

export interface ForkOptions {
  readonly wsUrl: string;
  readonly mixType: 'mono';
  readonly sampling: string;
  readonly bugname: string;
  /** Texts: the library takes the value false for "not given". */
  readonly bidirectionalAudio: { readonly enabled: string; readonly streaming: string; readonly sampleRate: string };
}

/** One channel of the media server. */
export interface FsEndpoint {
  readonly uuid: string;
  /** null when its event socket has closed. */
  readonly conn: EslConnection | null;
  readonly dialog: SrfDialog | null;
  on(event: 'destroy', listener: (end?: { readonly reason?: string }) => void): void;
  on(event: 'dtmf', listener: (key: FsDtmf) => void): void;
  on(event: 'playback-start', listener: () => void): void;
  on(event: string, listener: (body: unknown, event: EslEvent) => void): void;
  /** Resolves with the response; never, when the socket closes before. */
  api(command: string, args: string): Promise<EslEvent>;
  /** Resolves when the application has ended; never, when the socket closes before. */
  execute(application: string, argument: string): Promise<EslEvent>;
  bridge(otherUuid: string): Promise<void>;
  unbridge(): Promise<void>;
  forkAudioStart(options: ForkOptions): Promise<void>;
  forkAudioStop(bugname: string): Promise<void>;
  /** Resolves when the server's BYE has come; never, when it does not come. */
  destroy(): Promise<void>;
}

export interface FsMediaServer {
  /** The library says on its own, in words on the console, that it has lost the server, unless this is set. */
  closing?: boolean;
  readonly maxSessions: number;
  readonly currentSessions: number;
  readonly cpuIdle?: number;
  readonly hostname?: string;
  readonly fsVersion?: string;
  on(event: 'ready', listener: () => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  createEndpoint(options: { remoteSdp?: string; headers?: Record<string, string> }): Promise<FsEndpoint>;
  disconnect(): void;
}

/** What fsmrf's media server asks of the object that made it. */
interface MrfParts {
  readonly srf: { createUAC(uri: string, options: SrfInviteOptions): Promise<SrfDialog> };
  /** Subclasses of CUSTOM events that endpoints tell of. */
  readonly customEvents: readonly string[];
}

type NewConnection = new (host: string, port: number, secret: string, ready: () => void) => EslConnection;
type NewMediaServer = new (
  connection: EslConnection,
  mrf: MrfParts,
  listenAddress: string,
  listenPort: number,
  advertisedAddress: string | undefined,
  advertisedPort: number | undefined,
  profile: string,
) => FsMediaServer;

interface Library {
  readonly Connection: NewConnection;
  readonly MediaServer: NewMediaServer;
}

let library: Library | undefined;

/**
 * Loads the library at first use: whoever runs the embedded engine does without it.
 *
 * `Mrf.connect` is passed over: it gives no hand on a connection that never comes to be (a wrong secret, for one),
 * which would go on for ever. Its two steps are taken here instead.
 */
export const loadFsmrf = (): Library => {
  if (library !== undefined) return library;
  const entry = createRequire(import.meta.url).resolve('drachtio-fsmrf');
  const within = createRequire(entry);
  const esl = within('drachtio-modesl') as { Connection: NewConnection; Parser: Parameters<typeof guardParser>[0] };
  guardParser(esl.Parser);
  library = { Connection: esl.Connection, MediaServer: within('./mediaserver.js') as NewMediaServer };
  return library;
};
