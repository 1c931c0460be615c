import type { Clock } from '../../kernel/index.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { Hop, Listener } from '../transport/hop.js';
import type { ClientRemains, ServerRemains } from './lingering.js';
import type { TimerSettings } from './timers.js';

/** Where answers to one request go. */
export interface ReplyPath {
  readonly reliable: boolean;
  readonly listener: Listener;
  readonly address: string;
  readonly port: number;
  /** The connection it came over, for streams. */
  readonly hop: Hop | undefined;
}

/** What a transaction needs of the layer that holds it. */
export interface TransactionHost {
  readonly clock: Clock;
  readonly timers: TimerSettings;
  send(hop: Hop, data: Buffer, expectAnswer: boolean): void;
  resend(hop: Hop, data: Buffer, expectAnswer: boolean): void;
  reply(path: ReplyPath, data: Buffer): void;
  replyAgain(path: ReplyPath, data: Buffer): void;
  buildFailureAck(request: SipRequest, response: SipResponse): Buffer;
  /** From now on, and until that timer, `remains` hears what comes for the transaction. */
  lingerClient(key: string, timer: 'D' | 'K' | 'M', remains: ClientRemains): void;
  lingerServer(key: string, mergeKey: string, timer: 'I' | 'J' | 'L', remains: ServerRemains): void;
  endClient(key: string): void;
  endServer(key: string, mergeKey: string): void;
}
