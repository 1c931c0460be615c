/**
 * Runs a flow: `(state, event, now) -> state and effects`, without clock, promises or sockets. The same events at the
 * same times always make the same effects.
 */
import { ANSWER_ID, type Activity, concernedBy } from './activity.js';
import { type Applet, type Ending, type Outcome, fail } from './applet.js';
import type { FlowNode } from './document.js';
import { Draft, leaves } from './draft.js';
import type { FlowEffect } from './effects.js';
import type { FlowEvent } from './events.js';
import { DEFAULT_MAX_VISITS, MAX_STEPS } from './graph.js';
import type { FlowState } from './state.js';
import type { Values } from './values.js';

export { initialState } from './state.js';

export interface Advance {
  readonly state: FlowState;
  readonly effects: readonly FlowEffect[];
}

/** Flows that one call may be handed on to. */
export const MAX_TRANSFERS = 5;
/** Time in which what is left to hear after the caller's end must come. */
const FAREWELL_MS = 5000;
/** A key that comes once in the audio and once by INFO, or as event and as tone, comes within this time. */
const SAME_KEY_MS = 300;
const MAX_TYPED = 32;

const ANSWER: FlowEffect = { type: 'answer', dialId: undefined };

const NORMAL: Ending = { reasonCode: 'flow_ended', cause: 16, sipStatus: 480 };
const CALLER_GONE: Ending = { reasonCode: 'caller_hung_up', cause: 16, sipStatus: 487 };
const ANSWER_FAILED: Ending = { reasonCode: 'answer_failed', cause: 41, sipStatus: 500 };
const CALL_LIMIT: Ending = { reasonCode: 'max_duration', cause: 102, sipStatus: 480 };
const failing = (reasonCode: string): Ending => ({ reasonCode, cause: 41, sipStatus: 500 });

/**
 * One event's work. Events that fit nothing change nothing; after the end of the flow none does. Never throws.
 * @param nowMs the call's monotonic clock
 */
export function advance(state: FlowState, event: FlowEvent, nowMs: number): Advance {
  if (state.status === 'ended') return { state, effects: [] };
  const draft = new Draft(state, nowMs);
  if (state.status === 'new') begin(draft, event);
  else dispatch(draft, event);
  return { state: draft.state, effects: draft.effects };
}

function begin(draft: Draft, event: FlowEvent): void {
  if (event.type === 'callerHungUp') {
    draft.change({ hungUp: true });
    draft.finish(CALLER_GONE);
  } else if (event.type === 'started') {
    draft.change({ status: 'running', startedMs: draft.nowMs });
    draft.setFlowTimer('call_limit', draft.state.flow.max_call_ms);
    goTo(draft, draft.state.flow.start);
  }
}

function dispatch(draft: Draft, event: FlowEvent): void {
  const concerned = concernedBy(event);
  if (concerned !== undefined) {
    const activity = draft.state.activities.find(({ kind, id }) => kind === concerned.kind && id === concerned.id);
    if (activity === undefined) return;
    if (concerned.ends) draft.ended(activity);
    if (activity.background && activity.kind !== 'answer') {
      onBackground(draft, activity, event);
      return;
    }
  }
  switch (event.type) {
    case 'started':
      return;
    case 'callerDtmfInfo':
      onKey(draft, { ...event, type: 'digit', by: 'info' });
      return;
    case 'digit':
      onKey(draft, event);
      return;
    case 'answered':
    case 'answerFailed':
      onAnswer(draft, event);
      return;
    case 'earlyMedia':
      onEarlyMedia(draft, event);
      return;
    case 'mediaFailed':
      onMediaFailed(draft, event.detail);
      return;
    case 'callerHungUp':
      onCallerGone(draft);
      return;
    default:
      deliver(draft, event);
  }
}

/** What runs behind the nodes reports to the flow itself. */
function onBackground(draft: Draft, activity: Activity, event: FlowEvent): void {
  if (event.type === 'timer') {
    if (event.timerId === 'call_limit') endNow(draft, CALL_LIMIT, 'call_ended');
    else if (event.timerId === 'answer_limit') endNow(draft, ANSWER_FAILED, 'call_ended');
    else endNow(draft, CALLER_GONE, 'caller_hung_up');
  } else if (event.type === 'streamEnded') {
    draft.store(activity.nodeId, { status: event.report.status, duration_ms: event.report.durationMs });
    draft.remember({ stream: { ...event.report, url: activity.url ?? '' } });
  } else if (event.type === 'recordEnded') {
    draft.store(activity.nodeId, { recording_url: event.url, duration_ms: event.durationMs });
    draft.remember({ recordingUrl: event.url });
  }
}

function onAnswer(draft: Draft, event: FlowEvent & { type: 'answered' | 'answerFailed' }): void {
  const limit = draft.state.activities.find(({ id }) => id === 'answer_limit');
  if (limit !== undefined) {
    draft.ended(limit);
    draft.effects.push({ type: 'cancelTimer', timerId: limit.id });
  }
  if (event.type === 'answerFailed') {
    endNow(draft, ANSWER_FAILED, 'call_ended');
    return;
  }
  draft.change({ answered: 'yes' });
  if (draft.state.node?.began === false) settle(draft, beginNode(draft));
  else deliver(draft, event);
}

