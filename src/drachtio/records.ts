/** `cdr:*` frames: what befell a call, told to applications that registered for it. */
import type { Clock } from '../kernel/index.js';
import type { DialogEnd, SipMessage } from '../sip/index.js';
import type { AppConnection } from './connection.js';
import { timeOfDay } from './envelope.js';

/** Whose message it was: a peer's, or that of an application or of the server. */
export type RecordSource = 'network' | 'application';
export type RecordRole = 'uas' | 'uac' | 'proxy-uas' | 'proxy-uac';
export type StopReason =
  | 'normal-release'
  | 'call-rejected'
  | 'call-canceled'
  | 'session-expired'
  | 'system-initiated-termination'
  | 'system-error-initiated-termination';

/** The reason that goes with the end of a confirmed dialog. */
export const stopReasonOf = (end: DialogEnd, reasonText: string | undefined): StopReason => {
  if (end === 'remote_bye' || end === 'local_bye') return 'normal-release';
  if (/session timer/i.test(reasonText ?? '')) return 'session-expired';
  return end === 'failed' || end === 'lost' ? 'system-error-initiated-termination' : 'system-initiated-termination';
};

export class Records {
  readonly #clock: Clock;
  readonly #pick: (verb: string) => AppConnection | undefined;

  /** @param pick whose turn it is among those that registered for a record; undefined: nobody did */
  constructor(clock: Clock, pick: (verb: string) => AppConnection | undefined) {
    this.#clock = clock;
    this.#pick = pick;
  }

  attempt(source: RecordSource, invite: SipMessage): void {
    this.#send('cdr:attempt', source, '', invite);
  }

  start(source: RecordSource, role: RecordRole, answer: SipMessage): void {
    this.#send('cdr:start', source, `|${role}`, answer);
  }

  stop(source: RecordSource, reason: StopReason, message: SipMessage): void {
    this.#send('cdr:stop', source, `|${reason}`, message);
  }

  #send(verb: string, source: RecordSource, detail: string, message: SipMessage): void {
    this.#pick(verb)?.send(`${verb}|${source}|${timeOfDay(this.#clock)}${detail}`, message.toBuffer());
  }
}
