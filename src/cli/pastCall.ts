import type { CallRecord } from '../call/record/cdr.js';
import type { RecordQueries } from '../call/record/query/recordQueries.js';
import { type PastCall, pastCallOf } from '../call/session/pastCall.js';
import type { CallRegistry } from '../call/session/registry.js';
import { TandemError } from '../kernel/index.js';

/** A call that lives, or one that has a record; undefined: neither. @throws TandemError when records cannot be searched */
export const findPastCall = async (
  callId: string,
  registry: CallRegistry,
  queries: RecordQueries,
): Promise<PastCall | undefined> => {
  const live = registry.get(callId);
  if (live?.decision !== undefined) {
    return { callId, startedAt: live.dump().startedAt, request: live.request, decision: live.decision };
  }
  const found = await queries.query({ filter: { callId }, limit: 1, format: 'json', trimmed: false });
  if (!found.ok) throw new TandemError({ code: found.code, message: found.message, retryable: true });
  return found.count === 0 ? undefined : pastCallOf(JSON.parse(Buffer.from(found.body).toString()) as CallRecord);
};
