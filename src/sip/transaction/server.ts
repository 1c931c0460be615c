import { byteString } from '../message/text.js';
import type { ReplyPath, TransactionHost } from './host.js';
import { StoredAnswer } from './lingering.js';
import { SERVER, type ServerAction, type ServerEvent, type ServerState } from './tables.js';

/** The core's side: told, while it owes the answer, that there is no way left to give it. */
export interface ServerUser {
  onTransportError(code: string): void;
}

/** RFC 3261 §17.2.2: any request but INVITE and ACK. */
export class ServerTransaction {
  readonly key: string;
  readonly mergeKey: string;
  readonly path: ReplyPath;
  state: ServerState = 'trying';
  user: ServerUser | undefined;
  readonly #host: TransactionHost;
  /** The response that is being sent. */
  #data: Buffer | undefined;
  /** As of StoredAnswer. */
  #last = '';
  #errorCode = '';

  constructor(host: TransactionHost, key: string, mergeKey: string, path: ReplyPath) {
    this.#host = host;
    this.key = key;
    this.mergeKey = mergeKey;
    this.path = path;
  }

  /** @returns false when a final response was already given. */
  respond(status: number, data: Buffer): boolean {
    const event = status < 200 ? 'send_1xx' : 'send_final';
    if (SERVER[this.state][event].actions.length === 0) return false;
    this.#data = data;
    if (status < 200 || !this.path.reliable) this.#last = byteString(data, 0, data.length);
    if (status >= 200) this.user = undefined;
    this.#handle(event);
    this.#data = undefined;
    return true;
  }

  onTransportError(code: string): void {
    this.#errorCode = code;
    this.#handle('transport_error');
  }

  /** Ends at once and in silence. */
  dispose(): void {
    this.user = undefined;
    this.#perform('end');
  }

  retransmitted(): void {
    this.#handle('request');
  }

  #handle(event: ServerEvent): void {
    const cell = SERVER[this.state][event];
    if (cell.next !== undefined) this.state = cell.next;
    for (const action of cell.actions) this.#perform(action);
  }

  #perform(action: ServerAction): void {
    switch (action) {
      case 'send':
        if (this.#data !== undefined) this.#host.reply(this.path, this.#data);
        return;
      case 'resend':
        if (this.#last !== '') this.#host.replyAgain(this.path, Buffer.from(this.#last, 'latin1'));
        return;
      case 'start_j':
        if (this.path.reliable) return this.#handle('timer_j');
        return this.#host.lingerServer(
          this.key,
          this.mergeKey,
          'J',
          new StoredAnswer(this.#host, this.path, this.#last),
        );
      case 'tell_error':
        return this.user?.onTransportError(this.#errorCode);
      case 'end':
        this.state = 'terminated';
        this.#last = '';
        this.user = undefined;
        this.#host.endServer(this.key, this.mergeKey);
    }
  }
}
