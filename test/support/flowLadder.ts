/** Runs a flow against a clock that stands still, and writes down what happened as a ladder. */
import { APPLETS, checkFlow } from '../../src/call/applets/catalogue.js';
import type { FlowDocument } from '../../src/call/flow/document.js';
import type { FlowEffect, FlowSource, Party } from '../../src/call/flow/effects.js';
import type { FlowEvent, FlowStreamReport } from '../../src/call/flow/events.js';
import { advance } from '../../src/call/flow/executor.js';
import { type CallFacts, type FlowState, initialState } from '../../src/call/flow/state.js';
import type { TraceStep } from '../../src/call/flow/trace.js';

/** Friday, 2026-01-23 09:24:59 UTC. */
export const WALL_MS = 1_769_160_299_000;

export const FACTS: CallFacts = {
  sid: '01CALL',
  accountSid: 'demo',
  from: '+919876543210',
  to: '+918040000002',
  direction: 'inbound',
  startedWallMs: WALL_MS,
  caller: { name: 'Asha', country: 'IN' },
  custom: { tier: 'gold' },
};

export type Nodes = { readonly [id: string]: object };

/** A published flow; the first node is the start. */
export function flowOf(nodes: Nodes, more: object = {}): FlowDocument {
  const checked = checkFlow({ id: 'flw_test', start: Object.keys(nodes)[0], nodes: structuredClone(nodes), ...more });
  if (!checked.ok) throw new Error(checked.error.map(({ message }) => message).join('\n'));
  return checked.value.flow;
}

/** What is wrong with a flow, as sentences. */
export function problemsOf(nodes: Nodes, more: object = {}): string[] {
  const checked = checkFlow({ id: 'flw_test', start: Object.keys(nodes)[0], nodes: structuredClone(nodes), ...more });
  return checked.ok ? [] : checked.error.map(({ message }) => message);
}

export const REPORT: FlowStreamReport = {
  streamSid: 'strm1',
  disconnectedBy: 'bot',
  status: 'completed',
  detail: 'bot_closed',
  durationMs: 12_000,
};

const party = (to: Party): string => (to === 'caller' ? '' : ` to ${to.dialId}`);

const sound = (source: FlowSource): string => {
  switch (source.kind) {
    case 'file':
      return source.path;
    case 'url':
      return source.url;
    case 'tone':
      return `${source.frequenciesHz.join('+')}Hz`;
    case 'silence':
      return 'silence';
    case 'text':
      return `"${source.text}"`;
  }
};

const words = (type: string): string => type.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function effectLine(effect: FlowEffect): string {
  switch (effect.type) {
    case 'answer':
      return effect.dialId === undefined ? 'answer' : `answer with ${effect.dialId}`;
    case 'progress':
      return `${effect.status}`;
    case 'play': {
      const times = effect.repeat === 1 ? '' : ` x${effect.repeat}`;
      return `play ${effect.sources.map(sound).join(', ')}${party(effect.to)}${times}`;
    }
    case 'startRecord':
      return `record ${effect.channels}`;
    case 'startStream':
      return `${effect.direction === 'fork' ? 'fork' : 'stream'} ${effect.url}`;
    case 'streamDtmf':
      return `stream dtmf ${effect.digit}`;
    case 'fetch':
      return `${effect.detached ? 'tell' : 'GET'} ${effect.url}`;
    case 'dial': {
      const { target } = effect;
      const whom =
        target.kind === 'trunk' ? `trunk ${target.trunkSid}` : target.kind === 'number' ? target.number : target.uri;
      return `${effect.dialId} ${whom} ${effect.media}`;
    }
    case 'hangUpDial':
      return `hang up ${effect.dialId}`;
    case 'bridgeMedia':
      return `bridge ${effect.dialId}`;
    case 'releaseMedia':
      return `release ${effect.dialId}`;
    case 'transfer':
      return `transfer to ${effect.flowId}`;
    case 'refer':
      return `REFER ${effect.uri}`;
    case 'sendDtmf':
      return `dtmf ${effect.digits}${party(effect.to)}`;
    case 'reject':
      return `reject ${effect.status} ${effect.reasonCode}`;
    case 'hangup':
      return `hangup ${effect.cause} ${effect.reasonCode}`;
    default:
      return words(effect.type);
  }
}

