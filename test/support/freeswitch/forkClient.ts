/** mod_audio_fork's WebSocket: the caller's audio out, a bot's audio in, held back until there is enough of it. */
import { WebSocket } from 'ws';
import type { StreamReport, StreamSpec } from '../../../src/media/index.js';
import type { BotStream, BotStreamListener } from '../../../src/media/stream/port.js';

const FRAME = 160;
/** Samples before the first is played, and after the queue has run dry. */
const PREBUFFER = { first: 1280, later: 640 };

export class ForkClient implements BotStream {
  readonly rate = 8000;
  readonly bufferedBytes = 0;
  readonly #spec: StreamSpec;
  readonly #listener: BotStreamListener;
  readonly #socket: WebSocket;
  readonly #frame = new Int16Array(FRAME);
  #queue: number[] = [];
  #threshold = PREBUFFER.first;
  #playing = false;
  #opened = false;
  #ended = false;

  constructor(spec: StreamSpec, listener: BotStreamListener) {
    this.#spec = spec;
    this.#listener = listener;
    this.#socket = new WebSocket(spec.url, 'audio.drachtio.org', { perMessageDeflate: false });
    this.#socket.on('open', () => {
      this.#opened = true;
      listener.onStarted();
    });
    this.#socket.on('error', (error) => this.#end('failed', error.message));
    this.#socket.on('close', () => this.#end('completed', 'closed'));
    this.#socket.on('message', (data, binary) => {
      if (!binary || spec.direction === 'fork' || !Buffer.isBuffer(data)) return;
      for (let at = 0; at + 1 < data.length; at += 2) this.#queue.push(data.readInt16LE(at));
    });
  }

  fromCaller(pcm: Int16Array): void {
    if (!this.#opened || this.#ended) return;
    const frame = Buffer.alloc(pcm.length * 2);
    for (let i = 0; i < pcm.length; i++) frame.writeInt16LE(pcm[i] as number, i * 2);
    this.#socket.send(frame);
  }

  toCaller(): Int16Array | undefined {
    if (!this.#playing && this.#queue.length < this.#threshold) return undefined;
    if (this.#queue.length < FRAME) {
      this.#playing = false;
      this.#threshold = PREBUFFER.later;
      return undefined;
    }
    this.#playing = true;
    this.#frame.set(this.#queue.splice(0, FRAME));
    return this.#frame;
  }

  dtmf(): void {}

  stop(): void {
    if (this.#opened) this.#socket.close(1000);
    else this.#socket.terminate();
    this.#end('completed', 'stopped');
  }

  dump(): object {
    return { queued: this.#queue.length };
  }

  #end(status: StreamReport['status'], detail: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const counts = { durationMs: 0, framesSent: 0, framesReceived: 0 };
    this.#listener.onEnded({ streamSid: this.#spec.streamSid, disconnectedBy: 'NA', status, detail, ...counts });
  }
}
