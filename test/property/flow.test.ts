/** Flows, whatever happens: nothing throws, nothing hangs, everything started is stopped, the account is complete. */
import fc from 'fast-check';
import t from 'tap';
import { APPLETS, checkFlow } from '../../src/call/applets/catalogue.js';
import type { FlowDocument } from '../../src/call/flow/document.js';
import type { FlowEffect } from '../../src/call/flow/effects.js';
import type { FlowEvent } from '../../src/call/flow/events.js';
import { advance } from '../../src/call/flow/executor.js';
import { evaluate, parseExpression } from '../../src/call/flow/expression.js';
import { FLOW_REASONS } from '../../src/call/flow/reasons.js';
import { initialState } from '../../src/call/flow/state.js';
import { fillTemplate, parseTemplate } from '../../src/call/flow/template.js';
import { textOf } from '../../src/call/flow/values.js';
import { FACTS, FlowLadder, REPORT, flowOf } from '../support/flowLadder.js';

/** Params of every applet that use everything it has. */
const NODES: { readonly [name: string]: { params: object; exits: readonly string[] } } = {
  greeting: { params: { play: [{ text: 'x {{ caller.name }}' }] }, exits: ['next'] },
  voicebot: { params: { url: 'wss://b.example/' }, exits: ['next', 'failed'] },
  stream: { params: { url: 'wss://b.example/' }, exits: ['next'] },
  gather: {
    params: { prompt: [{ file: 'p.wav' }], max_digits: 2, valid: ['1X'] },
    exits: ['digits', 'timeout', 'invalid'],
  },
  menu: {
    params: { prompt: [{ file: 'p.wav' }], choices: ['1', '2'], type_ahead: true },
    exits: ['1', '2', 'timeout', 'invalid'],
  },
  record: { params: { prompt: [{ file: 'p.wav' }], min_ms: 500 }, exits: ['next', 'empty'] },
  passthru: { params: { url: 'https://x.example/' }, exits: ['a', 'b'] },
  transfer: { params: { flow: 'flw_other' }, exits: ['failed'] },
  switchcase: { params: { cases: [{ when: 'call.from == "+1"', exit: 'x' }] }, exits: ['x', 'otherwise'] },
  timing: {
    params: { time_zone: 'UTC', open: [{ days: ['fri'], from: '09:00', to: '17:00' }] },
    exits: ['open', 'closed'],
  },
  connect: {
    params: {
      to: ['+911', '+912'],
      mode: 'parallel',
      whisper: [{ file: 'w.wav' }],
      music_on_hold: [{ file: 'm.wav' }],
      record: true,
      talk_ms: 600_000,
    },
    exits: ['answered', 'busy', 'no_answer', 'failed', 'cancelled'],
  },
  'connect plain': { params: { to: ['+911', '+912'], talk_ms: 600_000 }, exits: [] },
  'connect by url': {
    params: { url: 'https://x.example/', fallback_url: 'https://y.example/' },
    exits: ['answered', 'busy'],
  },
  'record call': { params: { what: 'call' }, exits: ['next'] },
  'passthru async': { params: { url: 'https://x.example/', async: true }, exits: ['next'] },
  'transfer refer': { params: { refer: 'sip:x@192.0.2.1' }, exits: ['failed'] },
  hangup: { params: {}, exits: [] },
  reject: { params: {}, exits: [] },
};
const KINDS = Object.keys(NODES);

t.test('every applet is among them', async (t) => {
  const there = new Set(KINDS.map((kind) => kind.split(' ')[0]));
  for (const name of APPLETS.keys()) t.ok(there.has(name), name);
});

/** Flows of any shape; every node is bounded, and every exit may lead anywhere. */
const flow = fc
  .record({
    kinds: fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 6 }),
    targets: fc.array(fc.nat(20), { minLength: 40, maxLength: 40 }),
    fallback: fc.option(fc.nat(6)),
    errors: fc.boolean(),
  })
  .map(({ kinds, targets, fallback, errors }): FlowDocument => {
    const ids = [...kinds.map((_, i) => `n${i}`), 'bye'];
    let at = 0;
    const any = () => ids[(targets[at++ % targets.length] as number) % ids.length] as string;
    const nodes: { [id: string]: object } = {};
    kinds.forEach((kind, i) => {
      const { params, exits } = NODES[kind] as (typeof NODES)[string];
      const wired = Object.fromEntries([...exits, ...(errors ? ['error'] : [])].map((exit) => [exit, any()]));
      nodes[`n${i}`] = { applet: kind.split(' ')[0], params: structuredClone(params), exits: wired, max_visits: 4 };
    });
    nodes['bye'] = { applet: 'hangup' };
    const data = {
      id: 'flw_any',
      start: 'n0',
      nodes,
      ...(fallback === null ? {} : { fallback: ids[fallback % ids.length] }),
    };
    const checked = checkFlow(data);
    // Shapes that publishing refuses are run all the same: the executor does not lean on the check.
    return checked.ok ? checked.value.flow : (data as unknown as FlowDocument);
  });