function onEarlyMedia(draft: Draft, event: FlowEvent & { type: 'earlyMedia' }): void {
  if (event.open) draft.change({ early: true });
  if (draft.state.node?.began !== false) deliver(draft, event);
  else if (event.open) settle(draft, beginNode(draft));
  else draft.emit(ANSWER);
}

function onKey(draft: Draft, event: FlowEvent & { type: 'digit' }): void {
  const { lastDigit, activities, node } = draft.state;
  const { digit, by } = event;
  const again = lastDigit?.digit === digit && lastDigit.by !== by && draft.nowMs - lastDigit.atMs < SAME_KEY_MS;
  if (again || draft.state.hungUp) return;
  draft.change({ lastDigit: { digit, by, atMs: draft.nowMs } });
  if (by === 'info') {
    for (const { kind, id: streamId, background } of activities) {
      if (kind === 'stream' && !background) {
        draft.effects.push({ type: 'streamDtmf', streamId, digit, durationMs: event.durationMs });
      }
    }
  }
  const before = node?.data;
  deliver(draft, event);
  // Nobody took it: it may be meant for what comes next. Bots and callees have heard it themselves.
  const unheard = draft.state.node === undefined || draft.state.node.data === before;
  const heardElsewhere = activities.some(({ kind }) => kind === 'stream' || kind === 'dial');
  if (unheard && !heardElsewhere && draft.state.status === 'running') {
    draft.change({ typed: (draft.state.typed + digit).slice(0, MAX_TYPED) });
  }
}

function onMediaFailed(draft: Draft, detail: string): void {
  draft.dropMedia();
  draft.change({ early: false });
  if (draft.state.hungUp || draft.state.node?.began !== true) return;
  settle(draft, fail('media_failed', detail));
}

function onCallerGone(draft: Draft): void {
  if (draft.state.hungUp) return;
  draft.change({ hungUp: true });
  const { node } = draft.state;
  const at = current(draft);
  const hear = at?.applet.onHangUp?.bind(at.applet);
  if (node?.began !== true || at === undefined || hear === undefined) {
    endNow(draft, CALLER_GONE, 'caller_hung_up');
    return;
  }
  settle(
    draft,
    guarded(() => hear(draft, at.node.params, node.data)),
  );
  if (draft.state.status === 'running') draft.setFlowTimer('farewell', FAREWELL_MS);
}

function endNow(draft: Draft, ending: Ending, exit: string): void {
  draft.leave({ exit, next: null });
  draft.finish(ending);
}

function deliver(draft: Draft, event: FlowEvent): void {
  const { node } = draft.state;
  if (node?.began !== true) return;
  const at = current(draft);
  if (at === undefined) return;
  settle(
    draft,
    guarded(() => at.applet.on(draft, at.node.params, { data: node.data, event })),
  );
}

/** A fault of an applet is a failure of its node, never of the call's process. */
function guarded(work: () => Outcome<unknown>): Outcome<unknown> {
  try {
    return work();
  } catch (error) {
    return fail('applet_fault', error instanceof Error ? error.message : String(error));
  }
}

const current = (draft: Draft): { readonly node: FlowNode; readonly applet: Applet } | undefined => {
  const { flow, applets, node: visit } = draft.state;
  const node = visit === undefined ? undefined : flow.nodes[visit.nodeId];
  const applet = node === undefined ? undefined : applets.get(node.applet);
  return node === undefined || applet === undefined ? undefined : { node, applet };
};

function goTo(draft: Draft, nodeId: string): void {
  settle(draft, enter(draft, nodeId));
}

/** Follows exits until a node waits or the flow is over. Each round is a step, and steps are bounded. */
function settle(draft: Draft, first: Outcome<unknown>): void {
  let outcome = first;
  while (draft.state.status === 'running' && draft.state.node !== undefined) {
    if (!leaves(outcome)) {
      const { node } = draft.state;
      if (node.data !== outcome.data) draft.visit({ ...node, data: outcome.data });
      return;
    }
    const next = follow(draft, outcome);
    if (next === undefined) return;
    outcome = enter(draft, next);
  }
}

function enter(draft: Draft, nodeId: string): Outcome<unknown> {
  const { flow, applets, visits, steps, hungUp } = draft.state;
  const node = Object.hasOwn(flow.nodes, nodeId) ? flow.nodes[nodeId] : undefined;
  const applet = node === undefined ? undefined : applets.get(node.applet);
  if (steps >= MAX_STEPS || (hungUp && applet?.offline !== true)) {
    draft.finish(hungUp ? CALLER_GONE : failing('flow_step_limit'));
    return fail('', '');
  }
  const count = (Object.hasOwn(visits, nodeId) ? (visits[nodeId] as number) : 0) + 1;
  const visited = { nodeId, applet: node?.applet ?? '', enteredMs: draft.nowMs, data: undefined, inputs: {} };
  draft.change({ steps: steps + 1, visits: { ...visits, [nodeId]: count }, node: { ...visited, began: false } });
  if (node === undefined || applet === undefined) return fail('node_unknown', `there is no node ${nodeId}`);
  const limit = node.max_visits ?? DEFAULT_MAX_VISITS;
  if (count > limit) return fail('flow_loop', `visited more than ${limit} times`);
  const needs = !draft.answered && applet.needsAnswer(node.params);
  if (needs === false || (needs === 'early' && draft.early)) return beginNode(draft);
  draft.emit(needs === 'early' && draft.unanswered ? { type: 'earlyMedia' } : ANSWER);
  return { kind: 'wait', data: undefined };
}

