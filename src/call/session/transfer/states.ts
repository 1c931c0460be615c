/**
 * A transfer as a table: what each event means in each state. The target is reached first, a new callee by INVITE, an
 * end of another call by re-INVITE; then whoever is transferred is offered the target's media. Until that has been
 * answered, the call is what it was before.
 */

export type TransferState =
  /** The target has been asked, with the description of whoever is transferred. */
  | 'reaching'
  /** The target has answered; whoever is transferred has been offered its media. */
  | 'connecting'
  /** That answer names other addresses than the target was told: it is told them. */
  | 'settling'
  | 'completed'
  | 'failed';

export type TransferEvent =
  | 'target_progress'
  | 'target_answered'
  | 'target_refused'
  | 'target_gone'
  /** The answer fits what the target was told. */
  | 'transferee_agreed'
  /** It does not. */
  | 'transferee_moved'
  | 'transferee_refused'
  | 'transferee_gone'
  /** The target's answer to the second telling, or that it gave none. */
  | 'target_settled'
  /** Whoever sent the REFER has hung up: it wants the transfer all the same (RFC 5589 §6.1). */
  | 'referrer_gone'
  /** The call ends for reasons of Tandem's own. */
  | 'hang_up';

export type TransferAction =
  | 'ignore'
  /** NOTIFY with the status. */
  | 'report'
  | 'offerTransferee'
  | 'retellTarget'
  /** Final NOTIFY, BYE to the referrer; the two are a call. */
  | 'complete'
  /** Final NOTIFY; the pair of before goes on. */
  | 'fail'
  /** As fail; the target has media of the transferee's: it hangs up, or gets back what it had. */
  | 'giveTargetBack'
  /** As fail; the transferee has media of a target that is gone: it gets back what it had. */
  | 'giveTransfereeBack'
  /** The transferee has hung up: so is the call over, and nobody waits for the target. */
  | 'abandon';

export interface TransferCell {
  readonly action: TransferAction;
  readonly to?: TransferState;
}

type Row = { readonly [E in TransferEvent]: TransferCell };

const NOTHING: TransferCell = { action: 'ignore' };
const failed = (action: TransferAction): TransferCell => ({ action, to: 'failed' });

const IGNORED: Row = {
  target_progress: NOTHING,
  target_answered: NOTHING,
  target_refused: NOTHING,
  target_gone: NOTHING,
  transferee_agreed: NOTHING,
  transferee_moved: NOTHING,
  transferee_refused: NOTHING,
  transferee_gone: NOTHING,
  target_settled: NOTHING,
  referrer_gone: NOTHING,
  hang_up: NOTHING,
};

const UNDER_WAY: Row = { ...IGNORED, transferee_gone: failed('abandon'), hang_up: failed('abandon') };

export const TRANSFER_TABLE: { readonly [S in TransferState]: Row } = {
  reaching: {
    ...UNDER_WAY,
    target_progress: { action: 'report' },
    target_answered: { action: 'offerTransferee', to: 'connecting' },
    target_refused: failed('fail'),
    target_gone: failed('fail'),
  },
  connecting: {
    ...UNDER_WAY,
    target_gone: failed('giveTransfereeBack'),
    transferee_agreed: { action: 'complete', to: 'completed' },
    transferee_moved: { action: 'retellTarget', to: 'settling' },
    transferee_refused: failed('giveTargetBack'),
  },
  settling: {
    ...UNDER_WAY,
    target_gone: failed('giveTransfereeBack'),
    // Where it refuses, what it was told first still holds for its own side: the two may well hear each other.
    target_settled: { action: 'complete', to: 'completed' },
  },
  completed: IGNORED,
  failed: IGNORED,
};
