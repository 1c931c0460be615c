/** The application's end of the drachtio control protocol, with no knowledge of the product's codec. */
import { type Socket, connect } from 'node:net';
import { PeerMessage } from './sipText.js';

/** A frame as received. */
export class ReceivedFrame {
  readonly tokens: string[];
  /** First line. */
  readonly leader: string;
  /** Text after the first line. */
  readonly text: string;
  readonly message: PeerMessage | undefined;

  constructor(payload: Buffer) {
    const end = payload.indexOf('\r\n');
    this.leader = payload.toString('latin1', 0, end < 0 ? payload.length : end);
    this.tokens = this.leader.split('|');
    const rest = end < 0 ? Buffer.alloc(0) : payload.subarray(end + 2);
    this.text = rest.toString('utf8');
    this.message = rest.length === 0 ? undefined : new PeerMessage(Buffer.from(rest));
  }

  get type(): string {
    return this.tokens[1] ?? '';
  }
  /** Of a `response` frame: everything after the id of the frame answered. */
  get outcome(): string {
    return this.tokens.slice(3).join('|');
  }
  /** Transaction id of a `sip` frame, or of an OK reply. */
  get txnId(): string {
    return (this.type === 'sip' ? this.tokens[8] : this.tokens[10]) ?? '';
  }
  /** Dialog id of a `sip` frame, or of the OK reply to a response. */
  get dialogId(): string {
    return (this.type === 'sip' ? this.tokens[9] : this.tokens[11]) ?? '';
  }
  /** `INVITE`, `200 INVITE`, `OK`, `NOK`, `NO` */
  get name(): string {
    if (this.type === 'response') return this.tokens[3] ?? '';
    const message = this.message as PeerMessage;
    return message.isRequest ? message.method : `${message.status} ${message.method}`;
  }
}

export function frameBytes(payload: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(payload)}#${payload}`);
}

/** Cuts complete frames off the front. */
export function cutFrames(buffer: Buffer): { frames: ReceivedFrame[]; rest: Buffer } {
  const frames: ReceivedFrame[] = [];
  let rest = buffer;
  for (;;) {
    const hash = rest.indexOf('#');
    if (hash < 0) return { frames, rest };
    const end = hash + 1 + Number(rest.toString('latin1', 0, hash));
    if (Number.isNaN(end)) throw new Error(`bad frame length in ${rest.toString('latin1', 0, 40)}`);
    if (rest.length < end) return { frames, rest };
    frames.push(new ReceivedFrame(Buffer.from(rest.subarray(hash + 1, end))));
    rest = rest.subarray(end);
  }
}

/** A raw client over TCP. Frames are taken strictly in order, so a test that passes proves the order. */
export class DrachtioClient {
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  readonly #frames: ReceivedFrame[] = [];
  #waiting: ((frame: ReceivedFrame | undefined) => void) | undefined;
  #ended = false;
  #serial = 0;
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      const { frames, rest } = cutFrames(Buffer.concat([this.#buffer, chunk]));
      this.#buffer = rest;
      for (const frame of frames) this.#deliver(frame);
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        this.#waiting?.(undefined);
        resolve();
      });
    });
  }

  static async connect(at: { readonly address: string; readonly port: number }): Promise<DrachtioClient> {
    const socket = connect({ host: at.address, port: at.port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new DrachtioClient(socket);
  }

  /** Connected, authenticated, registered. */
  static async app(
    at: { readonly address: string; readonly port: number },
    secret: string,
    verbs: readonly string[] = [],
  ): Promise<DrachtioClient> {
    const client = await DrachtioClient.connect(at);
    await client.ask(`authenticate|${secret}|`);
    for (const verb of verbs) await client.ask(`route|${verb}`);
    return client;
  }

  #deliver(frame: ReceivedFrame): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#frames.push(frame);
    else waiting(frame);
  }

  writeRaw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Sends one frame and returns its id. */
  send(rest: string): string {
    const id = `f${++this.#serial}`;
    this.writeRaw(frameBytes(`${id}|${rest}`));
    return id;
  }

  sip(ids: string, ...lines: string[]): string {
    const blank = lines.indexOf('');
    const text = blank < 0 ? `${lines.join('\r\n')}\r\n\r\n` : lines.join('\r\n');
    return this.send(`sip|${ids}\r\n${text}`);
  }

  /** The next frame, whatever it is. Undefined when the connection ended. */
  async next(timeoutMs = 5000): Promise<ReceivedFrame> {
    const ready = this.#frames.shift();
    if (ready !== undefined) return ready;
    if (this.#ended) throw new Error('the connection has ended');
    let timer: NodeJS.Timeout | undefined;
    const frame = await new Promise<ReceivedFrame | undefined>((resolve, reject) => {
      this.#waiting = resolve;
      timer = setTimeout(() => reject(new Error(`no frame within ${timeoutMs} ms`)), timeoutMs);
    });
    clearTimeout(timer);
    if (frame === undefined) throw new Error('the connection has ended');
    return frame;
  }

  /** The next frame, which must be this one: `INVITE`, `200 INVITE`, `OK`, `NOK` ... */
  async expect(name: string): Promise<ReceivedFrame> {
    const frame = await this.next();
    if (frame.name !== name) throw new Error(`expected ${name}, got ${frame.leader} ${frame.text.slice(0, 60)}`);
    return frame;
  }

  /** Sends a frame; the next frame must be the answer to it. */
  async ask(rest: string): Promise<ReceivedFrame> {
    const id = this.send(rest);
    const frame = await this.next();
    if (frame.type !== 'response' || frame.tokens[2] !== id) throw new Error(`not the answer: ${frame.leader}`);
    return frame;
  }

  async askSip(ids: string, ...lines: string[]): Promise<ReceivedFrame> {
    const id = this.sip(ids, ...lines);
    const frame = await this.next();
    if (frame.type !== 'response' || frame.tokens[2] !== id) throw new Error(`not the answer: ${frame.leader}`);
    return frame;
  }

  /** Frames that have come and were not taken. */
  get unread(): readonly ReceivedFrame[] {
    return this.#frames;
  }

  close(): void {
    this.#socket.destroy();
  }
}
