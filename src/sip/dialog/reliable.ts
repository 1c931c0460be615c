import type { Timer } from '../../kernel/index.js';
import { patienceMs } from '../transaction/timers.js';
import type { ServerInviteTransaction } from '../transaction/serverInvite.js';
import type { CoreHost } from './host.js';

interface Provisional {
  readonly status: number;
  readonly rseq: number;
  readonly data: Buffer;
  readonly hasBody: boolean;
}

/** What a PRACK says it acknowledges; undefined when malformed. RFC 3262 §7.2. */
export interface RAck {
  readonly rseq: number;
  readonly cseq: number;
  readonly method: string;
}

export const parseRAck = (value: string | undefined): RAck | undefined => {
  const parts = (value ?? '')
    .replaceAll('\t', ' ')
    .split(' ', 16)
    .filter((part) => part !== '');
  const [rseq, cseq, method] = parts;
  if (parts.length !== 3 || method === undefined) return undefined;
  return { rseq: Number(rseq), cseq: Number(cseq), method };
};

/** The reliable provisionals of one INVITE, RFC 3262 §3: one outstanding at a time, repeated until its PRACK. */
export class ReliableProvisionals {
  readonly #core: CoreHost;
  readonly #transaction: ServerInviteTransaction;
  readonly #inviteSeq: number;
  #onGiveUp: (() => void) | undefined;
  #rseq = 0;
  #outstanding: Provisional | undefined;
  #queue: Provisional[] = [];
  #timer: Timer | undefined;
  #waitMs = 0;
  #sentAtMs = 0;

  /** @param onGiveUp no PRACK within 64*T1 */
  constructor(core: CoreHost, transaction: ServerInviteTransaction, inviteSeq: number, onGiveUp: () => void) {
    this.#core = core;
    this.#transaction = transaction;
    this.#inviteSeq = inviteSeq;
    this.#onGiveUp = onGiveUp;
  }

  /** RSeq of the next one. */
  nextRSeq(): number {
    this.#rseq = this.#rseq === 0 ? 1 + Math.floor(this.#core.layer.random.float() * 0x7fff_0000) : this.#rseq + 1;
    return this.#rseq;
  }

  /** A 2xx must not overtake a session description that is still unacknowledged. */
  get blocksSuccess(): boolean {
    return this.#outstanding?.hasBody === true || this.#queue.some((waiting) => waiting.hasBody);
  }

  get unacknowledged(): boolean {
    return this.#outstanding !== undefined;
  }

  /** Sends it, or keeps it until those before it are acknowledged. */
  send(status: number, data: Buffer, hasBody: boolean): void {
    const provisional = { status, rseq: this.#rseq, data, hasBody };
    if (this.#outstanding === undefined) this.#start(provisional);
    else this.#queue.push(provisional);
  }

  /**
   * @param answered a 2xx waits: what could still be sent before it, but need not, is left out
   * @returns false when the PRACK acknowledges nothing that is outstanding
   */
  acknowledge(rack: RAck | undefined, answered: boolean): boolean {
    const { method, cseq, rseq } = rack ?? {};
    if (method !== 'INVITE' || cseq !== this.#inviteSeq || rseq !== this.#outstanding?.rseq) return false;
    this.#timer?.cancel();
    this.#outstanding = undefined;
    if (answered) this.#queue = this.#queue.filter((waiting) => waiting.hasBody);
    const next = this.#queue.shift();
    if (next !== undefined) this.#start(next);
    return true;
  }

  /** A final answer ends the repetition; the PRACK of the last one may still come. */
  stop(): void {
    this.#timer?.cancel();
    this.#onGiveUp = undefined;
    this.#queue = [];
  }

  #start(provisional: Provisional): void {
    const { clock, timers } = this.#core.layer;
    this.#outstanding = provisional;
    this.#waitMs = timers.t1Ms;
    this.#sentAtMs = clock.nowMs();
    this.#transaction.respond(provisional.status, provisional.data);
    this.#timer = clock.setTimer('rel1xx', this.#waitMs, this.#repeat);
  }

  readonly #repeat = (): void => {
    const { clock, timers } = this.#core.layer;
    if (this.#outstanding === undefined) return;
    const leftMs = this.#sentAtMs + patienceMs(timers) - clock.nowMs();
    if (leftMs <= 0) {
      this.#onGiveUp?.();
      return;
    }
    this.#core.layer.replyAgain(this.#transaction.path, this.#outstanding.data);
    this.#waitMs *= 2;
    this.#timer = clock.setTimer('rel1xx', Math.min(this.#waitMs, leftMs), this.#repeat);
  };
}
