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
  readonly res: SrfRes;
  /** The program's connection to the server. */
  readonly socket: Socket;
  cancel(options?: object, done?: (error: Error | null) => void): void;
}

/** What `proxyRequest` resolves with. */
export interface ProxyResults {
  readonly connected: boolean;
  readonly finalStatus?: number;
  readonly responses: readonly {
    readonly address: string;
    readonly port: number;
    readonly msgs: readonly { readonly status: number; readonly msg: SrfMessage }[];
  }[];
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
  use(method: string, handler: (req: SrfReq, res: SrfRes) => void): void;
  proxyRequest(req: SrfReq, destination: string | string[], options?: object): Promise<ProxyResults>;
  findDialogById(id: string): SrfDialog | undefined;
  request(uri: string, options: object, done: (error: Error | null, request: SrfReq) => void): void;
}

export interface SrfConnect {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
  readonly tags?: readonly string[];
  /** Options of node:tls. */
  readonly tls?: object;
  readonly reconnect?: { readonly maxAttempts: number };
}

/** Whatever comes of connecting. Register handlers in `prepare`: srf announces them when it connects. */
export async function connectSrf(
  { address, ...options }: SrfConnect,
  prepare: (srf: SrfProgram) => void = () => undefined,
): Promise<{ readonly srf: SrfProgram; readonly error: Error | undefined; readonly version: string | undefined }> {
  const srf = new Srf() as unknown as SrfProgram;
  srf.on('error', () => undefined);
  prepare(srf);
  srf.connect({ host: address, ...options });
  const [error, , version] = (await once(srf, 'connect')) as [Error | null, string?, string?];
  return { srf, error: error ?? undefined, version };
}

/** Connected and authenticated. */
export async function startSrf(
  at: { readonly address: string; readonly port: number },
  secret: string,
  prepare?: (srf: SrfProgram) => void,
  tags: readonly string[] = [],
): Promise<SrfProgram> {
  const { srf, error } = await connectSrf({ address: at.address, port: at.port, secret, tags }, prepare);
  if (error !== undefined) throw error;
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