function eventLine(event: FlowEvent): string {
  switch (event.type) {
    case 'digit':
    case 'callerDtmfInfo':
      return `key ${event.digit}`;
    case 'fetched':
      return `${event.status}`;
    case 'dialEnded':
      return `${event.dialId} ${event.outcome}`;
    case 'dialAnswered':
      return `${event.dialId} answered`;
    case 'dialProgress':
      return `${event.dialId} ${event.status}`;
    default:
      return words(event.type);
  }
}

const QUIET = new Set(['setTimer', 'cancelTimer', 'trace', 'startGather', 'stopGather']);

export class FlowLadder {
  state: FlowState;
  nowMs = 1000;
  readonly effects: FlowEffect[] = [];
  readonly trace: TraceStep[] = [];
  /** Timers that run, with the time at which they fire. */
  readonly timers = new Map<string, number>();
  #lines: string[] = [];

  constructor(flow: FlowDocument, facts: Partial<CallFacts> = {}) {
    this.state = initialState(flow, APPLETS, { ...FACTS, ...facts });
  }

  get over(): boolean {
    return this.state.status === 'ended';
  }

  send(event: FlowEvent): this {
    if (event.type !== 'timer') this.#lines.push(`-> ${eventLine(event)}`);
    const { state, effects } = advance(this.state, event, this.nowMs);
    this.state = state;
    for (const effect of effects) {
      this.effects.push(effect);
      if (!QUIET.has(effect.type)) this.#lines.push(`<- ${effectLine(effect)}`);
      if (effect.type === 'trace') this.trace.push(effect.step);
      if (effect.type === 'setTimer') this.timers.set(effect.timerId, this.nowMs + effect.ms);
      if (effect.type === 'cancelTimer') this.timers.delete(effect.timerId);
    }
    return this;
  }

  /** Lets time pass; timers fire in their order. */
  wait(ms: number): this {
    const until = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.timers].filter(([, at]) => at <= until).sort((a, b) => a[1] - b[1]);
      if (next === undefined) break;
      this.timers.delete(next[0]);
      this.nowMs = next[1];
      this.#lines.push(`.. ${next[0].replace(/^.*:/, '')}`);
      this.send({ type: 'timer', timerId: next[0] });
    }
    this.nowMs = until;
    return this;
  }

  /** The call begins, and its caller is answered if the flow wants that. */
  start(): this {
    this.send({ type: 'started' });
    if (this.state.answered === 'asked') this.send({ type: 'answered' });
    return this;
  }

  keys(keys: string): this {
    for (const digit of keys) {
      this.nowMs += 400;
      this.send({ type: 'digit', digit, durationMs: 100, by: 'rfc4733' });
    }
    return this;
  }

  /** Id of the latest effect of a kind. */
  id(kind: 'play' | 'startStream' | 'startRecord' | 'fetch' | 'dial' | 'transfer' | 'refer'): string {
    const effect = this.effects.findLast(({ type }) => type === kind) ?? {};
    const entry = Object.entries(effect).find(([name]) =>
      /^(play|stream|record|fetch|dial|transfer|refer)Id$/.test(name),
    );
    return String(entry?.[1] ?? '');
  }

  last<T extends FlowEffect['type']>(type: T): FlowEffect & { type: T } {
    return this.effects.findLast((effect) => effect.type === type) as FlowEffect & { type: T };
  }

  played(end: 'finished' | 'failed' = 'finished'): this {
    return this.send({ type: 'playEnded', playId: this.id('play'), end, detail: end });
  }

  bot(report: Partial<FlowStreamReport> = {}): this {
    return this.send({ type: 'streamEnded', streamId: this.id('startStream'), report: { ...REPORT, ...report } });
  }

  botUp(): this {
    return this.send({ type: 'streamStarted', streamId: this.id('startStream'), streamSid: 'strm1' });
  }

  fetched(status: number, body: unknown = ''): this {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.send({ type: 'fetched', fetchId: this.id('fetch'), status, body: text });
  }

  dialed(outcome: 'completed' | 'busy' | 'no_answer' | 'failed' | 'cancelled', dialId = this.id('dial')): this {
    const sipStatus = { busy: 486, no_answer: 480, failed: 503, completed: 200, cancelled: 487 }[outcome];
    return this.send({ type: 'dialEnded', dialId, outcome, sipStatus });
  }

  dialUp(dialId = this.id('dial')): this {
    return this.send({ type: 'dialAnswered', dialId });
  }

  /** Of the latest request. */
  query(): { [name: string]: string } {
    return Object.fromEntries(this.last('fetch').query);
  }

  /** What happened since the last time. */
  ladder(): string[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }
}
