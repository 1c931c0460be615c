/** A call that was, asked again: what it was decided on then, and what the same call would get now. */
import type { CallRecord } from '../record/cdr.js';
import type { CallRequest, Decision } from '../routing/decision.js';
import type { Explanation } from './explanation.js';

export interface PastCall {
  readonly callId: string;
  readonly startedAt: string;
  readonly request: CallRequest;
  readonly decision: Decision;
}

export interface PastExplanation {
  readonly callId: string;
  readonly startedAt: string;
  /** By the revision that the call was pinned to, as its record has it; limits and money are those of now. */
  readonly then: Explanation;
  /** By the current revision. */
  readonly now: Explanation;
  /** What is not the same: names of members of the decision. */
  readonly changed: readonly string[];
}

const SOURCE = /^([a-z]+)\/\[?([^\]]*?)\]?:(\d{1,5})$/;

/** The call of a record. A caller's P-Asserted-Identity is not in it: where From was anonymous, the number that was sent is. */
export function pastCallOf(record: CallRecord): PastCall {
  const { decision, callId, startedAt } = record;
  const [, transport = 'udp', sourceAddress = '', port = '0'] = SOURCE.exec(record.source) ?? [];
  const { received, asserted } = decision.callerNumber;
  return {
    callId,
    startedAt,
    decision,
    request: {
      sourceAddress,
      sourcePort: Number(port),
      transport,
      calledNumber: record.calledReceived,
      callerNumber: record.callerReceived,
      ...(asserted === undefined || asserted === received ? {} : { assertedNumber: asserted }),
      ...(decision.userName === undefined ? {} : { userName: decision.userName, provedTrunks: provedBy(decision) }),
      ...(decision.diverting === undefined ? {} : { divertingNumber: decision.diverting }),
    },
  };
}

const provedBy = ({ trunkSid }: Decision): readonly string[] => (trunkSid === undefined ? [] : [trunkSid]);

/** Members whose difference an operator asks about; the order of equals is drawn, so destinations are compared as a set. */
const COMPARED = ['reasonCode', 'direction', 'mode', 'accountSid', 'trunkSid', 'carrierId', 'revision'] as const;

export function changedBetween(then: Decision, now: Decision): string[] {
  const changed: string[] = COMPARED.filter((name) => then[name] !== now[name]);
  if (then.callerNumber.sent !== now.callerNumber.sent) changed.push('callerNumber');
  if (then.calledNumber.e164 !== now.calledNumber.e164) changed.push('calledNumber');
  const places = ({ destinations }: Decision): string =>
    destinations
      .map(({ uri, rate }) => `${uri} ${rate?.outbound_price ?? ''}`)
      .sort()
      .join('\n');
  if (places(then) !== places(now)) changed.push('destinations');
  return changed;
}
