/** One transfer as it was asked for. */
import type { CommonInvite } from '../../bridge/hunt.js';
import type { AdmittedDial } from '../flow/world.js';
import type { TransferAccount } from './account.js';
import type { Conversation } from './conversation.js';
import type { Party } from './party.js';
import type { ReferSubscription } from './subscription.js';

export type TransferTarget =
  | {
      readonly kind: 'dial';
      readonly dialId: string;
      readonly admitted: AdmittedDial;
      readonly invite: CommonInvite;
    }
  /** An end of another call of the referrer's. */
  | { readonly kind: 'end'; readonly conversation: Conversation; readonly party: Party };

export interface TransferOrder {
  readonly conversation: Conversation;
  readonly referrer: Party;
  readonly target: TransferTarget;
  readonly subscription: ReferSubscription;
  readonly account: TransferAccount;
}
