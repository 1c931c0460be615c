import { NOT_LISTED, type Timer } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { Hop, HopUser } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { ClientUser } from './clientInvite.js';
import type { TransactionHost } from './host.js';
import { ANSWERED } from './lingering.js';
import { CLIENT, type ClientAction, type ClientEvent, type ClientState } from './tables.js';
import { patienceMs } from './timers.js';
import { MAX_DATAGRAM_BYTES } from '../transport/layer.js';

/** RFC 3261 §17.1.2: any request but INVITE and ACK. */
export class ClientTransaction implements HopUser {
  readonly key: string;
  readonly hop: Hop;
  /** Among those that wait at the hop. */
  place = NOT_LISTED;
  state: ClientState = 'trying';
  /** As of ClientInviteTransaction. */
  relays = false;
  readonly #host: TransactionHost;
  #user: ClientUser | undefined;
  #data: Buffer | undefined;
  #response: SipResponse | undefined;
  #arrival: Arrival | undefined;
  #errorCode = '';
  #resendMs: number;
  #resendTimer: Timer | undefined;
  #timer: Timer | undefined;

  constructor(host: TransactionHost, key: string, hop: Hop, user: ClientUser) {
    this.#host = host;
    this.key = key;
    this.hop = hop;
    this.#user = user;
    this.#resendMs = host.timers.t1Ms;
  }

  /** @param request complete: with the Via whose branch is in the key */
  start(request: SipRequest): void {
    const data = request.toBuffer();
    this.#data = data;
    this.hop.waiting.add(this);
    if (!this.hop.reliable) this.#resendTimer = this.#host.clock.setTimer('E', this.#resendMs, this.#onE);
    this.#timer = this.#host.clock.setTimer('F', patienceMs(this.#host.timers), () => this.#handle('timer_f'));
    if (this.hop.reliable || data.length <= MAX_DATAGRAM_BYTES) this.#host.send(this.hop, data, true);
    else this.#failSoon();
  }

  receive(response: SipResponse, arrival: Arrival): void {
    this.hop.waiting.delete(this);
    this.#response = response;
    this.#arrival = arrival;
    this.#handle(response.status < 200 ? '1xx' : 'final');
    this.#response = undefined;
    this.#arrival = undefined;
  }

  onTransportError(code: string): void {
    this.#errorCode = code;
    this.#handle('transport_error');
  }

  /** Ends at once and in silence. */
  dispose(): void {
    this.#perform('stop_timers');
    this.#user = undefined;
    this.#end();
  }

  /** Told after the call that made us has returned. */
  #failSoon(): void {
    this.#resendTimer?.cancel();
    this.#resendTimer = this.#host.clock.setTimer('too_long', 0, () => this.onTransportError('EMSGSIZE'));
  }

  readonly #onE = (): void => this.#handle('timer_e');

  #handle(event: ClientEvent): void {
    const cell = CLIENT[this.state][event];
    if (cell.next !== undefined) this.state = cell.next;
    for (const action of cell.actions) this.#perform(action);
  }

  #perform(action: ClientAction): void {
    switch (action) {
      case 'resend':
        if (this.#data !== undefined) this.#host.resend(this.hop, this.#data, true);
        return;
      case 'restart_e':
        this.#resendMs = Math.min(this.#resendMs * 2, this.#host.timers.t2Ms);
        this.#resendTimer = this.#host.clock.setTimer('E', this.#resendMs, this.#onE);
        return;
      case 'slow_e':
        this.#resendTimer = this.#host.clock.setTimer('E', this.#host.timers.t2Ms, this.#onE);
        return;
      case 'stop_timers':
        this.hop.waiting.delete(this);
        this.#resendTimer?.cancel();
        this.#timer?.cancel();
        this.#resendTimer = this.#timer = undefined;
        this.#data = undefined;
        return;
      case 'start_k':
        if (this.hop.reliable) return this.#end();
        return this.#host.lingerClient(this.key, 'K', ANSWERED);
      case 'tell_response': {
        const user = this.#user;
        if (this.state !== 'proceeding') this.#user = undefined;
        if (this.#response !== undefined && this.#arrival !== undefined)
          user?.onResponse(this.#response, this.#arrival);
        return;
      }
      case 'tell_timeout':
        return this.#user?.onTimeout();
      case 'tell_error':
        return this.#user?.onTransportError(this.#errorCode);
      case 'end':
        return this.#end();
    }
  }

  #end(): void {
    this.state = 'terminated';
    this.#host.endClient(this.key);
  }
}
