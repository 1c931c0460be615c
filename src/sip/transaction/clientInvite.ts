import { NOT_LISTED, type Timer } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { byteString } from '../message/text.js';
import type { Hop, HopUser } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { TransactionHost } from './host.js';
import { type ClientRemains, StoredAck } from './lingering.js';
import { INVITE_CLIENT, type InviteClientAction, type InviteClientEvent, type InviteClientState } from './tables.js';
import { patienceMs } from './timers.js';
import { MAX_DATAGRAM_BYTES } from '../transport/layer.js';

/** The core's side of a client transaction. After `onTimeout` or `onTransportError` nothing follows. */
export interface ClientUser {
  onResponse(response: SipResponse, arrival: Arrival): void;
  onTimeout(): void;
  onTransportError(code: string): void;
}

/** RFC 3261 §17.1.1, RFC 6026 §7.2. */
export class ClientInviteTransaction implements HopUser {
  readonly key: string;
  readonly hop: Hop;
  /** Among those that wait at the hop. */
  place = NOT_LISTED;
  state: InviteClientState = 'calling';
  request: SipRequest | undefined;
  /** A proxy's: those who sent the request to us stand in its answers too. */
  relays = false;
  readonly #host: TransactionHost;
  #user: ClientUser | undefined;
  #data: Buffer | undefined;
  #response: SipResponse | undefined;
  #arrival: Arrival | undefined;
  #errorCode = '';
  #ack: Buffer | undefined;
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
    this.request = request;
    this.#data = data;
    this.hop.waiting.add(this);
    if (!this.hop.reliable) this.#resendTimer = this.#host.clock.setTimer('A', this.#resendMs, this.#onA);
    this.#timer = this.#host.clock.setTimer('B', patienceMs(this.#host.timers), () => this.#handle('timer_b'));
    if (this.hop.reliable || data.length <= MAX_DATAGRAM_BYTES) this.#host.send(this.hop, data, true);
    else this.#failSoon();
  }

  receive(response: SipResponse, arrival: Arrival): void {
    this.#response = response;
    this.#arrival = arrival;
    this.#handle(response.status < 200 ? '1xx' : response.status < 300 ? '2xx' : '3xx_6xx');
    this.#response = undefined;
    this.#arrival = undefined;
  }

  onTransportError(code: string): void {
    this.#errorCode = code;
    this.#handle('transport_error');
  }

  /** Ends at once and in silence: nobody waits any more (RFC 3261 §9.1), or the engine stops. */
  dispose(): void {
    this.#stopTimers();
    this.#user = undefined;
    this.#end();
  }

  /** The user has acknowledged a 2xx and needs no more: copies of it and answers of other forks are for `remains`. */
  leaveTo(remains: ClientRemains): void {
    if (this.state !== 'accepted') return;
    this.#stopTimers();
    this.#user = undefined;
    this.state = 'terminated';
    this.#host.lingerClient(this.key, 'M', remains);
  }

  /** Told after the call that made us has returned. */
  #failSoon(): void {
    this.#resendTimer?.cancel();
    this.#resendTimer = this.#host.clock.setTimer('too_long', 0, () => this.onTransportError('EMSGSIZE'));
  }

  readonly #onA = (): void => this.#handle('timer_a');

  #handle(event: InviteClientEvent): void {
    const cell = INVITE_CLIENT[this.state][event];
    if (cell.next !== undefined) this.state = cell.next;
    for (const action of cell.actions) this.#perform(action);
  }

  #perform(action: InviteClientAction): void {
    switch (action) {
      case 'resend':
        this.#resendMs *= 2;
        this.#resendTimer = this.#host.clock.setTimer('A', this.#resendMs, this.#onA);
        if (this.#data !== undefined) this.#host.resend(this.hop, this.#data, true);
        return;
      case 'stop_timers':
        return this.#stopTimers();
      case 'start_m':
        // Only a failure is acknowledged from here.
        this.request = this.#data = undefined;
        this.#timer = this.#host.clock.setTimer('M', patienceMs(this.#host.timers), () => this.#handle('timer_m'));
        return;
      case 'start_d':
        this.#data = undefined;
        if (this.hop.reliable) return this.#end();
        return this.#host.lingerClient(this.key, 'D', new StoredAck(this.#host, this, this.#ackText()));
      case 'send_ack':
        return this.#sendAck();
      case 'tell_response':
        if (this.#response !== undefined && this.#arrival !== undefined) {
          this.#user?.onResponse(this.#response, this.#arrival);
          if (this.state === 'completed') this.#user = undefined;
        }
        return;
      case 'tell_timeout':
        return this.#user?.onTimeout();
      case 'tell_error':
        return this.#user?.onTransportError(this.#errorCode);
      case 'end':
        return this.#end();
    }
  }

  /** RFC 3261 §17.1.1.3: same branch, same hop, To of the response. */
  #sendAck(): void {
    if (this.#ack === undefined && this.request !== undefined && this.#response !== undefined) {
      this.#ack = this.#host.buildFailureAck(this.request, this.#response);
      this.request = undefined;
    }
    if (this.#ack !== undefined) this.#host.send(this.hop, this.#ack, false);
  }

  #ackText(): string {
    const ack = this.#ack;
    return ack === undefined ? '' : byteString(ack, 0, ack.length);
  }

  #stopTimers(): void {
    this.hop.waiting.delete(this);
    this.#resendTimer?.cancel();
    this.#timer?.cancel();
    this.#resendTimer = this.#timer = undefined;
  }

  #end(): void {
    this.#timer?.cancel();
    this.state = 'terminated';
    this.#host.endClient(this.key);
    this.#data = this.#ack = undefined;
    if (this.#response === undefined) this.#user = undefined;
  }
}
