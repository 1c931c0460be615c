/** An unmodified drachtio-srf program. Its own type declarations leave much out: these are what the tests touch. */
import { EventEmitter, once } from 'node:events';
import type { Socket } from 'node:net';
import Srf from 'drachtio-srf';

export interface SrfMessage {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  get(name: string): string | undefined;
  has(name: string): boolean;
}

export interface SrfReq extends SrfMessage, Pick<EventEmitter, 'on' | 'once'> {
  readonly source_address: string;
  readonly source_port: number;
  readonly protocol: string;
  readonly receivedOn: string;
  readonly isNewInvite: boolean;
  /** The program's connection to the server. */
  readonly socket: Socket;
  cancel(options?: object, done?: (error: Error | null) => void): void;
}

export interface SrfRes extends SrfMessage {
  send(
    status: number,
    options?: object,
    done?: (error: unknown, sent: SrfMessage) => void,
    onPrack?: (prack: SrfReq) => void,
  ): void;
}

export interface SrfDialog extends EventEmitter {
  readonly id: string;
  readonly type: 'uac' | 'uas';
  readonly sip: { readonly callId: string; readonly localTag: string; readonly remoteTag: string };
  readonly local: { readonly uri: string; readonly sdp: string };
  readonly remote: { readonly uri: string; readonly sdp: string };
  readonly onHold: boolean;
  readonly connected: boolean;
  readonly res: SrfMessage;
  destroy(options?: object): Promise<SrfReq>;
  modify(sdp?: string | object, options?: object): Promise<unknown>;
  request(options: object): Promise<SrfRes>;
}

export interface Progress {
  readonly cbRequest?: (error: Error | null, request: SrfReq) => void;
  readonly cbProvisional?: (response: SrfRes) => void;
}

/** What `createUAC` gives for a late offer with `noAck`. */
export interface LateOffer {
  readonly sdp: string;
  ack(sdp: string): Promise<SrfDialog>;
}

export interface SrfProgram extends EventEmitter {
  readonly idle: boolean;
  connect(options: object): void;
  disconnect(): void;
  invite(handler: (req: SrfReq, res: SrfRes) => void): void;
  options(handler: (req: SrfReq, res: SrfRes) => void): void;
  createUAS(req: SrfReq, res: SrfRes, options: object): Promise<SrfDialog>;
  createUAC(uri: string, options: object, progress?: Progress): Promise<SrfDialog>;
  createB2BUA(
    ...args: [req: SrfReq, res: SrfRes, uri: string, options: object, progress?: Progress]
  ): Promise<{ readonly uas: SrfDialog; readonly uac: SrfDialog }>;
  request(uri: string, options: object, done: (error: Error | null, request: SrfReq) => void): void;
}

/** Connected and authenticated. Register handlers first: srf announces them when it connects. */
export async function startSrf(
  at: { readonly address: string; readonly port: number },
  secret: string,
  prepare: (srf: SrfProgram) => void = () => undefined,
): Promise<SrfProgram> {
  const srf = new Srf() as unknown as SrfProgram;
  srf.on('error', () => undefined);
  prepare(srf);
  srf.connect({ host: at.address, port: at.port, secret });
  const [error] = (await once(srf, 'connect')) as [Error | null];
  if (error !== null) throw error;
  return srf;
}

/** First occurrence of an event, its arguments. */
export const event = async <T extends unknown[]>(emitter: unknown, name: string): Promise<T> =>
  (await once(emitter as EventEmitter, name)) as T;

/** The error of a promise that must fail. */
export async function failure(promise: Promise<unknown>): Promise<Error & { status?: number; code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { status?: number; code?: string };
  }
  throw new Error('it should have failed');
}
