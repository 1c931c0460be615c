import { HeaderPolicy } from '../call/bridge/headerPolicy.js';
import { findRecord } from '../call/record/findRecord.js';
import { NO_LIMITS, decide } from '../call/routing/decide.js';
import type { CallRequest, Decision } from '../call/routing/decision.js';
import { type Explanation, explainDecision } from '../call/session/explanation.js';
import { formatExplanation, formatPastExplanation } from '../call/session/explanationText.js';
import { type PastCall, type PastExplanation, changedBetween, pastCallOf } from '../call/session/pastCall.js';
import type { Config } from '../config/index.js';
import { SystemClock, SystemRandom, TandemError } from '../kernel/index.js';
import { readOptions, required } from './arguments.js';
import { readRouting } from './table.js';

const OPTIONS = ['from', 'to', 'caller', 'asserted', 'diverting', 'transport', 'format', 'call'];

/**
 * `tandem explain --from IP --to NUMBER [--caller NUMBER]`: the decision that such a call would get, by the live code.
 * `tandem explain --call ID`: the decision in the record of a call, and the one that it would get now.
 */
export const explain = async (config: Config, argv: readonly string[]): Promise<number> => {
  const options = readOptions('explain', argv, OPTIONS);
  const { table } = await readRouting(config);
  const random = new SystemRandom();
  const nowMs = new SystemClock().nowMs();
  const policy = new HeaderPolicy(config.headers);
  const decideNow = (request: CallRequest): Decision =>
    decide(table, request, { limits: NO_LIMITS, nowMs, random: () => random.float() });
  const explained = (decision: Decision, request: CallRequest): Explanation =>
    explainDecision(decision, request, table, { limits: NO_LIMITS, nowMs, policy });
  const print = (value: object, text: string): void => {
    process.stdout.write(options['format'] === 'json' ? `${JSON.stringify(value, null, 2)}\n` : `${text}\n`);
  };
  const callId = options['call'];
  if (callId !== undefined) {
    const past = await recorded(config.cdr.path, callId);
    const now = explained(decideNow(past.request), past.request);
    const then = explained(past.decision, past.request);
    const changed = changedBetween(past.decision, now.decision);
    const both: PastExplanation = { callId, startedAt: past.startedAt, then, now, changed };
    print(both, formatPastExplanation(both));
    return now.decision.accepted ? 0 : 2;
  }
  const request: CallRequest = {
    sourceAddress: required('explain', options, 'from'),
    sourcePort: 5060,
    transport: options['transport'] ?? 'udp',
    calledNumber: required('explain', options, 'to'),
    callerNumber: options['caller'] ?? '',
    assertedNumber: options['asserted'],
    divertingNumber: options['diverting'],
  };
  const { decision, ...rest } = explained(decideNow(request), request);
  print({ ...decision, ...rest }, formatExplanation({ decision, ...rest }));
  return decision.accepted ? 0 : 2;
};

const recorded = async (folder: string, callId: string): Promise<PastCall> => {
  const record = await findRecord(folder, callId);
  if (record !== undefined) return pastCallOf(record);
  throw new TandemError({ code: 'call_not_found', message: `no record in ${folder} has the id ${callId}` });
};