type Move = { readonly pick: number; readonly value: number; readonly ms: number };
const moves = fc.array(fc.record({ pick: fc.nat(1000), value: fc.nat(1000), ms: fc.nat(8000) }), { maxLength: 60 });

/** An event that fits what runs, or one that fits nothing. */
function eventOf(rig: FlowLadder, { pick, value }: Move, other: FlowDocument): FlowEvent {
  const { activities } = rig.state;
  const any: FlowEvent[] = [
    { type: 'digit', digit: '12#9'[value % 4] as string, durationMs: 100, by: 'rfc4733' },
    { type: 'callerDtmfInfo', digit: '1', durationMs: 100 },
    { type: 'started' },
    { type: 'answered' },
    { type: 'playEnded', playId: 'play-1', end: 'finished', detail: '' },
    { type: 'timer', timerId: 'nothing' },
  ];
  if (value % 40 === 0) return { type: 'callerHungUp' };
  if (value % 40 === 1) return { type: 'mediaFailed', detail: 'gone' };
  if (value % 40 === 2) return { type: 'answerFailed', detail: 'gone' };
  const activity = activities[pick % (activities.length + 2)];
  if (activity === undefined) return any[value % any.length] as FlowEvent;
  const { id } = activity;
  switch (activity.kind) {
    case 'answer':
      return { type: 'answered' };
    case 'play':
      return { type: 'playEnded', playId: id, end: value % 5 === 0 ? 'failed' : 'finished', detail: '' };
    case 'record':
      return {
        type: 'recordEnded',
        recordId: id,
        end: value % 5 === 0 ? 'failed' : 'silence',
        durationMs: value * 5,
        url: 'u',
      };
    case 'stream':
      if (value % 2 === 0) return { type: 'streamStarted', streamId: id, streamSid: 's' };
      return {
        type: 'streamEnded',
        streamId: id,
        report: { ...REPORT, status: value % 3 === 0 ? 'failed' : 'completed' },
      };
    case 'fetch':
      if (value % 3 === 0) return { type: 'fetchFailed', fetchId: id, reason: 'x' };
      return {
        type: 'fetched',
        fetchId: id,
        status: [200, 302, 500][pick % 3] as number,
        body: '{"destination":{"numbers":["+1"]},"fetch_after_attempt":true}',
      };
    case 'dial':
      if (value % 4 === 0) return { type: 'dialProgress', dialId: id, status: 183 };
      if (value % 4 === 1) return { type: 'dialAnswered', dialId: id };
      if (value % 8 === 2) return { type: 'dialTransferred', dialId: id, target: 'sip:+1@x' };
      return {
        type: 'dialEnded',
        dialId: id,
        outcome: (['busy', 'no_answer', 'failed', 'completed', 'cancelled'] as const)[value % 5] as 'busy',
        sipStatus: 486,
      };
    case 'transfer':
      return { type: 'flowLoaded', transferId: id, flow: value % 2 === 0 ? other : undefined };
    case 'refer':
      return { type: 'referEnded', referId: id, accepted: value % 2 === 0, sipStatus: 202 };
    default:
      return { type: 'timer', timerId: id };
  }
}

const FINAL = new Set<FlowEffect['type']>(['hangup', 'reject']);

/** What must hold of a whole call. Returns a sentence when it does not. */
function broken(rig: FlowLadder): string | undefined {
  const { effects, state, trace } = rig;
  const count = (type: FlowEffect['type']) => effects.filter((effect) => effect.type === type).length;
  const finals = effects.filter(({ type }) => FINAL.has(type)).length;
  if (!rig.over) return 'the call never ended';
  const { reasonCode } = state;
  if (reasonCode === undefined || !Object.hasOwn(FLOW_REASONS, reasonCode)) return `unknown reason ${reasonCode}`;
  const unknown = trace.find(({ error }) => error !== null && !Object.hasOwn(FLOW_REASONS, error.code));
  if (unknown !== undefined) return `unknown error ${unknown.error?.code}`;
  if (finals !== (state.hungUp ? 0 : 1)) return `${finals} final effects`;
  if (count('answer') > 1) return 'answered twice';
  if (rig.timers.size > 0) return `timers left: ${[...rig.timers.keys()].join()}`;
  if (state.activities.length > 0) return 'activities left';
  if (trace.length !== state.steps) return `${trace.length} trace steps of ${state.steps}`;
  if (trace.some(({ step }, i) => step !== i + 1)) return 'steps out of order';
  if (trace.some((step) => step.error?.code === 'applet_fault')) return `fault: ${JSON.stringify(trace)}`;
  return undefined;
}

