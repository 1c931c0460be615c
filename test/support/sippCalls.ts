/** Calls between SIPp and SIPp through a node, and their records. */
import type { Test } from 'tap';
import { Sipp, type SippPlan, type SippResult } from './sipp.js';
import { has, verdict, went } from './sippChecks.js';
import type { TandemNode } from './tandemNode.js';
import { callIdOf } from './tandemNodeSite.js';

export interface AnsweredCall {
  readonly called: SippResult;
  readonly calling: SippResult;
  readonly record: Awaited<ReturnType<TandemNode['record']>>;
}

type Records = Pick<TandemNode, 'record'>;

/** A call that is answered there, as the scenario of the callee says; default: at once. */
export const answeredAt = async (
  t: Test,
  node: Records,
  plan: SippPlan,
  [address, port, scenario = 'answer']: readonly [address: string, port: number, scenario?: string],
): Promise<AnsweredCall> => {
  const callee = await Sipp.start({ scenario: `uas/${scenario}`, address, port });
  try {
    const calling = await Sipp.run(plan);
    const record = await node.record(callIdOf(calling));
    const called = await callee.result;
    went(t, calling, called);
    has(t, record, { outcome: 'answered', sipStatus: 200 });
    t.match(record.destination, `@${address}:${port}`);
    return { called, calling, record };
  } finally {
    await callee.stop();
  }
};

/** A call that the node refuses. */
export const refusedWith = async (
  t: Test,
  node: Records,
  plan: SippPlan,
  [status, reasonCode]: readonly [status: number, reasonCode: string],
): Promise<void> => {
  const result = await Sipp.run(plan);
  const record = await node.record(callIdOf(result));
  went(t, result);
  t.equal(verdict(result).status, status, `${status}`);
  has(t, record, { sipStatus: status, reasonCode });
};
