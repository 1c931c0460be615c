/** What is kept of one transfer while it goes on; in the end its record, in the books of each call that it concerned. */
import type { Clock } from '../../../kernel/index.js';
import type { HeaderEntry, SignalMessage } from '../../../signal/port.js';
import { cleanText } from '../../bridge/headerText.js';
import { reasonHeader } from '../../bridge/reason.js';
import type { AttemptRecord } from '../../record/cdr.js';
import { isoTime } from '../../record/isoTime.js';
import type { TransferRecord } from '../../record/transferRecord.js';
import { type Party, ownerOf } from './party.js';
import type { TransferCode } from './reasons.js';

const MAX_KEPT = 256;

/** Whoever asked, as far as the record tells of it. */
export type Asker = Pick<Party, 'call' | 'seat'>;

export class TransferAccount {
  readonly #clock: Clock;
  readonly #asker: Asker;
  readonly #startedMs: number;
  readonly #startedWallMs: number;
  readonly #referredBy: string | null;
  kind: TransferRecord['kind'] = 'blind';
  target = '';
  revision: string | null = null;
  /** The other call that it concerns, and whoever of it took part. */
  other: Asker | undefined;
  readonly attempts: AttemptRecord[] = [];
  #closed = false;

  constructor(clock: Clock, asker: Asker, message: SignalMessage) {
    this.#clock = clock;
    this.#asker = asker;
    this.#startedMs = clock.nowMs();
    this.#startedWallMs = clock.wallMs();
    const referredBy = message.header('Referred-By');
    this.#referredBy = referredBy === undefined ? null : cleanText(referredBy).slice(0, MAX_KEPT);
  }

  /** Once; later words change nothing. */
  close(outcome: TransferRecord['outcome'], sipStatus: number, reasonCode: TransferCode): void {
    if (this.#closed) return;
    this.#closed = true;
    const { other } = this;
    this.#asker.call.onTransfer(this.#record(this.#asker, other?.call.id ?? null, { outcome, sipStatus, reasonCode }));
    if (other === undefined || outcome !== 'completed') return;
    other.call.onTransfer(this.#record(other, this.#asker.call.id, { outcome, sipStatus, reasonCode }));
  }

  #record(
    { seat }: Asker,
    otherCallId: string | null,
    end: Pick<TransferRecord, 'outcome' | 'sipStatus' | 'reasonCode'>,
  ): TransferRecord {
    const owner = ownerOf(seat);
    return {
      at: isoTime(this.#startedWallMs),
      referrer: seat.side === 'a' ? 'caller' : 'callee',
      trunkSid: owner?.kind === 'trunk' ? owner.id : null,
      carrierId: owner?.kind === 'carrier' ? owner.id : null,
      kind: this.kind,
      target: this.target,
      referredBy: this.#referredBy,
      otherCallId,
      revision: this.revision,
      ...end,
      durationMs: Math.round(this.#clock.nowMs() - this.#startedMs),
      attempts: this.attempts,
    };
  }
}

/** The Reason of a refusal: the status that a call would have got, and the code. */
export const refusalReason = (status: number, code: TransferCode): readonly HeaderEntry[] => [
  reasonHeader('SIP', status, code),
];
