/** What becomes of a REFER, by who sends it: `sip.refer` of trunks and carriers. */
import type { Decision, Destination } from '../routing/decision.js';
import type { SipSettings } from '../routing/resources.js';

export type ReferRule = NonNullable<SipSettings['refer']>;

/**
 * A trunk may transfer whom it could call, at its own cost, and so need not ask for it. A carrier's subscribers have no
 * business with where our calls go, unless an operator says so.
 */
const DEFAULT_RULE: { readonly trunk: ReferRule; readonly carrier: ReferRule } = {
  trunk: 'terminate',
  carrier: 'off',
};

type Directed = Pick<Decision, 'direction' | 'sip'>;

/** Who sits on a side of a call: calls come from carriers to trunks, and leave from trunks for carriers. */
export const ownerKind = ({ direction }: Pick<Decision, 'direction'>, side: 'a' | 'b'): 'trunk' | 'carrier' =>
  (direction === 'outbound') === (side === 'a') ? 'trunk' : 'carrier';

/** @param destination where `b` was called */
export const referRuleOf = (decision: Directed, destination: Pick<Destination, 'sip'>, side: 'a' | 'b'): ReferRule => {
  const settings = side === 'a' ? decision.sip : destination.sip;
  return settings?.refer ?? DEFAULT_RULE[ownerKind(decision, side)];
};

/** Whether a REFER of either side would be ours to carry out. */
export const ruledByUs = (decision: Directed, destination: Pick<Destination, 'sip'>): boolean =>
  referRuleOf(decision, destination, 'a') === 'terminate' || referRuleOf(decision, destination, 'b') === 'terminate';
