import type { Timer } from '../../kernel/index.js';
import type { SipRequest } from '../message/message.js';
import type { Arrival } from '../transport/layer.js';
import type { ReplyPath, TransactionHost } from './host.js';
import { ACKNOWLEDGED } from './lingering.js';
import { INVITE_SERVER, type InviteServerAction, type InviteServerEvent, type InviteServerState } from './tables.js';
import { patienceMs } from './timers.js';

/** The core's side of an INVITE server transaction. */
export interface ServerInviteUser {
  /** ACK of a 2xx that reused the INVITE's branch (RFC 2543 peers). */
  onAck(ack: SipRequest, arrival: Arrival): void;
  /** The failure answer was never acknowledged. */
  onAckTimeout(): void;
  /** The caller's CANCEL, already answered 200. */
  cancelled(cancel: SipRequest): void;
  /** Our To tag, for the answer to a CANCEL; undefined: any. */
  readonly localTag?: string | undefined;
  /** There is no way left to answer. */
  onTransportError(code: string): void;
}

/** RFC 3261 §17.2.1, RFC 6026 §7.1. */
export class ServerInviteTransaction {
  readonly key: string;
  readonly mergeKey: string;
  readonly path: ReplyPath;
  state: InviteServerState = 'proceeding';
  user: ServerInviteUser | undefined;
  readonly #host: TransactionHost;
  #last: Buffer | undefined;
  #ack: SipRequest | undefined;
  #arrival: Arrival | undefined;
  #errorCode = '';
  #resendMs = 0;
  #resendTimer: Timer | undefined;
  #timer: Timer | undefined;

  constructor(host: TransactionHost, key: string, mergeKey: string, path: ReplyPath) {
    this.#host = host;
    this.key = key;
    this.mergeKey = mergeKey;
    this.path = path;
  }

  /** @returns false when the state does not allow this response any more. */
  respond(status: number, data: Buffer): boolean {
    const event = status < 200 ? 'send_1xx' : status < 300 ? 'send_2xx' : 'send_3xx_6xx';
    if (INVITE_SERVER[this.state][event].actions.length === 0) return false;
    this.#last = data;
    this.#handle(event);
    return true;
  }

  retransmitted(): void {
    this.#handle('invite');
  }

  receiveAck(ack: SipRequest, arrival: Arrival): void {
    this.#ack = ack;
    this.#arrival = arrival;
    this.#handle('ack');
    this.#ack = undefined;
    this.#arrival = undefined;
  }

  /** The core has seen the ACK of its 2xx: nothing but the key need linger. */
  release(): void {
    if (this.state === 'accepted') this.#linger('L');
  }

  onTransportError(code: string): void {
    this.#errorCode = code;
    this.#handle('transport_error');
  }

  /** Ends at once and in silence. */
  dispose(): void {
    this.#stopTimers();
    this.#end();
  }

  readonly #onG = (): void => this.#handle('timer_g');

  #handle(event: InviteServerEvent): void {
    const cell = INVITE_SERVER[this.state][event];
    if (cell.next !== undefined) this.state = cell.next;
    for (const action of cell.actions) this.#perform(action);
  }

  #perform(action: InviteServerAction): void {
    const { clock, timers } = this.#host;
    switch (action) {
      case 'send':
        if (this.#last !== undefined) this.#host.reply(this.path, this.#last);
        return;
      case 'resend':
        if (this.#last !== undefined) this.#host.replyAgain(this.path, this.#last);
        return;
      case 'start_g_h':
        this.#resendMs = timers.t1Ms;
        if (!this.path.reliable) this.#resendTimer = clock.setTimer('G', this.#resendMs, this.#onG);
        this.#timer = clock.setTimer('H', patienceMs(timers), () => this.#handle('timer_h'));
        return;
      case 'restart_g':
        this.#resendMs = Math.min(this.#resendMs * 2, timers.t2Ms);
        this.#resendTimer = clock.setTimer('G', this.#resendMs, this.#onG);
        return;
      case 'start_i':
        if (this.path.reliable) return this.#end();
        return this.#linger('I');
      case 'start_l':
        this.#timer = clock.setTimer('L', patienceMs(timers), () => this.#handle('timer_l'));
        return;
      case 'stop_timers':
        return this.#stopTimers();
      case 'tell_ack':
        if (this.#ack !== undefined && this.#arrival !== undefined) this.user?.onAck(this.#ack, this.#arrival);
        return;
      case 'tell_timeout':
        return this.user?.onAckTimeout();
      case 'tell_error':
        return this.user?.onTransportError(this.#errorCode);
      case 'end':
        return this.#end();
    }
  }

  #stopTimers(): void {
    this.#resendTimer?.cancel();
    this.#timer?.cancel();
    this.#resendTimer = this.#timer = undefined;
  }

  /** Nothing more can come but copies of the request. */
  #linger(timer: 'I' | 'L'): void {
    this.#stopTimers();
    this.#last = undefined;
    this.user = undefined;
    this.#host.lingerServer(this.key, this.mergeKey, timer, ACKNOWLEDGED);
  }

  #end(): void {
    this.state = 'terminated';
    this.#last = undefined;
    this.user = undefined;
    this.#host.endServer(this.key, this.mergeKey);
  }
}
