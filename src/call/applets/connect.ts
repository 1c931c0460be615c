/**
 * Connects the caller with somebody: fetch the plan where a server makes it, ring, whisper, answer the caller, talk.
 * Each phase is a shape of the data; what is heard in a phase is one function below.
 */
import { type NodeRun, type Outcome, defineApplet, fail, wait } from '../flow/applet.js';
import type { FlowEvent } from '../flow/events.js';
import { type ConnectParams, ConnectParams as Params, checkConnect, planOf } from './connectParams.js';
import { type DialPlan, nameOfTarget } from './dialPlan.js';
import { planOfAnswer } from './programmable.js';
import { type Ringing, type RingingAttempt, type Verdict, conclude, fill, isSpent, overdue } from './ringing.js';
import { settleOn } from './ringing.js';
import { PLAY_LIMIT_MS } from './sources.js';
import { type Connected, finishTalk, onTalking, startTalk, verdictExit } from './talking.js';
import { webhookQuery } from './webhookQuery.js';

interface Fetching {
  readonly phase: 'fetching';
  readonly fetchId: string;
  readonly fallback: boolean;
}
/** The caller is answered, or gets early media, so that it can hear music. */
interface Greeting {
  readonly phase: 'greeting';
  readonly plan: DialPlan;
}
interface Searching {
  readonly phase: 'ringing';
  readonly ringing: Ringing;
  /** Last status passed on to the caller. */
  readonly told: number;
}
interface Whispering {
  readonly phase: 'whispering';
  readonly ringing: Ringing;
  readonly winner: RingingAttempt;
  readonly playId: string;
}
/** The callee is there; the caller's 2xx is on its way. */
interface Answering {
  readonly phase: 'answering';
  readonly ringing: Ringing;
  readonly winner: RingingAttempt;
}

type Data = (Fetching | Greeting | Searching | Whispering | Answering | Connected) & {
  /** Times that the server was asked. */
  readonly fetches: number;
  readonly verdict: Verdict | undefined;
};
type Step = Outcome<Data>;

const MAX_FETCHES = 10;
const MAX_BODY = 65_536;
const SLACK_MS = 2000;
const CALLEE_CAUSE = 16;

export const connect = defineApplet({
  name: 'connect',
  does: 'Connects the caller with a trunk, numbers or SIP URIs, one after the other or at once.',
  params: Params,
  exits: () => [
    { name: 'answered', unwired: 'ends' },
    { name: 'busy', unwired: 'ends' },
    { name: 'no_answer', unwired: 'ends' },
    { name: 'failed', unwired: 'fails' },
    { name: 'cancelled', unwired: 'ends' },
  ],
  check: checkConnect,
  enter(run, params): Step {
    const start = { fetches: 0, verdict: undefined };
    if (params.url !== undefined) return ask(run, params, start, false);
    return begin(run, params, planOf(run, params), start);
  },
  on(run, params, { data, event }): Step {
    switch (data.phase) {
      case 'fetching':
        return onFetching(run, params, data, event);
      case 'greeting':
        return onGreeting(run, params, data, event);
      case 'ringing':
        return onRinging(run, params, data, event);
      case 'whispering':
        return onWhispering(run, params, data, event);
      case 'answering':
        return onAnswering(run, params, data, event);
      case 'talking':
      case 'closing':
        return onTalking(run, data, event);
    }
  },
  onHangUp(run, _params, data): Step {
    if (data.phase === 'talking' || data.phase === 'closing') return finishTalk(run, data);
    const whom = data.phase === 'ringing' ? (data.ringing.live[0]?.name ?? '') : '';
    return verdictExit(run, { outcome: 'cancelled', sipStatus: 487, whom });
  },
});

type Books = Pick<Data, 'fetches' | 'verdict'>;

/** Asks the server for a plan. */
function ask(run: NodeRun, params: ConnectParams, books: Books, fallback: boolean): Step {
  const fetchId = run.newId('fetch');
  const url = run.url((fallback ? params.fallback_url : params.url) ?? '');
  run.input(fallback ? 'fallback_url' : 'url', url);
  run.emit({
    type: 'fetch',
    fetchId,
    method: 'GET',
    url,
    query: webhookQuery(run, params.time_zone),
    headers: [['Exotel-Version', '1.0']],
    timeoutMs: params.fetch_timeout_ms,
    maxBytes: MAX_BODY,
    detached: false,
  });
  run.setTimer('fetch', params.fetch_timeout_ms + SLACK_MS);
  return wait({ phase: 'fetching', fetchId, fallback, fetches: books.fetches + 1, verdict: books.verdict });
}

