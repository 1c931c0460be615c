import { type Clock, type Result, err, ok } from '../../kernel/index.js';

/** The library's promises may stay open for ever. @returns what came, or why it did not, after `limitMs` at the latest */
export const bounded = <T>(clock: Clock, limitMs: number, work: () => Promise<T>): Promise<Result<T, Failure>> =>
  new Promise((resolve) => {
    const timer = clock.setTimer('freeswitch_answer', limitMs, () =>
      resolve(err({ detail: `no answer in ${limitMs} ms`, status: undefined, late: true })),
    );
    const end = (result: Result<T, Failure>): void => {
      timer.cancel();
      resolve(result);
    };
    const failed = (error: unknown): void => end(err(failureOf(error)));
    try {
      work().then((value) => end(ok(value)), failed);
    } catch (error) {
      failed(error);
    }
  });

export interface Failure {
  readonly detail: string;
  /** Of SIP, where that is what was refused. */
  readonly status: number | undefined;
  /** Nothing came in time; it may still. */
  readonly late: boolean;
}

const failureOf = (error: unknown): Failure => {
  const detail = error instanceof Error ? error.message : String(error);
  const status = typeof error === 'object' && error !== null && 'status' in error ? error.status : undefined;
  return { detail: detail.trim(), status: typeof status === 'number' ? status : undefined, late: false };
};
