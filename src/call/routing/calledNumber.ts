import type { CallRequest } from './decision.js';
import { type Draft, kept } from './draft.js';
import { type NumberFormat, describeNumberProblem, normaliseNumber } from './numbers.js';
import { sayRead } from './sentences.js';

/** The step that brings the called number to E.164; undefined when it cannot: then the step says why. */
export function readCalledNumber(draft: Draft, request: CallRequest, format: NumberFormat): string | undefined {
  const called = normaliseNumber(request.calledNumber, format);
  if (!called.ok) {
    const data = { received: kept(request.calledNumber), problem: called.error };
    draft.fail('called_number', data, (d) => `'${d.received}' is no number: ${describeNumberProblem(d.problem)}`);
    return undefined;
  }
  draft.calledE164 = called.value;
  draft.pass('called_number', { received: kept(request.calledNumber), e164: called.value }, sayRead);
  return called.value;
}
