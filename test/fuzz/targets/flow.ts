/** Documents that operators and programs hand in: flows, their expressions and answers, the routing document. */
import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { APPLETS, checkFlow } from '../../../src/call/applets/catalogue.js';
import { planOfAnswer } from '../../../src/call/applets/programmable.js';
import type { FlowDocument } from '../../../src/call/flow/document.js';
import type { FlowEvent } from '../../../src/call/flow/events.js';
import { advance, dumpFlow } from '../../../src/call/flow/executor.js';
import { evaluate, parseExpression } from '../../../src/call/flow/expression.js';
import { initialState } from '../../../src/call/flow/state.js';
import { fillTemplate, parseTemplate } from '../../../src/call/flow/template.js';
import { validateDocument } from '../../../src/call/routing/schema.js';
import { Dice } from '../dice.js';
import { FACTS, REPORT } from '../../support/flowLadder.js';
import { type Target, expect, show } from '../target.js';

const flow = (nodes: object): object => ({ id: 'flw_1', start: Object.keys(nodes)[0], nodes });
const url = 'https://x.example/';
const next = { next: 'bye' };

const SEEDS: readonly object[] = [
  flow({
    hello: {
      applet: 'greeting',
      params: { play: [{ text: 'Hi {{ caller.name }}' }, { tone: [440], duration_ms: 9 }] },
      exits: { next: 'ask' },
    },
    ask: {
      applet: 'gather',
      params: { prompt: [{ file: 'p.wav' }], max_digits: 4, valid: ['1X', '[2-9]X*'] },
      exits: { digits: 'web', timeout: 'bye', invalid: 'bye' },
    },
    web: { applet: 'passthru', params: { url }, exits: { a: 'bot', b: 'case' } },
    case: {
      applet: 'switchcase',
      params: { cases: [{ when: 'call.from == "+1" and not (custom.tier matches "g*")', exit: 'x' }] },
      exits: { x: 'bot', otherwise: 'time' },
    },
    time: {
      applet: 'timing',
      params: { time_zone: 'Asia/Kolkata', open: [{ days: ['mon'], from: '09:00', to: '17:00' }] },
      exits: { open: 'menu', closed: 'bye' },
    },
    menu: {
      applet: 'menu',
      params: { prompt: [{ file: 'p.wav' }], choices: ['1', '2'], type_ahead: true },
      exits: { 1: 'dial', 2: 'bye', timeout: 'bye', invalid: 'bye' },
    },
    bot: { applet: 'voicebot', params: { url: 'wss://b.example/' }, exits: { next: 'dial', failed: 'bye' } },
    dial: {
      applet: 'connect',
      params: { to: ['+911', 'sip:trk_demo'], mode: 'parallel', record: true, talk_ms: 60_000 },
      exits: { answered: 'bye', busy: 'bye' },
    },
    bye: { applet: 'hangup' },
  }),
  flow({
    r: { applet: 'record', params: { prompt: [{ file: 'p.wav' }], min_ms: 500 }, exits: { ...next, empty: 'bye' } },
    bye: { applet: 'hangup' },
  }),
  flow({
    t: { applet: 'transfer', params: { refer: 'sip:x@192.0.2.1' }, exits: { failed: 'bye' } },
    bye: { applet: 'reject', params: {} },
  }),
  {
    fetch_after_attempt: false,
    destination: { numbers: ['+918040000001', 'sip:trk_demo'] },
    parallel_ringing: { activate: true, max_parallel_attempts: 3 },
    record: true,
    dial_passthru_event_url: url,
  },
];

const WORDS = [
  ...[
    'id',
    'start',
    'nodes',
    'applet',
    'params',
    'exits',
    'next',
    'url',
    'to',
    'play',
    'when',
    'cases',
    'variables',
    'fallback',
    'max_visits',
  ],
  ...[
    'greeting',
    'gather',
    'connect',
    'voicebot',
    'hangup',
    'passthru',
    'switchcase',
    '{{ call.from | urlencode }}',
    '{{ custom.',
    'call.from == "x"',
  ],
  ...[
    'and',
    'or',
    'not',
    'matches',
    '((((',
    '))))',
    '"',
    '\\',
    '==',
    '!=',
    '<',
    '>=',
    '1',
    '-',
    'null',
    'true',
    '__proto__',
    'constructor',
    'bye',
  ],
  ...[
    'trunks',
    'carriers',
    'accounts',
    'gateways',
    'destination_uris',
    'phone_numbers',
    'whitelisted_ips',
    'ip',
    'mask',
    'limits',
    'sip:h',
    '+918040000001',
  ],
];

const documentOf = (file: string): Buffer[] =>
  existsSync(file) ? [Buffer.from(JSON.stringify(parse(readFileSync(file, 'utf8'))))] : [];

