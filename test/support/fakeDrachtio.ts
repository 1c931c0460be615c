/**
 * A drachtio-server that does only what a test says, so that it can do what a good server rarely does: refuse, keep
 * silent, deliver frames in one lump, break the connection. It answers `authenticate` and `route` by itself.
 */
import { type Server, type Socket, createServer } from 'node:net';
import { Inbox } from './signalApp.js';
import { PeerMessage } from './sipText.js';

/** A `sip` frame of the application. */
export interface AppFrame {
  readonly id: string;
  /** Transaction that it answers or cancels; empty for a new request. */
  readonly txnId: string;
  readonly dialogId: string;
  /** Next hop. */
  readonly proxy: string;
  readonly message: PeerMessage;
}

export interface ServerSip {
  readonly source?: 'network' | 'application';
  readonly txnId: string;
  readonly dialogId?: string;
  /** Empty: a response of the server's own making. */
  readonly address?: string;
}

let serial = 0;
const id = (): string => `frame-${++serial}`;

export class FakeDrachtio {
  readonly secret = 'fake';
  readonly frames = new Inbox<AppFrame>('server: frame');
  /** Connections so far. */
  connections = 0;
  port = 0;
  readonly address: string;
  readonly #arrivals = new Inbox<Socket>('server: authenticated connection');
  #server: Server | undefined;
  #socket: Socket | undefined;

  constructor(address: string) {
    this.address = address;
  }

  async open(): Promise<this> {
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, this.address, resolve));
    const bound = server.address();
    this.port = bound !== null && typeof bound === 'object' ? bound.port : 0;
    return this;
  }

  /** The next connection that has authenticated. */
  async connected(): Promise<void> {
    await this.#arrivals.take('connection');
  }

  frame(method: string): Promise<AppFrame> {
    return this.frames.take(method, ({ message }) => message.isRequest && message.method === method);
  }
  response(status: number): Promise<AppFrame> {
    return this.frames.take(String(status), ({ message }) => message.status === status);
  }

  /** OK to a request: the echo, with the transaction's new id. */
  accept(frame: AppFrame, txnId: string): void {
    const tokens = ['OK', 'application', '0', 'udp', '127.0.35.9', '5060', '00:00:00.000000', txnId, 'Msg sent:', ''];
    const echo = frame.message.raw.toString().replace('\r\n', `\r\nCSeq: 1 ${frame.message.method}\r\n`);
    this.#write([`${id()}|response|${frame.id}|${tokens.join('|')}\r\n${echo}`]);
  }
  /** OK to a response: the echo, with the dialog it belongs to. */
  sent(frame: AppFrame, dialogId: string): void {
    const tokens = ['OK', 'application', '0', 'udp', '127.0.35.9', '5060', '00:00:00.000000', frame.txnId, dialogId];
    const echo = frame.message.raw.toString().replace(/^(to: .*?)(;tag=\S*)?\r$/im, '$1;tag=ours\r');
    this.#write([`${id()}|response|${frame.id}|${tokens.join('|')}||Msg sent:|\r\n${echo}`]);
  }
  refuse(frame: AppFrame, text: string): void {
    this.#write([`${id()}|response|${frame.id}|NOK|${text}`]);
  }

  sipFrame({ source = 'network', txnId, dialogId = '', address = '127.0.35.8' }: ServerSip, text: string): string {
    const port = address === '' ? '0' : '5060';
    return `${id()}|sip|${source}|${text.length}|udp|${address}|${port}|00:00:00.000000|${txnId}|${dialogId}|\r\n${text}`;
  }
  /** Delivers in one write. */
  deliver(...frames: string[]): void {
    this.#write(frames);
  }

  /** The connection breaks; the server stays. */
  drop(): void {
    this.#socket?.destroy();
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#socket?.destroy();
    if (server) await new Promise<void>((done) => server.close(() => done()));
  }

  #write(payloads: readonly string[]): void {
    this.#socket?.write(payloads.map((payload) => `${Buffer.byteLength(payload)}#${payload}`).join(''));
  }

  #accept(socket: Socket): void {
    this.connections++;
    this.#socket = socket;
    let pending = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const hash = pending.indexOf('#');
        const length = Number(pending.toString('latin1', 0, Math.max(0, hash)));
        if (hash < 0 || pending.length < hash + 1 + length) return;
        this.#onFrame(socket, pending.toString('utf8', hash + 1, hash + 1 + length));
        pending = pending.subarray(hash + 1 + length);
      }
    });
  }

  #onFrame(socket: Socket, payload: string): void {
    const end = payload.indexOf('\r\n');
    const [frameId = '', type = '', ...rest] = payload.slice(0, end < 0 ? undefined : end).split('|');
    if (type === 'authenticate') {
      const ok = rest[0] === this.secret;
      this.#write([
        `${id()}|response|${frameId}|${ok ? 'OK|udp/127.0.35.9:5060|v0.9.10|udp/127.0.35.9:5060' : 'NO|incorrect secret'}`,
      ]);
      if (ok) this.#arrivals.push(socket);
      else socket.end();
    } else if (type === 'sip') {
      const [txnId = '', dialogId = '', proxy = ''] = rest;
      const message = new PeerMessage(Buffer.from(payload.slice(end + 2)));
      this.frames.push({ id: frameId, txnId, dialogId, proxy, message });
    } else {
      this.#write([`${id()}|response|${frameId}|OK`]);
    }
  }
}

/** Text of a message as a server hands it on. */
export function sipText(startLine: string, headers: Record<string, string>, body = ''): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${startLine}\r\n${lines.join('')}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
