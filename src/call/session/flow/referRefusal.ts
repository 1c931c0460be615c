/** REFER within a call that a flow has: whoever wants it elsewhere says so to the flow. */
import { reasonHeader } from '../../bridge/reason.js';
import { referRuleOf } from '../../bridge/referRule.js';
import type { Decision, Destination } from '../../routing/decision.js';
import type { InDialogRequest } from '../../../signal/port.js';

/**
 * Refuses it with a code that names the remedy: `refer_off` where its sender may not transfer at all, else `refer_in_flow`.
 * 603 ends nothing but the REFER (RFC 5057 §5.1).
 * @param side of the call or dial that the decision is of; `destination` where its `b` was called
 */
export const refuseRefer = (
  request: InDialogRequest,
  side: 'a' | 'b',
  decision: Decision,
  destination: Pick<Destination, 'sip'> = {},
): void => {
  const off = referRuleOf(decision, destination, side) === 'off';
  request.respond(603, { headers: [reasonHeader('SIP', 603, off ? 'refer_off' : 'refer_in_flow')] });
};
