/** Reason codes of transfers, beside those of decisions and of calls that nobody answered. */
import type { EndingCode } from '../../bridge/endingReasons.js';
import type { ReasonCode } from '../../routing/decision.js';

const SENTENCES = {
  transfer_completed: 'The two talk to each other.',
  refer_passed_on: 'The REFER went to the other end, whose answer the status is.',
  refer_off: 'Whoever sent the REFER may not transfer (`sip.refer`).',
  refer_to_invalid: 'Refer-To is missing, or names nothing that could be called.',
  refer_limit: 'The call has been transferred as often as one may be.',
  refer_too_many_hops: 'Max-Forwards of the call leaves no room for another one.',
  refer_not_ready: 'The call is not established, or another transfer is under way.',
  refer_in_flow:
    'The flow has nobody else in the call who could be left with the target, or has the audio of the caller who asks.',
  refer_party_unknown: 'The REFER came from an end that is neither a trunk nor a carrier.',
  target_gone: 'The target hung up before the media were connected.',
  transferee_gone: 'Whoever was transferred hung up meanwhile.',
  transfer_stopped: 'The call ended for reasons of its own.',
} as const;

export type OwnTransferCode = keyof typeof SENTENCES;
export type TransferCode = OwnTransferCode | ReasonCode | EndingCode;

/** All of them with a sentence each, for docs/errors.md. */
export const describeTransfers = (): { readonly code: OwnTransferCode; readonly sentence: string }[] =>
  (Object.keys(SENTENCES) as OwnTransferCode[]).map((code) => ({ code, sentence: SENTENCES[code] }));