/** What may happen to a call; the ids are those of the effects. */
const EVENTS: readonly ((id: string, document: FlowDocument) => FlowEvent)[] = [
  () => ({ type: 'answered' }),
  (playId) => ({ type: 'playEnded', playId, end: 'finished', detail: '' }),
  (playId) => ({ type: 'playEnded', playId, end: 'failed', detail: 'x', code: 'speech_failed' }),
  () => ({ type: 'digit', digit: '1', durationMs: 80, by: 'rfc4733' }),
  () => ({ type: 'digit', digit: '#', durationMs: 80, by: 'inband' }),
  (fetchId) => ({ type: 'fetched', fetchId, status: 200, body: '{"a":{"b":[1]}}' }),
  (fetchId) => ({ type: 'fetched', fetchId, status: 302, body: '' }),
  (streamId) => ({ type: 'streamStarted', streamId, streamSid: 's' }),
  (streamId) => ({ type: 'streamEnded', streamId, report: REPORT }),
  (dialId) => ({ type: 'dialAnswered', dialId }),
  (dialId) => ({ type: 'dialTransferred', dialId, target: 'sip:+1@x' }),
  (dialId) => ({ type: 'dialEnded', dialId, outcome: 'busy', sipStatus: 486 }),
  (dialId) => ({ type: 'dialEnded', dialId, outcome: 'completed', sipStatus: 200 }),
  (recordId) => ({ type: 'recordEnded', recordId, end: 'stopped', durationMs: 900, url }),
  (timerId) => ({ type: 'timer', timerId }),
  (transferId, document) => ({ type: 'flowLoaded', transferId, flow: document }),
  (referId) => ({ type: 'referEnded', referId, accepted: true, sipStatus: 202 }),
  () => ({ type: 'mediaFailed', detail: 'x' }),
];

/** Lets things happen to a call in this flow until it hangs up; then it must come to an end by its timers. */
const walk = (document: FlowDocument, seed: number): void => {
  const dice = new Dice(seed);
  let state = initialState(document, APPLETS, FACTS);
  const ids = new Set<string>(['x']);
  const timers = new Set<string>();
  const send = (event: FlowEvent, nowMs: number): void => {
    const done = advance(state, event, nowMs);
    state = done.state;
    for (const effect of done.effects) {
      for (const [key, value] of Object.entries(effect))
        if (key.endsWith('Id') && typeof value === 'string') ids.add(value);
      if (effect.type === 'setTimer') timers.add(effect.timerId);
    }
  };
  send({ type: 'started' }, 0);
  for (let step = 1; step <= 60 && state.status !== 'ended'; step++) {
    send(dice.pick(EVENTS)(dice.pick([...ids]), document), step * 150);
  }
  send({ type: 'callerHungUp' }, 20_000);
  for (const timerId of timers) send({ type: 'timer', timerId }, 1_000_000);
  expect(state.status === 'ended', 'flow-hangs', () => show(JSON.stringify(dumpFlow(state))));
};

const checkText = (text: string): void => {
  const expression = parseExpression(text);
  const lookup = (path: readonly string[]): string => path.join('.');
  if (expression.ok) void evaluate(expression.value, lookup);
  const template = parseTemplate(text);
  if (template.ok) void fillTemplate(template.value, lookup);
  void planOfAnswer(text, { to: [], mode: 'sequential' } as never);
};

const textsOf = (value: unknown, found: string[] = []): string[] => {
  if (typeof value === 'string') found.push(value);
  else if (typeof value === 'object' && value !== null && found.length < 200) {
    for (const member of Object.values(value)) textsOf(member, found);
  }
  return found;
};

const hashOf = (input: Buffer): number => input.reduce((hash, octet) => (Math.imul(hash, 31) + octet) >>> 0, 7);

export const flowTarget: Target = {
  name: 'flow',
  kind: 'json',
  covers: ['/src/call/flow/', '/src/call/applets/', '/src/call/routing/'],
  words: WORDS,
  maxBytes: 40_000,
  seeds: () => [...SEEDS.map((seed) => Buffer.from(JSON.stringify(seed))), ...documentOf('config/demo.routing.yaml')],
  run: (input) => {
    const text = input.toString('utf8');
    checkText(text.slice(0, 4096));
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return;
    }
    for (const piece of textsOf(json)) checkText(piece);
    const checked = checkFlow(structuredClone(json));
    if (checked.ok) {
      walk(checked.value.flow, hashOf(input));
      const again = checkFlow(structuredClone(checked.value.flow));
      expect(again.ok, 'flow-unstable', () => show(text));
    }
    const document = validateDocument(structuredClone(json));
    if (document.ok)
      expect(validateDocument(structuredClone(document.value)).ok, 'document-unstable', () => show(text));
  },
};