function beginNode(draft: Draft): Outcome<unknown> {
  const at = current(draft);
  const { node: visit } = draft.state;
  if (at === undefined || visit === undefined) return fail('node_unknown', 'there is no such node');
  draft.visit({ ...visit, began: true });
  return guarded(() => at.applet.enter(draft, at.node.params));
}

type Leaving = Exclude<Outcome<unknown>, { kind: 'wait' }>;

/** Leaves the node. @returns the node that follows; undefined when the flow is over */
function follow(draft: Draft, outcome: Leaving): string | undefined {
  const at = current(draft);
  const nodeId = draft.nodeId;
  draft.stopActivities('node');
  if (outcome.kind === 'flow') return transferTo(draft, outcome);
  const failed = outcome.kind === 'fail' ? { error: outcome.code } : {};
  draft.store(nodeId, { ...outcome.results, ...failed } as Values);
  if (at?.node.set !== undefined) draft.assign(at.node.set);
  if (outcome.kind === 'end') {
    draft.leave({ exit: 'call_ended', next: null });
    draft.finish(outcome.ending);
    return undefined;
  }
  return outcome.kind === 'exit' ? followExit(draft, outcome, at) : followError(draft, outcome, at?.node);
}

function followExit(
  draft: Draft,
  outcome: Leaving & { kind: 'exit' },
  at: { readonly node: FlowNode; readonly applet: Applet } | undefined,
): string | undefined {
  const target =
    at !== undefined && Object.hasOwn(at.node.exits, outcome.exit) ? at.node.exits[outcome.exit] : undefined;
  if (target !== undefined) {
    draft.leave({ exit: outcome.exit, next: target });
    return target;
  }
  const rule = at?.applet.exits(at.node.params).find(({ name }) => name === outcome.exit);
  if (rule?.unwired === 'ends') {
    draft.leave({ exit: outcome.exit, next: null });
    draft.finish(outcome.ending ?? NORMAL);
    return undefined;
  }
  const code = `${at?.applet.name ?? 'node'}_${outcome.exit}`;
  return followError(
    draft,
    { code, message: `exit '${outcome.exit}' leads nowhere`, ending: outcome.ending },
    at?.node,
  );
}

/** The node's `error` exit, else the flow's fallback, else the end. */
function followError(
  draft: Draft,
  error: { readonly code: string; readonly message: string; readonly ending?: Ending | undefined },
  node: FlowNode | undefined,
): string | undefined {
  const { code, message } = error;
  const { flow, fellBack } = draft.state;
  let target = node !== undefined && Object.hasOwn(node.exits, 'error') ? node.exits['error'] : undefined;
  if (target === undefined && !fellBack && flow.fallback !== undefined) {
    target = flow.fallback;
    draft.change({ fellBack: true });
  }
  draft.leave({ exit: 'error', next: target ?? null, error: { code, message } });
  if (target === undefined) draft.finish(error.ending ?? failing(code));
  return target;
}

function transferTo(draft: Draft, outcome: Leaving & { kind: 'flow' }): string | undefined {
  const { flow } = outcome;
  const { transfers, flow: from } = draft.state;
  if (transfers >= MAX_TRANSFERS) {
    const at = current(draft);
    return followError(draft, { code: 'transfer_loop', message: `more than ${MAX_TRANSFERS} transfers` }, at?.node);
  }
  draft.leave({ exit: 'transferred', next: null });
  draft.change({
    flow,
    transfers: transfers + 1,
    fellBack: false,
    variables: { ...flow.variables, ...shared(from.variables, draft.state.variables, flow.variables) },
    results: {},
    visits: {},
  });
  return flow.start;
}

/** Variables that both flows declare keep the value that they have. */
function shared(declared: Values, values: Values, wanted: Values): Values {
  const names = Object.keys(wanted).filter((name) => Object.hasOwn(declared, name));
  return Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
}

/** The call's flow as people are shown it. */
export function dumpFlow(state: FlowState): object {
  const { flow, status, answered, hungUp, node, activities, steps, reasonCode } = state;
  return {
    flow: flow.id,
    version: flow.version,
    status,
    answered,
    hungUp,
    node: node?.nodeId ?? null,
    applet: node?.applet ?? null,
    steps,
    running: activities.filter(({ id }) => id !== ANSWER_ID).map(({ kind, id }) => `${kind} ${id}`),
    reasonCode: reasonCode ?? null,
  };
}
