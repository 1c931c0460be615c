import type { IncomingMessage } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Clock, type Random, TandemError, hostPort } from '../../kernel/index.js';

/** Asked for by mod_audio_fork. */
const PROTOCOL = 'audio.drachtio.org';
/** Two seconds of audio at once, which is all that a media server holds back, and some more. */
const MAX_MESSAGE_BYTES = 256 * 1024;
/** What a media server that does not read may cost us. */
const MAX_BUFFERED_BYTES = 64 * 1024;
/** Of randomness in a URL. */
const PATH_BYTES = 16;

/** Receiver of one media server's stream. Must not throw. Nothing follows `onClosed`. */
export interface RelaySink {
  onOpen(socket: RelaySocket): void;
  /** 16-bit little-endian samples at 8 kHz, in pieces of any length. */
  onAudio(data: Buffer): void;
  onClosed(): void;
}

export interface RelaySocket {
  /** Drops what a media server that does not read will not take. */
  send(audio: Uint8Array): void;
  close(): void;
}

/**
 * Where media servers bring their callers' audio: a WebSocket server for mod_audio_fork. A stream's URL is a secret
 * that is good for one connection; anything else is turned away.
 */
export class AudioRelay {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #address: string;
  readonly #expected = new Map<string, RelaySink>();
  #server: WebSocketServer | undefined;

  constructor(address: string, deps: { readonly clock: Clock; readonly random: Random }) {
    this.#address = address;
    this.#clock = deps.clock;
    this.#random = deps.random;
  }

  /** @throws TandemError `address_not_available` */
  async start(): Promise<void> {
    const server = new WebSocketServer({
      host: this.#address,
      port: 0,
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      clientTracking: true,
      handleProtocols: (protocols) => (protocols.has(PROTOCOL) ? PROTOCOL : false),
      verifyClient: ({ req }: { req: IncomingMessage }) => this.#expected.has(req.url ?? ''),
    });
    await new Promise<void>((resolve, reject) => {
      server.once('listening', resolve);
      server.once('error', (error) => {
        const message = `no audio of media servers can come in at ${this.#address}: ${error.message}`;
        reject(new TandemError({ code: 'address_not_available', message, cause: error }));
      });
    });
    server.on('error', () => undefined);
    server.on('connection', (socket, request) => this.#connected(socket, request.url ?? ''));
    this.#server = server;
  }

  /**
   * @param host under which the media server knows us
   * @returns the URL for one stream, and how to take it back before somebody has come
   */
  expect(host: string, sink: RelaySink): { readonly url: string; readonly forget: () => void } {
    const path = `/${this.#random.hex(PATH_BYTES)}`;
    this.#expected.set(path, sink);
    const bound = this.#server?.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    return { url: `ws://${hostPort(host, port)}${path}`, forget: () => void this.#expected.delete(path) };
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#expected.clear();
    if (server === undefined) return;
    for (const socket of server.clients) socket.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  dump(): object {
    return { address: this.#address, streams: this.#server?.clients.size ?? 0, expected: this.#expected.size };
  }

  #connected(socket: WebSocket, path: string): void {
    const sink = this.#expected.get(path);
    this.#expected.delete(path);
    socket.on('error', () => undefined);
    if (sink === undefined) return socket.terminate();
    socket.on('message', (data, isBinary) => {
      // Texts are echoes of what we never ask for.
      if (isBinary && Buffer.isBuffer(data)) sink.onAudio(data);
    });
    socket.on('close', () => sink.onClosed());
    sink.onOpen({
      send: (audio) => {
        if (socket.readyState === socket.OPEN && socket.bufferedAmount < MAX_BUFFERED_BYTES) socket.send(audio);
      },
      close: () => {
        socket.close(1000);
        const timer = this.#clock.setTimer('freeswitch_relay_close', CLOSE_MS, () => socket.terminate());
        socket.on('close', () => timer.cancel());
      },
    });
  }
}

/** How long the other side may take to answer our close. */
const CLOSE_MS = 2000;