t.test('whatever happens, a call ends with one word to the caller, nothing runs on, the trace is whole', async () => {
  const other = flowOf({
    hi: { applet: 'greeting', params: { play: [{ file: 'x.wav' }] }, exits: { next: 'bye' } },
    bye: { applet: 'hangup' },
  });
  fc.assert(
    fc.property(flow, moves, (document, steps) => {
      const rig = new FlowLadder(document);
      rig.send({ type: 'started' });
      for (const move of steps) {
        if (rig.over) break;
        rig.wait(move.ms);
        if (rig.over) break;
        // Waiting means that something will come: the node has a timer of its own, or people talk or are answered.
        if (rig.timers.size === 0) throw new Error('waits for nothing');
        const event = eventOf(rig, move, other);
        if (event.type === 'timer') rig.timers.delete(event.timerId);
        rig.send(event);
      }
      // From here on nobody does anything: only the clock runs.
      for (let i = 0; i < 400 && !rig.over; i++) rig.wait(60_000);
      const problem = broken(rig);
      if (problem !== undefined) throw new Error(`${problem}\n${rig.ladder().join('\n')}`);
    }),
    { numRuns: 1500 },
  );
});

t.test(
  'every applet meets every event without a fault, and waits on a timer of its own or on its callee',
  async (t) => {
    const everything = (rig: FlowLadder): FlowEvent[] => {
      const events: FlowEvent[] = [];
      for (let pick = 0; pick < 14; pick++) {
        for (let value = 0; value < 42; value++) events.push(eventOf(rig, { pick, value, ms: 0 }, rig.state.flow));
      }
      return events;
    };
    for (const kind of KINDS) {
      const { params, exits } = NODES[kind] as (typeof NODES)[string];
      const node = {
        applet: kind.split(' ')[0],
        params,
        exits: Object.fromEntries(exits.map((exit) => [exit, 'bye'])),
      };
      // Breadth first over the states that the node can be in, a few events deep.
      let states = [new FlowLadder(flowOf({ n0: node, bye: { applet: 'hangup' } })).start()];
      let met = 0;
      for (let depth = 0; depth < 3; depth++) {
        const next = new Map<string, FlowLadder>();
        for (const rig of states) {
          for (const event of everything(rig)) {
            met++;
            const { state, effects } = advance(rig.state, event, rig.nowMs + 1);
            const faults = effects.filter(
              (effect) => effect.type === 'trace' && effect.step.error?.code === 'applet_fault',
            );
            if (faults.length > 0) t.fail(`${kind}: ${JSON.stringify(faults)}`);
            if (state.status === 'ended' || state.node?.nodeId !== 'n0') continue;
            const timed = state.activities.some(
              ({ kind: what, nodeId, id }) =>
                what === 'timer' && (nodeId === 'n0' || id === 'answer_limit' || id === 'farewell'),
            );
            const talking = state.activities.some(({ kind: what }) => what === 'dial');
            if (!timed && !talking) t.fail(`${kind} waits for nothing after ${JSON.stringify(event)}`);
            const shape = JSON.stringify([state.node.data, state.hungUp, state.answered]);
            if (next.size > 40 || next.has(shape)) continue;
            const fork = new FlowLadder(state.flow);
            fork.state = state;
            fork.nowMs = rig.nowMs + 1;
            next.set(shape, fork);
          }
        }
        states = [...next.values()];
      }
      t.pass(`${kind}: ${met} meetings`);
    }
  },
);

