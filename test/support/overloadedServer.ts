/** A node as a thread in simulated time: turns that read a socket, what calls cost, callers that send again. */
import { OverloadGuard, type OverloadChange } from '../../src/call/admission/overloadGuard.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { NewCalls } from '../../src/sip/transaction/newCalls.js';

export interface ServerCosts {
  /** Milliseconds of the thread for a call's INVITE, for what follows in the call, for a refusal with its ACK. */
  readonly invite: number;
  readonly rest: number;
  readonly refusal: number;
  /** For a message that is known already. */
  readonly repeat: number;
}

export const COSTS: ServerCosts = { invite: 0.45, rest: 0.4, refusal: 0.014, repeat: 0.02 };
/** Calls a second that the thread can do, and no more. */
export const CAPACITY = 1000 / (COSTS.invite + COSTS.rest);

export interface Phase {
  readonly seconds: number;
  /** New calls a second. */
  readonly rate: number;
  /** The thread stands still for so long when the phase begins. */
  readonly pauseMs?: number;
}

export interface Second {
  /** Calls whose last message was served, set up within 1 s. */
  readonly good: number;
  readonly refused: number;
  readonly repeated: number;
  /** Lost, as the socket's buffer was full. */
  readonly lost: number;
  readonly queued: number;
  /** From the INVITE to the end of the call's work, at most. */
  readonly longestMs: number;
}

/** Messages that the socket's buffer holds. */
const BUFFER = 5000;
/** Of a turn. */
const READ_AT_ONCE = 32;
const FOLLOWS_AFTER_MS = 30;
const IN_TIME_MS = 1000;
const TARGET_MS = 50;
/** RFC 3261 §17.1.1.2: when an unanswered INVITE is sent again, in milliseconds since it was first sent. */
const REPEATS_MS = [500, 1500, 3500, 7500, 15_500, 31_500];

interface Call {
  readonly sentMs: number;
  state: 'sent' | 'waiting' | 'admitted' | 'refused' | 'done';
}
interface Message {
  readonly call: Call;
  readonly kind: 'invite' | 'rest';
}

export interface Outcome {
  readonly seconds: readonly Second[];
  readonly changes: readonly OverloadChange[];
}

/** @param controlled false: every call is let in at once */
export const runServer = (
  phases: readonly Phase[],
  { controlled, costs = COSTS, seed = 1 }: { controlled: boolean; costs?: ServerCosts; seed?: number },
): Outcome => {
  const clock = new ManualClock();
  const random = new SeededRandom(seed);
  const changes: OverloadChange[] = [];
  const atEnd: (() => void)[] = [];
  const guard = new OverloadGuard({
    clock,
    probe: { busy: () => 0 },
    targetMs: TARGET_MS,
    emergencyNumbers: [],
    isListed: () => true,
    onChange: (change) => changes.push(change),
  });
  const seconds: Second[] = [];
  let [good, refused, repeated, lost, longestMs] = [0, 0, 0, 0, 0];
  const socket: Message[] = [];
  let head = 0;
  const due = new Map<number, Message[]>();
  const later = (message: Message, atMs: number): void => {
    const at = Math.ceil(atMs);
    due.set(at, [...(due.get(at) ?? []), message]);
  };
  const admit = (call: Call): void => {
    call.state = 'admitted';
    clock.advance(costs.invite);
    later({ call, kind: 'rest' }, clock.nowMs() + FOLLOWS_AFTER_MS);
  };
  const refuse = (call: Call): void => {
    call.state = 'refused';
    refused++;
    guard.refused();
    clock.advance(costs.refusal);
  };
  const newCalls = new NewCalls<Call>({
    clock,
    targetMs: TARGET_MS,
    atEndOfTurn: (done) => void atEnd.push(done),
    onNext: (call, isLate) => {
      if (isLate) return refuse(call);
      guard.letIn();
      admit(call);
    },
  });
  const handle = ({ call, kind }: Message): void => {
    newCalls.heard();
    if (kind === 'rest') {
      call.state = 'done';
      clock.advance(costs.rest);
      const tookMs = clock.nowMs() - call.sentMs;
      if (tookMs <= IN_TIME_MS) good++;
      longestMs = Math.max(longestMs, tookMs);
      return;
    }
    if (call.state !== 'sent') return clock.advance(call.state === 'refused' ? costs.refusal : costs.repeat);
    if (!controlled || newCalls.mayGoOn()) return admit(call);
    if (!newCalls.enter(call)) return refuse(call);
    call.state = 'waiting';
  };

  // What the network brings, millisecond by millisecond, as far as the clock has come.
  let sentMs = 0;
  let phaseEndMs = 0;
  const arrive = (message: Message): void => {
    if (socket.length - head < BUFFER) socket.push(message);
    else lost++;
  };
  const send = (rate: number): void => {
    for (let n = rate / 1000; n > 0; n--) {
      if (random.float() >= n) continue;
      const call: Call = { sentMs, state: 'sent' };
      arrive({ call, kind: 'invite' });
      for (const after of REPEATS_MS) later({ call, kind: 'invite' }, sentMs + after);
    }
    for (const message of due.get(sentMs) ?? []) {
      if (message.kind === 'invite' && message.call.state !== 'sent' && message.call.state !== 'waiting') continue;
      if (message.kind === 'invite') repeated++;
      arrive(message);
    }
    due.delete(sentMs);
    sentMs++;
    if (sentMs % 1000 > 0) return;
    seconds.push({ good, refused, repeated, lost, queued: socket.length - head, longestMs });
    [good, refused, repeated, lost, longestMs] = [0, 0, 0, 0, 0];
  };

  for (const { seconds: length, rate, pauseMs = 0 } of phases) {
    phaseEndMs += length * 1000;
    clock.advance(pauseMs);
    while (sentMs < phaseEndMs) {
      while (sentMs <= clock.nowMs() && sentMs < phaseEndMs) send(rate);
      for (let i = 0; i < READ_AT_ONCE && head < socket.length; i++) handle(socket[head++]!);
      if (head > 10_000) {
        socket.splice(0, head);
        head = 0;
      }
      for (const done of atEnd.splice(0)) done();
      if (head === socket.length && atEnd.length === 0) clock.advance(Math.max(0.01, sentMs - clock.nowMs()));
    }
  }
  guard.close();
  return { seconds, changes };
};
