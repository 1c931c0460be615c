/** The way of one call through its flow, as its record keeps it: the beginning and the end of long ones. */
import type { FlowDocument } from '../../flow/document.js';
import type { TraceStep } from '../../flow/trace.js';
import { type FlowRecord, type FlowStepRecord, MAX_STEPS_KEPT, stepRecord } from '../../record/flowRecord.js';

export class StepLog {
  readonly #flow: FlowDocument;
  readonly #path: FlowStepRecord[] = [];
  #steps = 0;

  constructor(flow: FlowDocument) {
    this.#flow = flow;
  }

  add(step: TraceStep): void {
    this.#steps++;
    // A loop's middle is like its beginning; how it ended is not.
    if (this.#path.length >= MAX_STEPS_KEPT) this.#path.splice(MAX_STEPS_KEPT / 2, 1);
    this.#path.push(stepRecord(step));
  }

  record(reasonCode: string): FlowRecord {
    const { id, version } = this.#flow;
    return { id, version, reasonCode, steps: this.#steps, path: this.#path };
  }
}
