/** Why a flow call is over, in the words of its record. */
import { type CallEnding, endingOf, endingOfFailure } from '../../bridge/ending.js';
import { type EndingCode, isEndingCode } from '../../bridge/endingReasons.js';
import type { DialEnd } from './dial.js';

/** What a flow says when it ends the call. */
export interface FlowEnding {
  readonly reasonCode: string;
  /** ITU-T Q.850. */
  readonly cause: number;
  /** What the caller was told: 200 after an answer. */
  readonly sipStatus: number;
  readonly answered: boolean;
}

/** Reason codes of flows are as many as their applets; those without a sentence of their own are failures of the flow. */
const codeOf = (reasonCode: string): EndingCode => (isEndingCode(reasonCode) ? reasonCode : 'flow_failed');

/**
 * @param last the dial that may be the cause: its callee, or what kept it from answering
 * @param led its end is what the flow was told just now
 */
export function endingOfFlow(ending: FlowEnding, last: DialEnd | undefined, led: boolean): CallEnding {
  const { reasonCode, cause, sipStatus, answered } = ending;
  if (last?.leg !== undefined && answered && (led || reasonCode === 'normal_clearing')) {
    const ending = endingOf('b', last.leg, true);
    return { ...ending, q850: ending.q850 ?? cause };
  }
  if (last?.failure !== undefined && !answered) return endingOfFailure(last.failure, sipStatus, cause);
  return {
    side: 'tandem',
    sipStatus,
    reasonCode: codeOf(reasonCode),
    q850: cause,
    cancelled: false,
    answered,
    deliberate: true,
    lastResult: answered ? 'answered' : last?.failure?.kind,
  };
}