function onFetching(run: NodeRun, params: ConnectParams, data: Fetching & Books, event: FlowEvent): Step {
  let problem: string;
  if (run.isTimer(event, 'fetch')) {
    run.emit({ type: 'cancelFetch', fetchId: data.fetchId });
    problem = 'the server did not answer in time';
  } else if (event.type === 'fetchFailed') problem = event.reason;
  else if (event.type !== 'fetched') return wait(data as Data);
  else if (event.status !== 200) problem = `the server answered ${event.status}`;
  else {
    const plan = planOfAnswer(event.body, planOf(run, params));
    if (plan.ok) {
      run.cancelTimer('fetch');
      return begin(run, params, plan.value, data);
    }
    problem = plan.error;
  }
  run.cancelTimer('fetch');
  if (!data.fallback && params.fallback_url !== undefined) return ask(run, params, data, true);
  // A search that has failed already says more than a server that has no further advice.
  if (data.verdict !== undefined) return verdictExit(run, data.verdict);
  return fail('connect_url_failed', problem);
}

function begin(run: NodeRun, params: ConnectParams, plan: DialPlan, books: Books): Step {
  run.input('to', plan.targets.map(nameOfTarget).join(', '));
  run.input('parallel', plan.parallel);
  if (plan.musicOnHold.length === 0 || run.answered || run.early) return ring(run, params, plan, books);
  run.emit(params.early_media ? { type: 'earlyMedia' } : { type: 'answer', dialId: undefined });
  return wait({ phase: 'greeting', plan, fetches: books.fetches, verdict: books.verdict });
}

/** The caller can hear music now; one that cannot have it before the answer is answered. */
function onGreeting(run: NodeRun, params: ConnectParams, data: Greeting & Books, event: FlowEvent): Step {
  if (event.type === 'answered' || (event.type === 'earlyMedia' && event.open)) {
    return ring(run, params, data.plan, data);
  }
  if (event.type === 'earlyMedia') run.emit({ type: 'answer', dialId: undefined });
  return wait(data);
}

/** Whether nothing but the two ends needs the audio, now or after the talk. */
const isPlain = (run: NodeRun, params: ConnectParams, plan: DialPlan): boolean =>
  params.media === 'auto' &&
  plan.whisper.length === 0 &&
  plan.record === undefined &&
  plan.sendDigits === '' &&
  !run.anchored &&
  !run.wired('answered');

function ring(run: NodeRun, params: ConnectParams, plan: DialPlan, books: Books): Step {
  const music = plan.musicOnHold.length > 0 ? run.play(plan.musicOnHold, { repeat: 0 }) : '';
  const direct = run.unanswered && !run.early && isPlain(run, params, plan);
  const { fetches, verdict } = books;
  return searched(run, params, fill(run, { plan, direct, music, next: 0, live: [], verdict }), { fetches, told: 0 });
}

const stopMusic = (run: NodeRun, { music }: Ringing): void => {
  if (music !== '') run.emit({ type: 'stopPlay', playId: music });
};

/** After a change in the search: on with it, or its end. */
function searched(
  run: NodeRun,
  params: ConnectParams,
  ringing: Ringing,
  more: { fetches: number; told: number },
): Step {
  const { verdict, plan } = ringing;
  const { fetches, told } = more;
  if (!isSpent(ringing)) return wait({ phase: 'ringing', ringing, told, fetches, verdict });
  const known = verdict ?? { outcome: 'failed', sipStatus: 0, whom: '' };
  if (plan.fetchAfterAttempt && fetches < MAX_FETCHES) {
    stopMusic(run, ringing);
    return ask(run, params, { fetches, verdict: known }, false);
  }
  return verdictExit(run, known);
}

function onRinging(run: NodeRun, params: ConnectParams, data: Searching & Books, event: FlowEvent): Step {
  const { ringing, fetches, told } = data;
  const late = overdue(run, ringing, (name) => run.isTimer(event, name));
  if (late !== undefined) {
    return lost(run, params, data, { dialId: late, outcome: 'no_answer', sipStatus: 0 });
  }
  switch (event.type) {
    case 'dialProgress': {
      const known = ringing.live.some(({ dialId }) => dialId === event.dialId);
      // Several that ring sound like one; only a single one may be heard before it answers.
      const alone = ringing.plan.parallel === 1;
      const heard = alone && !ringing.direct && ringing.music === '' && event.early === true;
      const status = alone && ringing.direct ? event.status : heard ? 183 : 180;
      // What a caller hears of us says more than another 180, which would bring its own ringing tone back.
      const said = !heard && (told === status || run.early);
      if (!known || event.status <= 100 || run.answered || said) return wait(data);
      run.emit({ type: 'progress', status, dialId: event.dialId });
      return wait({ phase: 'ringing', ringing, told: status, fetches, verdict: data.verdict });
    }
    case 'dialEnded':
      return lost(run, params, data, event);
    case 'dialAnswered': {
      const winner = ringing.live.find(({ dialId }) => dialId === event.dialId);
      if (winner !== undefined) return won(run, params, data, winner);
      run.emit({ type: 'hangUpDial', dialId: event.dialId, cause: CALLEE_CAUSE });
      return wait(data);
    }
    default:
      return wait(data);
  }
}

