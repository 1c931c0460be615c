/** A steady beat. The real one is `SystemMetronome`; tests beat by hand. */
export interface Metronome {
  /** Calls `beat` every `periodMs` until the returned function is called. `nowMs` is monotonic, as of the Clock. */
  start(periodMs: number, beat: (nowMs: number) => void): () => void;
}

/** A process that stood still for longer than this does not make up for it beat by beat: it goes on from now. */
const MOST_BEHIND = 12;
/** Node's timers count whole milliseconds and may come that much early; a beat this close is on time. */
const EARLY_MS = 0.25;

/**
 * Beats that do not drift: each is due a whole number of periods after the first, however late the one before was.
 * When several are overdue they come one by one, with the event loop's input between them: what arrived while the
 * process was busy is seen by the beat that it was meant for.
 */
export class SystemMetronome implements Metronome {
  start(periodMs: number, beat: (nowMs: number) => void): () => void {
    let dueMs = performance.now() + periodMs;
    let timer: NodeJS.Timeout;
    const arm = (nowMs: number): void => {
      timer = setTimeout(run, Math.max(0, Math.ceil(dueMs - nowMs - EARLY_MS)));
      timer.unref();
    };
    const run = (): void => {
      let nowMs = performance.now();
      if (nowMs >= dueMs - EARLY_MS) {
        dueMs += periodMs;
        const behind = Math.floor((nowMs - dueMs) / periodMs);
        if (behind > MOST_BEHIND) dueMs += behind * periodMs;
        beat(nowMs);
        if (stopped) return;
        nowMs = performance.now();
      }
      arm(nowMs);
    };
    let stopped = false;
    arm(performance.now());
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }
}
