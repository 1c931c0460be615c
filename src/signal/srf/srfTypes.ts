/**
 * The part of drachtio-srf 5 that the adapter uses. The package's own types are thin and partly wrong; these were
 * written from its behaviour. Nothing of it passes through the port.
 */
import { createRequire } from 'node:module';

/** A message as srf parsed it; `raw` is the text of the frame, which we read ourselves. */
export interface SrfRawMessage {
  readonly raw: string | undefined;
}

/** A request: received (`source` network), or sent by us and echoed (application). */
export interface SrfRequest {
  readonly msg: SrfRawMessage;
  readonly method: string;
  readonly source: 'network' | 'application';
  readonly source_address: string;
  readonly source_port: number;
  readonly protocol: string;
  readonly stackTxnId: string;
  readonly stackDialogId: string | undefined;
  on(event: 'response', listener: (response: SrfResponse) => void): void;
  /** The CANCEL of a received INVITE; srf finds the INVITE by Call-ID alone. */
  on(event: 'cancel', listener: (cancel: SrfRawMessage) => void): void;
  /** Any UPDATE with the Call-ID of a request under way, whichever dialog it belongs to. */
  on(event: 'update', listener: (request: SrfRequest, response: SrfResponse) => void): void;
  cancel(options: { headers?: Record<string, string> }, done: (error: Error | null | undefined) => void): void;
}

/** A response: received, or the means to answer a request. */
export interface SrfResponse {
  readonly msg: SrfRawMessage & { status: number; reason: string };
  status: number;
  /** Empty for a response that the server made up because the network gave none. */
  readonly source_address: string | undefined;
  readonly stackDialogId: string | undefined;
  readonly agent: SrfAgent;
  sendAck(dialogId: string, options: object, done?: (error: unknown) => void): void;
  sendPrack(dialogId: string, options: object, done?: (error: unknown) => void): void;
}

export interface SrfAgent {
  /** `Response.send` without its refusal of status codes that it does not know. */
  sendResponse(
    response: SrfResponse,
    options: { headers?: Record<string, string>; body?: string },
    done: (error: string | Error | null | undefined, sent: SrfRawMessage | undefined) => void,
  ): void;
  /** Not public in srf, but it has no other way to end an attempt to reconnect. */
  readonly wp?: SrfWire;
  readonly mapServer?: Map<SrfSocket, unknown>;
}

interface SrfWire {
  closing?: boolean;
  readonly reconnectVars?: { retryTimer: NodeJS.Timeout | null };
  readonly socket?: SrfSocket;
}

export interface SrfSocket {
  destroy(): void;
  end(): void;
}

export interface SrfRequestOptions {
  method: string;
  headers: Record<string, string>;
  body?: string;
  /** Next hop. */
  proxy?: string;
  /** Request within this dialog. */
  stackDialogId?: string;
}

export interface SrfDialOptions {
  readonly headers: Record<string, string>;
  /** Absent: the other end makes the offer, and is answered with a copy of it that only receives. */
  readonly localSdp?: string | undefined;
}

export interface SrfDialProgress {
  /** The request as sent, or why it was not. */
  cbRequest(error: unknown, request: SrfRequest | undefined): void;
}

/** srf's own dialog, as the caller has it. */
export interface SrfUacDialog {
  readonly remote: { readonly sdp: string };
  modify(sdp: string): Promise<string>;
  destroy(): Promise<unknown>;
}

export interface SrfApp {
  readonly client?: SrfAgent;
  on(
    event: 'connect',
    listener: (error: Error | null, hostPorts: string | undefined, version: string | undefined) => void,
  ): void;
  on(event: 'close' | 'reconnecting', listener: () => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
}

export interface SrfInstance {
  readonly app: SrfApp;
  connect(options: {
    host: string;
    port: number;
    secret: string;
    tags: readonly string[];
    reconnect: { retryMaxDelay: number };
  }): unknown;
  use(handler: (request: SrfRequest, response: SrfResponse) => void): void;
  use(method: string, handler: (request: SrfRequest, response: SrfResponse) => void): void;
  request(
    uri: string,
    options: SrfRequestOptions,
    done: (error: (Error & { code?: string }) | null | undefined, request: SrfRequest | undefined) => void,
  ): void;
  on(event: string, listener: () => void): void;
  createUAC(uri: string, options: SrfDialOptions, progress: SrfDialProgress): Promise<SrfUacDialog>;
}

const require = createRequire(import.meta.url);

/** Loads the library with the first one: who has the embedded engine does without. */
export function newSrf(): SrfInstance {
  const Srf = require('drachtio-srf') as new () => SrfInstance;
  return new Srf();
}