/** An attempt is over; the next target's turn. */
function lost(
  run: NodeRun,
  params: ConnectParams,
  data: { readonly ringing: Ringing; readonly fetches: number; readonly told?: number },
  end: { dialId: string; outcome: Verdict['outcome'] | 'completed'; sipStatus: number },
): Step {
  const attempt = data.ringing.live.find(({ dialId }) => dialId === end.dialId);
  if (attempt !== undefined) tell(run, params, data.ringing.plan, { whom: attempt.name, status: end.outcome });
  const ringing = fill(run, conclude(run, data.ringing, end.dialId, end));
  return searched(run, params, ringing, { fetches: data.fetches, told: data.told ?? 0 });
}

/** Somebody answered. */
function won(run: NodeRun, params: ConnectParams, data: Searching & Books, winner: RingingAttempt): Step {
  const ringing = settleOn(run, data.ringing, winner);
  const { plan } = ringing;
  const { fetches, verdict } = data;
  if (plan.whisper.length === 0) return admit(run, params, { ringing, winner, fetches, verdict });
  const playId = run.play(plan.whisper, { to: { dialId: winner.dialId } });
  if (plan.whisperToBoth && run.answered) run.play(plan.whisper);
  run.setTimer('whisper', PLAY_LIMIT_MS);
  return wait({ phase: 'whispering', ringing, winner, playId, fetches, verdict });
}

function onWhispering(run: NodeRun, params: ConnectParams, data: Whispering & Books, event: FlowEvent): Step {
  if (event.type === 'dialEnded' && event.dialId === data.winner.dialId) return changedMind(run, params, data, event);
  const played = event.type === 'playEnded' && event.playId === data.playId;
  if (!played && !run.isTimer(event, 'whisper')) return late(run, data as Data, event);
  run.cancelTimer('whisper');
  return admit(run, params, data);
}

type Winning = { readonly ringing: Ringing; readonly winner: RingingAttempt } & Books;

/** The callee is ready for the caller. */
function admit(run: NodeRun, params: ConnectParams, { ringing, winner, fetches, verdict }: Winning): Step {
  if (run.answered) return talk(run, params, { ringing, winner, fetches, verdict });
  run.emit({ type: 'answer', dialId: ringing.direct ? winner.dialId : undefined });
  return wait({ phase: 'answering', ringing, winner, fetches, verdict });
}

function onAnswering(run: NodeRun, params: ConnectParams, data: Answering & Books, event: FlowEvent): Step {
  if (event.type === 'answered') return talk(run, params, data);
  if (event.type === 'dialEnded' && event.dialId === data.winner.dialId) {
    // The caller's 2xx is out with this callee's answer in it: there is no going back to ringing others.
    if (data.ringing.direct) return verdictExit(run, { outcome: 'failed', sipStatus: 0, whom: data.winner.name });
    return changedMind(run, params, data, event);
  }
  return late(run, data as Data, event);
}

function talk(run: NodeRun, params: ConnectParams, { ringing, winner, fetches, verdict }: Winning): Step {
  const { plan, direct } = ringing;
  stopMusic(run, ringing);
  const release = !direct && isPlain(run, params, plan);
  const connected = startTalk(run, { plan, winner, direct, release });
  return wait({ ...connected, fetches, verdict });
}

/** The callee left before it was connected: as if it had not answered. */
function changedMind(
  run: NodeRun,
  params: ConnectParams,
  data: Winning,
  event: FlowEvent & { type: 'dialEnded' },
): Step {
  const { ringing, winner, fetches } = data;
  run.cancelTimer('whisper');
  const again = { ...ringing, live: [winner] };
  return lost(
    run,
    params,
    { ringing: again, fetches },
    { dialId: winner.dialId, outcome: event.outcome, sipStatus: 0 },
  );
}

/** Whoever answers when another was faster is let go. */
function late(run: NodeRun, data: Data, event: FlowEvent): Step {
  if (event.type === 'dialAnswered') run.emit({ type: 'hangUpDial', dialId: event.dialId, cause: CALLEE_CAUSE });
  return wait(data);
}

/** Reports an attempt's end to the server that wanted to know. */
function tell(
  run: NodeRun,
  params: ConnectParams,
  plan: DialPlan,
  attempt: { readonly whom: string; readonly status: string },
): void {
  if (plan.eventUrl === '') return;
  run.emit({
    type: 'fetch',
    fetchId: run.newId('fetch'),
    method: 'GET',
    url: plan.eventUrl,
    query: [
      ...webhookQuery(run, params.time_zone).filter(([name]) => name !== 'DialWhomNumber'),
      ['DialWhomNumber', attempt.whom],
      ['DialCallStatus', attempt.status.replace('_', '-')],
      ...plan.customParameters,
    ],
    headers: [],
    timeoutMs: params.fetch_timeout_ms,
    maxBytes: 0,
    detached: true,
  });
}
