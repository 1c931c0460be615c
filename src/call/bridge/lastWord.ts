/** What the caller is told when no destination is left, and what the books say of it. */
import type { ResponseSpec } from '../../signal/port.js';
import type { DialogRelay } from './dialogRelay.js';
import { type CallEnding, endingOfFailure, refusalHeaders } from './ending.js';
import type { Hunt } from './hunt.js';
import { q850Of } from './reason.js';

export interface LastWord {
  readonly status: number;
  readonly spec: ResponseSpec;
  readonly ending: CallEnding;
}

/** The final answer of the decisive attempt: the callee's own where its status is the one that is told. */
export const lastWord = ({ failure, status }: ReturnType<Hunt['verdict']>, relay: DialogRelay): LastWord => {
  const response = failure?.kind === 'response' ? failure.message : undefined;
  const ending = endingOfFailure(failure, status, response === undefined ? undefined : q850Of(response.headers()));
  const own = response?.status === status;
  const spec = own ? relay.response('failure', response) : { headers: refusalHeaders(status, failure, ending) };
  return { status, spec, ending };
};
