import { createServer } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Clock, TandemError, type Timer, bracketHost } from '../kernel/index.js';
import { encodeMulaw } from '../media/codec/g711.js';
import { toneGenerator } from '../media/codec/tone.js';
import { type BotSide, JAMBONZ_PROTOCOL, botSide } from './botSides.js';

export type BotName = 'echo' | 'tone';

export interface BotServer {
  /** ws URL. */
  readonly url: string;
  close(): Promise<void>;
}

export interface BotServerOptions {
  readonly bot: BotName;
  readonly host: string;
  /** 0: any. */
  readonly port: number;
  readonly clock: Clock;
  /** One line about each call. */
  readonly log: (line: string) => void;
}

const MAX_MESSAGE_BYTES = 1_048_576;
/** A caller that does not read loses what the bot says. */
const MAX_BUFFERED_BYTES = 1_048_576;
const TONE_HZ = 440;
const BURST_MS = 500;
const PERIOD_MS = 1000;

/**
 * Serves a tiny bot that knows every dialect by what the call says first. A plain GET is answered with the WebSocket
 * URL, as endpoints do that hand out another one for each call.
 * @throws TandemError `listen_failed`
 */
export const serveBot = async (options: BotServerOptions): Promise<BotServer> => {
  const { host, port } = options;
  const http = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ url: url() }));
  });
  const url = (): string => {
    const address = http.address();
    return `ws://${bracketHost(host)}:${typeof address === 'object' ? address?.port : port}/`;
  };
  await new Promise<void>((resolve, reject) => {
    http.once('error', (cause) => {
      reject(new TandemError({ code: 'listen_failed', message: `cannot listen on ${host}:${port}: ${cause.message}` }));
    });
    http.listen(port, host, resolve);
  });
  const server = new WebSocketServer({
    server: http,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(JAMBONZ_PROTOCOL) ? JAMBONZ_PROTOCOL : false),
  });
  server.on('connection', (socket) => new BotCall(socket, options));
  return {
    url: url(),
    close: async () => {
      for (const client of server.clients) client.terminate();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
};

class BotCall {
  readonly #socket: WebSocket;
  readonly #options: BotServerOptions;
  #side: BotSide | undefined;
  /** Audio too short yet to be sent. */
  #held: Buffer = Buffer.alloc(0);
  #heldMarkBytes = 0;
  #marks = 0;
  #burst: Timer | undefined;
  #nextBurstMs = 0;

  constructor(socket: WebSocket, options: BotServerOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('message', (data, isBinary) => {
      const bytes = Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
      this.#hear(isBinary ? bytes : bytes.toString('utf8'));
    });
    socket.on('error', (error) => options.log(`error: ${error.message}`));
    socket.on('close', (code) => {
      this.#burst?.cancel();
      if (this.#side !== undefined) options.log(`${this.#side.dialect} call ended (${code})`);
    });
  }

  #hear(message: string | Buffer): void {
    if (this.#side === undefined) {
      this.#side = typeof message === 'string' ? botSide(message, this.#socket.protocol) : undefined;
      if (this.#side !== undefined) this.#begin(this.#side);
      return;
    }
    const said = this.#side.read(message);
    if (said.kind === 'stop') this.#socket.close(1000);
    else if (this.#options.bot === 'echo') {
      if (said.kind === 'media') this.#echo(this.#side, said.audio);
      else if (said.kind === 'dtmf') this.#key(this.#side, said.digit);
    }
  }

  #begin(side: BotSide): void {
    this.#options.log(`${side.dialect} call, ${side.format.encoding} at ${side.format.sampleRate} Hz`);
    if (this.#options.bot !== 'tone') return;
    this.#nextBurstMs = this.#options.clock.nowMs();
    this.#bursts(side);
  }

  /** Gives back what it hears, and a mark with every second of it. */
  #echo(side: BotSide, audio: Buffer): void {
    this.#held = this.#held.length === 0 ? audio : Buffer.concat([this.#held, audio]);
    if (this.#held.length < side.leastBytes) return;
    const whole = this.#held.length - (this.#held.length % side.stepBytes);
    this.#send(side.media(this.#held.subarray(0, whole)));
    this.#held = this.#held.subarray(whole);
    this.#heldMarkBytes += whole;
    if (this.#heldMarkBytes < bytesPerSecond(side)) return;
    this.#heldMarkBytes = 0;
    this.#send(side.mark(`echo-${++this.#marks}`));
  }

  #key(side: BotSide, digit: string): void {
    if (digit === '*') this.#send(side.clear());
    else if (digit === '#') this.#socket.close(1000);
  }

  #bursts(side: BotSide): void {
    this.#send(side.media(burst(side)));
    this.#send(side.mark(`tone-${++this.#marks}`));
    this.#nextBurstMs += PERIOD_MS;
    const { clock } = this.#options;
    this.#burst = clock.setTimer('bot_burst', this.#nextBurstMs - clock.nowMs(), () => this.#bursts(side));
  }

  #send(message: string | Buffer): void {
    if (this.#socket.readyState !== this.#socket.OPEN || this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) return;
    this.#socket.send(message);
  }
}

const bytesPerSecond = ({ format }: BotSide): number => format.sampleRate * (format.encoding === 'l16' ? 2 : 1);

/** A second: a tone, then silence. */
const burst = ({ format }: BotSide): Buffer => {
  const { sampleRate } = format;
  const pcm = new Int16Array((sampleRate * PERIOD_MS) / 1000);
  toneGenerator([TONE_HZ], { sampleRate, amplitude: 8000 }).fill(pcm.subarray(0, (sampleRate * BURST_MS) / 1000));
  if (format.encoding === 'mulaw') {
    const coded = Buffer.alloc(pcm.length);
    encodeMulaw(pcm, coded);
    return coded;
  }
  const bytes = Buffer.alloc(pcm.length * 2);
  pcm.forEach((sample, at) => bytes.writeInt16LE(sample, at * 2));
  return bytes;
};