t.test('the same events make the same effects, and no state is changed in place', async () => {
  const freeze = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || Object.isFrozen(value) || value instanceof Map) return;
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  };
  fc.assert(
    fc.property(flow, moves, (document, steps) => {
      const rig = new FlowLadder(document);
      const events: [FlowEvent, number][] = [[{ type: 'started' }, rig.nowMs]];
      rig.send({ type: 'started' });
      for (const move of steps) {
        rig.nowMs += move.ms;
        const event = eventOf(rig, move, document);
        events.push([event, rig.nowMs]);
        rig.send(event);
      }
      let state = initialState(document, APPLETS, FACTS);
      const effects: FlowEffect[] = [];
      for (const [event, nowMs] of events) {
        freeze(state);
        const step = advance(state, event, nowMs);
        state = step.state;
        effects.push(...step.effects);
      }
      if (JSON.stringify(effects) !== JSON.stringify(rig.effects)) throw new Error('effects differ');
    }),
    { numRuns: 300 },
  );
});

const name = fc.constantFrom('call.from', 'caller.name', 'custom.x', 'nodes.ask-1.digits', 'vip');
const literal = fc.oneof(
  fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text.replaceAll(/[\\\p{C}]/gu, ''))),
  fc.integer({ min: -1000, max: 1000 }).map(String),
  fc.constantFrom('true', 'false', 'null'),
);
const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { depthSize: 'small' },
    name,
    literal,
    fc
      .tuple(tie('condition'), fc.constantFrom('and', 'or'), tie('condition'))
      .map(([a, word, b]) => `(${a}) ${word} (${b})`),
    fc.tuple(tie('condition')).map(([a]) => `not (${a})`),
    fc
      .tuple(fc.oneof(name, literal), fc.constantFrom('==', '!=', '<', '<=', '>', '>='), fc.oneof(name, literal))
      .map((parts) => parts.join(' ')),
    fc
      .tuple(fc.constantFrom('contains', 'startsWith', 'matchesDigits'), tie('condition'), tie('condition'))
      .map(([f, a, b]) => `${f}(${a}, ${b})`),
    fc.tuple(tie('condition')).map(([a]) => `length(${a})`),
  ),
}));

t.test('conditions of the grammar parse and have a value; any text is parsed or refused with its place', async () => {
  const lookup = (path: readonly string[]) => (path.length > 1 ? path.join('/') : null);
  fc.assert(
    fc.property(condition, (text) => {
      const parsed = parseExpression(text);
      if (!parsed.ok) return parsed.error.code === 'too_long' || parsed.error.code === 'too_deep';
      const value = evaluate(parsed.value, lookup);
      return value === null || ['string', 'number', 'boolean'].includes(typeof value);
    }),
    { numRuns: 1000 },
  );
  const words = fc.array(
    fc.constantFrom('(', ')', 'and', 'or', 'not', '==', '<', 'a', '.', ',', '"x"', '1', 'length', '{{', '}}', "'"),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        words.map((list) => list.join(' ')),
      ),
      (text) => {
        const parsed = parseExpression(text);
        if (parsed.ok) evaluate(parsed.value, lookup);
        else if (parsed.error.at < 0 || parsed.error.at > text.length) return false;
        const template = parseTemplate(text);
        return template.ok ? fillTemplate(template.value, lookup).length <= 4096 : template.error.at <= text.length;
      },
    ),
    { numRuns: 3000 },
  );
});

t.test('not, and, or and comparisons keep the laws of logic', async () => {
  const value = (text: string) => {
    const parsed = parseExpression(text);
    if (!parsed.ok) throw new Error(`${text}: ${parsed.error.message}`);
    return evaluate(parsed.value, (path) => path.join('.'));
  };
  const atom = fc.oneof(name, literal);
  fc.assert(
    fc.property(atom, atom, (a, b) => {
      const same = value(`${a} == ${b}`);
      return (
        value(`not (${a} and ${b})`) === value(`not (${a}) or not (${b})`) &&
        value(`${a} != ${b}`) === !same &&
        value(`${b} == ${a}`) === same &&
        value(`${a} < ${b}`) === value(`${b} > ${a}`) &&
        textOf(value(`not not (${a})`)) === textOf(value(`(${a}) and true`))
      );
    }),
    { numRuns: 1000 },
  );
});

t.test('the longest texts are worked through in no time', async (t) => {
  const began = process.hrtime.bigint();
  for (const text of [
    '('.repeat(1024),
    'a.'.repeat(512),
    'not '.repeat(256),
    'a and '.repeat(170) + 'a',
    '"'.repeat(1023),
    '{{'.repeat(512),
  ]) {
    for (let i = 0; i < 200; i++) {
      parseExpression(text);
      parseTemplate(text);
    }
  }
  t.ok(Number(process.hrtime.bigint() - began) / 1e6 < 5000);
});
