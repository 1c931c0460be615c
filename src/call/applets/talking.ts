/** Two people talk, until one of them or a limit ends it. */
import { type Ending, type NodeRun, type Outcome, exit, wait } from '../flow/applet.js';
import type { FlowEvent } from '../flow/events.js';
import type { DialPlan } from './dialPlan.js';
import type { RingingAttempt, Verdict } from './ringing.js';

export interface Connected {
  /** `closing`: the talk is over, its recording is being finished. */
  readonly phase: 'talking' | 'closing';
  readonly winner: RingingAttempt;
  readonly sinceMs: number;
  /** Length of the talk once it is over. */
  readonly talkMs: number;
  /** Empty: none runs. */
  readonly recordId: string;
  readonly recordingUrl: string;
  /** The audio of both is in our hands: keys that come by INFO are passed on. */
  readonly bridged: boolean;
  /** Refer-To of the latest transfer; empty: there was none. */
  readonly transferredTo: string;
}

/** For a leg or a recording to say that it is over, once asked to be. */
const CLOSE_LIMIT_MS = 3000;
const TALK_LIMIT_CAUSE = 102;

/** Joins caller and callee; both are answered. */
export function startTalk(
  run: NodeRun,
  call: {
    readonly plan: DialPlan;
    readonly winner: RingingAttempt;
    readonly direct: boolean;
    readonly release: boolean;
  },
): Connected {
  const { plan, winner, direct } = call;
  const { dialId } = winner;
  let recordId = '';
  if (!direct) run.emit({ type: 'bridgeMedia', dialId });
  if (plan.record !== undefined) {
    recordId = run.newId('record');
    const { record: channels } = plan;
    run.emit({ type: 'startRecord', recordId, channels, maxMs: undefined, silenceMs: undefined, background: false });
  }
  if (plan.sendDigits !== '') run.emit({ type: 'sendDtmf', to: { dialId }, digits: plan.sendDigits });
  if (call.release) run.emit({ type: 'releaseMedia', dialId });
  if (plan.talkMs !== undefined) run.setTimer('talk', plan.talkMs);
  const bridged = !direct && !call.release;
  return {
    phase: 'talking',
    winner,
    sinceMs: run.nowMs,
    talkMs: 0,
    recordId,
    recordingUrl: '',
    bridged,
    transferredTo: '',
  };
}

export function onTalking<Data extends Connected>(run: NodeRun, data: Data, event: FlowEvent): Outcome<Data> {
  const { dialId } = data.winner;
  if (event.type === 'recordEnded' && event.recordId === data.recordId) {
    const done = { ...data, recordId: '', recordingUrl: event.url };
    run.remember({ recordingUrl: event.url });
    return data.phase === 'closing' ? over(run, done) : wait(done);
  }
  if (run.isTimer(event, 'close')) return over(run, data);
  if (data.phase === 'closing') return wait(data);
  if (event.type === 'dialEnded' && event.dialId === dialId) return finishTalk(run, data);
  if (event.type === 'dialTransferred' && event.dialId === dialId) {
    run.input('transferred_to', event.target);
    return wait({ ...data, transferredTo: event.target });
  }
  if (event.type === 'dialAnswered' && event.dialId !== dialId) {
    run.emit({ type: 'hangUpDial', dialId: event.dialId, cause: 16 });
  }
  if (run.isTimer(event, 'talk')) {
    run.emit({ type: 'hangUpDial', dialId, cause: TALK_LIMIT_CAUSE });
    return finishTalk(run, data);
  }
  // Keys in the audio pass through the bridge; those of signalling need a hand.
  if (event.type === 'digit' && event.by === 'info' && data.bridged) {
    run.emit({ type: 'sendDtmf', to: { dialId }, digits: event.digit });
  }
  return wait(data);
}

/** The talk is over; a recording is waited for, since whoever comes next wants its address. */
export function finishTalk<Data extends Connected>(run: NodeRun, data: Data): Outcome<Data> {
  if (data.phase === 'closing') return wait(data);
  const talkMs = run.nowMs - data.sinceMs;
  run.cancelTimer('talk');
  if (data.recordId === '') return over(run, { ...data, talkMs });
  run.emit({ type: 'stopRecord', recordId: data.recordId });
  run.setTimer('close', CLOSE_LIMIT_MS);
  return wait({ ...data, phase: 'closing', talkMs });
}

function over(run: NodeRun, data: Connected): Outcome<never> {
  const { winner, talkMs, recordingUrl, transferredTo } = data;
  run.remember({ dial: { whom: winner.name, outcome: 'answered', durationMs: talkMs } });
  const results = { status: 'answered', whom: winner.name, duration_ms: talkMs, recording_url: recordingUrl };
  if (transferredTo !== '') Object.assign(results, { transferred_to: transferredTo });
  return exit('answered', results, { reasonCode: 'normal_clearing', cause: 16, sipStatus: 480 });
}

/** How the call ends where the exit leads nowhere. */
const ENDINGS: { readonly [O in Verdict['outcome']]: Ending } = {
  busy: { reasonCode: 'callee_busy', cause: 17, sipStatus: 486 },
  no_answer: { reasonCode: 'no_answer', cause: 19, sipStatus: 480 },
  failed: { reasonCode: 'connect_failed', cause: 41, sipStatus: 503 },
  cancelled: { reasonCode: 'caller_cancelled', cause: 16, sipStatus: 487 },
};

/** Nobody was reached. The caller without an answer is told the callee's own status, where there is one to tell. */
export function verdictExit(run: NodeRun, verdict: Verdict): Outcome<never> {
  const { outcome, sipStatus, whom } = verdict;
  run.remember({ dial: { whom, outcome, durationMs: 0 } });
  const ending = ENDINGS[outcome];
  const told =
    sipStatus >= 400 && sipStatus <= 699 && sipStatus !== 401 && sipStatus !== 407 ? sipStatus : ending.sipStatus;
  return exit(
    outcome,
    { status: outcome, sip_status: sipStatus, whom, duration_ms: 0 },
    { ...ending, sipStatus: told },
  );
}
