/** The session timer that two ends have agreed on through us (RFC 4028): they refresh, and we see whether they do. */
import type { Clock, Random } from '../../kernel/index.js';
import type { SignalMessage } from '../../signal/port.js';
import { LegTimer } from './legTimer.js';
import { intervalOf } from './sessionFields.js';

export class SessionWatch {
  readonly #timer: LegTimer;

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }, expired: () => void) {
    // The ends give up before the session's end (§10): whoever is still there does it, and we only where nobody is.
    this.#timer = new LegTimer(clock, random, { refresh: () => {}, expired }, 0);
  }

  /** An answer on its way across: each 2xx to INVITE and UPDATE settles the timer anew. */
  heard(message: SignalMessage): void {
    const { status = 0, method } = message;
    if (status < 200 || status >= 300 || (method !== 'INVITE' && method !== 'UPDATE')) return;
    this.#timer.agree('theirs', intervalOf(message)?.seconds);
  }

  stop(): void {
    this.#timer.on('over');
  }

  dump(): object {
    return this.#timer.dump();
  }
}
