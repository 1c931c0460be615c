/** What a call record keeps of a transfer: who asked for it, whom the other end was to talk to, and how it went. */
import type { AttemptRecord } from './cdr.js';

export interface TransferRecord {
  /** When the REFER, or the INVITE with Replaces, came. ISO 8601 UTC with milliseconds, wall clock. */
  readonly at: string;
  /** Side of this call that asked for it: `caller` or `callee`. */
  readonly referrer: 'caller' | 'callee';
  /** Who sits there: a trunk's or carrier's id. */
  readonly trunkSid: string | null;
  readonly carrierId: string | null;
  /** `attended`: to the other end of another call; `replaced`: an INVITE took the referrer's place. */
  readonly kind: 'blind' | 'attended' | 'replaced' | 'relayed';
  /** URI of Refer-To without headers, as received. */
  readonly target: string;
  /** Referred-By as received; it proves nothing. */
  readonly referredBy: string | null;
  /** The other call of an attended transfer, or of a replacement. */
  readonly otherCallId: string | null;
  /** Of the routing document that decided; null where nothing was decided. */
  readonly revision: string | null;
  readonly outcome: 'completed' | 'failed' | 'refused' | 'passed_on';
  /** What the referrer was told last: of the REFER where that was refused, else in the last NOTIFY. */
  readonly sipStatus: number;
  readonly reasonCode: string;
  readonly durationMs: number;
  /** Destinations that were tried. */
  readonly attempts: readonly AttemptRecord[];
}
