import type { Clock, Timer } from '../../kernel/index.js';
import { StreamFramer } from '../message/framing.js';
import type { MessageLimits } from '../message/parse.js';
import type { StreamConnection, StreamSink } from '../ports.js';
import type { Hop } from './hop.js';

/** What a stream needs of the layer that it belongs to. */
export interface StreamOwner {
  readonly clock: Clock;
  readonly limits: Partial<MessageLimits> | undefined;
  /** How long a message may take from its first octet to its last, and a new peer's first message from the start. */
  readonly messageMs: number;
  readonly stopped: boolean;
  streamMessage(peer: StreamPeer, data: Buffer): void;
  streamBroken(peer: StreamPeer, data: Buffer, reason: string): void;
  streamClosed(peer: StreamPeer, code: string): void;
}

const KEEP_ALIVE_PONG = Buffer.from('\r\n');
const KEEP_ALIVE_PING = Buffer.from('\r\n\r\n');

/** One accepted or dialled stream: framing on the way in, queueing by the network on the way out. */
export class StreamPeer implements StreamSink {
  readonly hop: Hop;
  connection: StreamConnection | undefined;
  /** When the last whole message came; when it was opened, before that. */
  activeMs: number;
  /** When the last octet came, keep-alives included. */
  heardMs: number;
  readonly accepted: boolean;
  /** Our keep-alive, while nothing has come since. */
  pingedMs: number | undefined;
  answersPings = false;
  #up: boolean;
  readonly #owner: StreamOwner;
  readonly #framer: StreamFramer;
  #deadline: Timer | undefined;

  constructor(owner: StreamOwner, hop: Hop, accepted: boolean) {
    this.#owner = owner;
    this.hop = hop;
    this.accepted = this.#up = accepted;
    this.activeMs = this.heardMs = owner.clock.nowMs();
    this.#framer = new StreamFramer(owner.limits);
    if (accepted) this.#expectMessage('stream_first_message');
  }

  /** An open request, a dialog or a registration would be lost with it. */
  get isNeeded(): boolean {
    const { waiting, dialogs, flowId } = this.hop;
    return waiting.size > 0 || dialogs > 0 || flowId !== undefined;
  }

  onConnected(): void {
    this.#up = true;
  }

  /** RFC 5626 §3.5.1. */
  ping(nowMs: number): void {
    if (!this.#up || this.connection?.write(KEEP_ALIVE_PING) !== true) return;
    this.pingedMs = nowMs;
  }

  onData(chunk: Buffer): void {
    this.heardMs = this.#owner.clock.nowMs();
    if (this.connection?.messages === true) return this.#onMessage(chunk);
    for (const event of this.#framer.push(chunk)) {
      // Whoever is told of one message may close the connection or stop the engine before the next.
      if (this.#owner.stopped) return;
      if (event.type === 'ping') {
        this.connection?.write(KEEP_ALIVE_PONG); // RFC 5626 §4.4.1
      } else if (event.type === 'message') {
        this.#stopWaiting();
        this.activeMs = this.heardMs;
        this.#owner.streamMessage(this, event.data);
      } else {
        this.#stopWaiting();
        this.#owner.streamBroken(this, event.data, event.reason);
        this.connection?.close();
        return;
      }
    }
    // A message that never ends holds memory and a connection: it has as long as a new peer's first.
    const { pending } = this.#framer;
    if (this.#deadline === undefined && pending > 0) this.#expectMessage('stream_message');
    // Half a keep-alive was no message: whole ones end the wait, but not that for a new peer's first message.
    else if (pending === 0 && this.#deadline?.name === 'stream_message') this.#stopWaiting();
  }

  /** RFC 7118 §4.2: one message of the WebSocket is one of SIP; §6 keeps the connection alive by CRLF, too. */
  #onMessage(data: Buffer): void {
    if (data.length <= KEEP_ALIVE_PING.length && KEEP_ALIVE_PING.subarray(0, data.length).equals(data)) {
      if (data.length === KEEP_ALIVE_PING.length) this.connection?.write(KEEP_ALIVE_PONG);
      return;
    }
    this.#stopWaiting();
    this.activeMs = this.heardMs;
    this.#owner.streamMessage(this, data);
  }

  onClose(code?: string): void {
    this.#stopWaiting();
    this.#owner.streamClosed(this, code ?? 'ECONNRESET');
  }

  close(): void {
    this.#stopWaiting();
    this.connection?.close();
  }

  #expectMessage(name: string): void {
    this.#deadline = this.#owner.clock.setTimer(name, this.#owner.messageMs, () => this.close());
  }

  #stopWaiting(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
  }
}
