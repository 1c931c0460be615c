/** A node as a queue in simulated time: what calls cost, a processor that works them off, callers that send again. */
import { OverloadGuard, type OverloadChange } from '../../src/call/admission/overloadGuard.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';

export interface ServerCosts {
  /** Milliseconds of processor for a call's INVITE, for what follows in the call, for a refusal with its ACK. */
  readonly invite: number;
  readonly rest: number;
  readonly refusal: number;
  /** For a message that is known already. */
  readonly repeat: number;
}

export const COSTS: ServerCosts = { invite: 0.45, rest: 0.4, refusal: 0.014, repeat: 0.02 };
/** Calls a second that the processor can do, and no more. */
export const CAPACITY = 1000 / (COSTS.invite + COSTS.rest);

export interface Phase {
  readonly seconds: number;
  /** New calls a second. */
  readonly rate: number;
}

export interface Second {
  /** Calls whose last message was served, set up within 1 s. */
  readonly good: number;
  readonly refused: number;
  readonly repeated: number;
  readonly queued: number;
  readonly active: boolean;
}

/** Messages that the socket's buffer holds. */
const BUFFER = 5000;
const FOLLOWS_AFTER_MS = 30;
const IN_TIME_MS = 1000;
/** RFC 3261 §17.1.1.2: when an unanswered INVITE is sent again, in milliseconds since it was first sent. */
const REPEATS_MS = [500, 1500, 3500, 7500, 15_500, 31_500];

interface Call {
  readonly sentMs: number;
  state: 'sent' | 'admitted' | 'refused' | 'done';
}
interface Message {
  readonly call: Call;
  readonly kind: 'invite' | 'rest';
}

export interface Outcome {
  readonly seconds: readonly Second[];
  readonly changes: readonly OverloadChange[];
}

/** @param controlled false: every call is let in */
export const runServer = (
  phases: readonly Phase[],
  { controlled, costs = COSTS, seed = 1 }: { controlled: boolean; costs?: ServerCosts; seed?: number },
): Outcome => {
  const clock = new ManualClock();
  const random = new SeededRandom(seed);
  const changes: OverloadChange[] = [];
  let workedMs = 0;
  let askedMs = 0;
  let askedWorked = 0;
  const guard = new OverloadGuard({
    clock,
    probe: {
      busy: () => {
        const busy = (workedMs - askedWorked) / Math.max(1, clock.nowMs() - askedMs);
        [askedMs, askedWorked] = [clock.nowMs(), workedMs];
        return Math.min(1, busy);
      },
    },
    settings: { target: 0.97 },
    emergencyNumbers: [],
    isListed: () => true,
    onChange: (change) => changes.push(change),
  });
  const queue: Message[] = [];
  let head = 0;
  const due = new Map<number, Message[]>();
  const later = (message: Message, atMs: number): void => {
    const at = Math.ceil(atMs);
    due.set(at, [...(due.get(at) ?? []), message]);
  };
  const seconds: Second[] = [];
  let [good, refused, repeated] = [0, 0, 0];
  const arrive = (message: Message): void => {
    if (queue.length - head < BUFFER) queue.push(message);
  };
  /** @returns milliseconds of processor */
  const serve = ({ call, kind }: Message): number => {
    if (kind === 'rest') {
      call.state = 'done';
      if (clock.nowMs() - call.sentMs <= IN_TIME_MS) good++;
      return costs.rest;
    }
    if (call.state !== 'sent') return call.state === 'refused' ? costs.refusal : costs.repeat;
    if (controlled && guard.active) {
      if (!guard.admits('', '')) {
        call.state = 'refused';
        refused++;
        return costs.refusal;
      }
    } else guard.counted();
    call.state = 'admitted';
    later({ call, kind: 'rest' }, clock.nowMs() + FOLLOWS_AFTER_MS);
    return costs.invite;
  };
  let backlogMs = 0;
  for (const { seconds: length, rate } of phases) {
    for (let ms = 0; ms < length * 1000; ms++) {
      const nowMs = clock.nowMs();
      for (let n = rate / 1000; n > 0; n--) {
        if (random.float() >= n) continue;
        const call: Call = { sentMs: nowMs, state: 'sent' };
        arrive({ call, kind: 'invite' });
        for (const after of REPEATS_MS) later({ call, kind: 'invite' }, nowMs + after);
      }
      for (const message of due.get(nowMs) ?? []) {
        if (message.kind === 'invite' && message.call.state !== 'sent') continue;
        if (message.kind === 'invite') repeated++;
        arrive(message);
      }
      due.delete(nowMs);
      // One millisecond of processor; what a message takes beyond it is owed to the next.
      while (backlogMs < 1 && head < queue.length) {
        const cost = serve(queue[head++] as Message);
        backlogMs += cost;
      }
      const worked = Math.min(1, backlogMs);
      workedMs += worked;
      backlogMs -= worked;
      if (head > 10_000) {
        queue.splice(0, head);
        head = 0;
      }
      clock.advance(1);
      if (clock.nowMs() % 1000 === 0) {
        seconds.push({ good, refused, repeated, queued: queue.length - head, active: guard.active });
        [good, refused, repeated] = [0, 0, 0];
      }
    }
  }
  guard.close();
  return { seconds, changes };
};
