/** The next state and its effects in the making: one event's work, seen by nobody until it is done. */
import { type Activity, startedBy, stopOf, stoppedBy } from './activity.js';
import type { Ending, NodeRun, Outcome } from './applet.js';
import type { FlowEffect, FlowSource, Party } from './effects.js';
import type { FlowEvent } from './events.js';
import { evaluate, parseExpression } from './expression.js';
import type { FlowState, History, NodeVisit } from './state.js';
import { encodeText, fillTemplate, hasTemplate, parseTemplate } from './template.js';
import { type TraceStep, maskUrl } from './trace.js';
import { type Value, type Values, kept } from './values.js';
import { lookUp } from './variables.js';

/** Timers of the flow itself; nodes' timers hold a colon. */
export type FlowTimer = 'call_limit' | 'answer_limit' | 'farewell';

/** Characters of a file's name that a template may fill in: no way out of the directory. */
const UNSAFE_IN_PATH = /[^A-Za-z0-9_+-]/g;

export class Draft implements NodeRun {
  state: FlowState;
  readonly effects: FlowEffect[] = [];
  readonly nowMs: number;

  constructor(state: FlowState, nowMs: number) {
    this.state = state;
    this.nowMs = nowMs;
  }

  change(changes: Partial<FlowState>): void {
    this.state = { ...this.state, ...changes };
  }

  // As applets see it.

  get nodeId(): string {
    return this.state.node?.nodeId ?? '';
  }

  get flowId(): string {
    return this.state.flow.id;
  }

  get call(): FlowState['call'] {
    return this.state.call;
  }

  get wallMs(): number {
    return this.state.call.startedWallMs + (this.nowMs - this.state.startedMs);
  }

  get answered(): boolean {
    return this.state.answered === 'yes';
  }

  get unanswered(): boolean {
    return this.state.answered === 'no';
  }

  get early(): boolean {
    return this.state.early;
  }

  get hungUp(): boolean {
    return this.state.hungUp;
  }

  get history(): History {
    return this.state.history;
  }

  get anchored(): boolean {
    return this.state.activities.some(({ kind, background }) => background && (kind === 'stream' || kind === 'record'));
  }

  get backgroundStreams(): number {
    return this.state.activities.filter(({ kind, background }) => background && kind === 'stream').length;
  }

  takeTyped(): string {
    const { typed } = this.state;
    if (typed !== '') this.change({ typed: '' });
    return typed;
  }

  wired(exit: string): boolean {
    const node = this.state.flow.nodes[this.nodeId];
    return node !== undefined && Object.hasOwn(node.exits, exit);
  }

  text(template: string): string {
    return this.#fill(template);
  }

  url(template: string): string {
    return this.#fill(template, encodeText);
  }

