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

/** How long what may be awaited, in milliseconds. */
export interface Patience {
  /** For a media server to be ready. */
  readonly connectMs: number;
  /** For a channel: INVITE, its answer, and the channel's own connection, for which the library waits 4 s. */
  readonly openMs: number;
  /** For the answer to a command. */
  readonly answerMs: number;
  /** For a re-INVITE. */
  readonly modifyMs: number;
  /** For a channel's BYE. */
  readonly hangupMs: number;
  /** Between two questions whether a media server is still there: an open socket says nothing of that. */
  readonly probeMs: number;
}

export const PATIENCE: Patience = {
  connectMs: 5000,
  openMs: 8000,
  answerMs: 3000,
  modifyMs: 8000,
  hangupMs: 2000,
  probeMs: 5000,
};
