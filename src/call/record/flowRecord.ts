/** What a call record keeps of the flow that answered the call. */
import type { TraceStep } from '../flow/trace.js';

export interface FlowStepRecord {
  readonly node: string;
  readonly applet: string;
  readonly exit: string;
  readonly durationMs: number;
  /** Code of the failure that made the exit; absent otherwise. */
  readonly error?: string;
}

export interface FlowRecord {
  readonly id: string;
  readonly version: number;
  /** Why the flow ended; finer than the call's own reason. */
  readonly reasonCode: string;
  /** Steps made; `path` may hold fewer. */
  readonly steps: number;
  readonly path: readonly FlowStepRecord[];
}

/** A record is a line: longer ways are told by their beginning and their end. */
export const MAX_STEPS_KEPT = 60;

export const stepRecord = (step: TraceStep): FlowStepRecord => ({
  node: step.nodeId,
  applet: step.applet,
  exit: step.exit,
  durationMs: Math.round(step.durationMs),
  ...(step.error === null ? {} : { error: step.error.code }),
});