  condition(expression: string): Value {
    const parsed = parseExpression(expression);
    return parsed.ok ? evaluate(parsed.value, this.#lookUp) : null;
  }

  newId(prefix: string): string {
    const { nextId } = this.state;
    this.change({ nextId: nextId + 1 });
    return `${prefix}-${nextId}`;
  }

  emit(effect: FlowEffect): void {
    // One 2xx per call: a node that wants an answer while another's is on its way waits for that.
    if (effect.type === 'answer' && this.state.answered !== 'no') return;
    const ended = stoppedBy(effect);
    if (ended !== undefined) this.#forget(ended[0], ended[1]);
    const started = startedBy(effect, this.nodeId);
    if (started !== undefined) this.#remember(started);
    if (effect.type === 'answer') this.#askForAnswer();
    this.effects.push(effect);
  }

  play(sources: readonly FlowSource[], options: { to?: Party; repeat?: number } = {}): string {
    const playId = this.newId('play');
    const { to = 'caller', repeat = 1 } = options;
    this.emit({ type: 'play', playId, to, sources: sources.map((source) => this.#source(source)), repeat });
    return playId;
  }

  setTimer(name: string, ms: number): void {
    this.emit({ type: 'setTimer', timerId: this.#timerId(name), ms });
  }

  cancelTimer(name: string): void {
    const timerId = this.#timerId(name);
    const runs = this.state.activities.some(({ kind, id }) => kind === 'timer' && id === timerId);
    if (runs) this.emit({ type: 'cancelTimer', timerId });
  }

  isTimer(event: FlowEvent, name: string): boolean {
    return event.type === 'timer' && event.timerId === this.#timerId(name);
  }

  input(name: string, value: Value): void {
    const { node } = this.state;
    if (node === undefined) return;
    const shown = typeof value === 'string' && value.includes('://') ? maskUrl(value) : value;
    this.change({ node: { ...node, inputs: { ...node.inputs, [name]: kept(shown) } } });
  }

  remember(facts: History): void {
    this.change({ history: { ...this.state.history, ...facts } });
  }

  // As the executor sees it.

  setFlowTimer(timerId: FlowTimer, ms: number): void {
    this.#remember({ kind: 'timer', id: timerId, nodeId: '', background: true });
    this.effects.push({ type: 'setTimer', timerId, ms });
  }

  /** Takes note that an activity is over. */
  ended(activity: Activity): void {
    this.#forget(activity.kind, activity.id);
  }

  /** Stops what runs: of the current node, or everything. */
  stopActivities(which: 'node' | 'all'): void {
    for (const activity of this.state.activities) {
      if (which === 'node' && activity.background) continue;
      this.#forget(activity.kind, activity.id);
      const stop = stopOf(activity);
      if (stop !== undefined) this.effects.push(stop);
    }
  }

  /** What the media plane lost is over without being stopped. */
  dropMedia(): void {
    const lost = new Set(['play', 'gather', 'record', 'stream']);
    this.change({ activities: this.state.activities.filter(({ kind }) => !lost.has(kind)) });
  }

  /** Puts the current node's account on the trace and leaves it. */
  leave(how: { exit: string; next: string | null; error?: TraceStep['error'] }): void {
    const { node, flow, steps } = this.state;
    if (node === undefined) return;
    const step: TraceStep = {
      step: steps,
      flowId: flow.id,
      flowVersion: flow.version,
      nodeId: node.nodeId,
      applet: node.applet,
      inputs: node.inputs,
      exit: how.exit,
      next: how.next,
      enteredMs: node.enteredMs,
      durationMs: Math.max(0, this.nowMs - node.enteredMs),
      error: how.error ?? null,
    };
    this.change({ node: undefined });
    this.effects.push({ type: 'trace', step });
  }

  store(nodeId: string, results: Values): void {
    const entries = Object.entries(results).map(([name, value]) => [name, kept(value)] as const);
    if (entries.length === 0) return;
    const merged = { ...this.state.results[nodeId], ...Object.fromEntries(entries) };
    this.change({ results: { ...this.state.results, [nodeId]: merged } });
  }

  /** The node's `set`, when it is left. */
  assign(assignments: { readonly [name: string]: string }): void {
    const values: { [name: string]: Value } = { ...this.state.variables };
    for (const [name, template] of Object.entries(assignments)) values[name] = this.#fill(template);
    this.change({ variables: values });
  }

  /** The end of the flow: what runs is stopped, and the caller told, if there is one. */
  finish(ending: Ending): void {
    if (this.state.status === 'ended') return;
    this.stopActivities('all');
    const { reasonCode, cause, sipStatus } = ending;
    if (!this.state.hungUp) {
      this.effects.push(
        this.state.answered === 'no'
          ? { type: 'reject', status: sipStatus, cause, reasonCode }
          : { type: 'hangup', cause, reasonCode },
      );
    }
    this.change({ status: 'ended', reasonCode });
  }

  visit(visit: NodeVisit): void {
    this.change({ node: visit });
  }

  readonly #lookUp = (path: readonly string[]): Value => lookUp(this.state, this.nowMs, path);

  #fill(template: string, encode?: (text: string) => string): string {
    if (!hasTemplate(template)) return template;
    const parsed = parseTemplate(template);
    return parsed.ok ? fillTemplate(parsed.value, this.#lookUp, encode) : '';
  }

  #source(source: FlowSource): FlowSource {
    switch (source.kind) {
      case 'file':
        return { ...source, path: this.#fill(source.path, (text) => text.replaceAll(UNSAFE_IN_PATH, '_')) };
      case 'url':
        return { ...source, url: this.url(source.url) };
      case 'text':
        return { ...source, text: this.#fill(source.text) };
      default:
        return source;
    }
  }

  #askForAnswer(): void {
    this.change({ answered: 'asked' });
    this.setFlowTimer('answer_limit', ANSWER_LIMIT_MS);
  }

  #timerId(name: string): string {
    return `${this.nodeId}:${this.state.steps}:${name}`;
  }

  #remember(activity: Activity): void {
    const others = this.state.activities.filter(({ kind, id }) => kind !== activity.kind || id !== activity.id);
    this.change({ activities: [...others, activity] });
  }

  #forget(ended: Activity['kind'], endedId: string): void {
    this.change({ activities: this.state.activities.filter(({ kind, id }) => kind !== ended || id !== endedId) });
  }
}

/** RFC 3261 §13.3.1.4: a 2xx without ACK is given up after 64*T1; a little later so is our wait for it. */
const ANSWER_LIMIT_MS = 35_000;

/** Whether an outcome leaves the node. */
export const leaves = <Data>(outcome: Outcome<Data>): outcome is Exclude<Outcome<Data>, { kind: 'wait' }> =>
  outcome.kind !== 'wait';
