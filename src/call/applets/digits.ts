/**
 * Collects keys: prompt, barge-in, the two timeouts, finish key, retries. Gather and menu differ only in what they
 * take for an answer, which is `Asking.judge`.
 */
import { type Static, type TObject, Type } from '../../kernel/index.js';
import { type NodeRun, type Outcome, exit, wait } from '../flow/applet.js';
import type { FlowSource } from '../flow/effects.js';
import type { FlowEvent } from '../flow/events.js';
import { PLAY_LIMIT_MS, SourcesSchema, sourcesOf } from './sources.js';

export const KEY = '^[0-9*#A-D]$';

/** Params of everything that asks for keys. */
export const askingFields = {
  prompt: Type.Optional(SourcesSchema),
  invalid_prompt: Type.Optional(SourcesSchema),
  timeout_prompt: Type.Optional(SourcesSchema),
  barge_in: Type.Boolean({ default: true, description: 'a key during the prompt silences it and counts' }),
  type_ahead: Type.Boolean({ default: false, description: 'keys pressed before the prompt count' }),
  first_digit_ms: Type.Integer({ minimum: 100, maximum: 300_000, default: 5000 }),
  inter_digit_ms: Type.Integer({ minimum: 100, maximum: 60_000, default: 3000 }),
  finish_key: Type.Union([Type.String({ pattern: KEY }), Type.Literal('')], { default: '#' }),
  retries: Type.Integer({ minimum: 0, maximum: 10, default: 2 }),
};

/** What is asked, with the templates of the params still in it. */
export interface Asking {
  readonly prompt: readonly FlowSource[];
  readonly invalidPrompt: readonly FlowSource[];
  readonly timeoutPrompt: readonly FlowSource[];
  readonly bargeIn: boolean;
  readonly typeAhead: boolean;
  readonly firstDigitMs: number;
  readonly interDigitMs: number;
  /** Empty: none. */
  readonly finishKey: string;
  readonly retries: number;
  /** What keys pressed so far mean; `end`: no more will come. */
  judge(digits: string, end: boolean): 'more' | 'valid' | 'invalid';
  /** Exit of a valid answer. */
  exitOf(digits: string): string;
}

/** What the params say alike of whatever is asked. */
export const askedBy = (params: Omit<Static<TObject<typeof askingFields>>, 'finish_key'>) => ({
  prompt: sourcesOf(params.prompt ?? []),
  invalidPrompt: sourcesOf(params.invalid_prompt ?? []),
  timeoutPrompt: sourcesOf(params.timeout_prompt ?? []),
  bargeIn: params.barge_in,
  typeAhead: params.type_ahead,
  firstDigitMs: params.first_digit_ms,
  interDigitMs: params.inter_digit_ms,
  retries: params.retries,
});

export interface Collecting {
  readonly gatherId: string;
  /** Prompt that plays; undefined while it is silent and the caller is waited for. */
  readonly playId: string | undefined;
  readonly digits: string;
  readonly retriesLeft: number;
}

/** Asks for the first time. */
export function ask(run: NodeRun, asking: Asking): Outcome<Collecting> {
  const typed = run.takeTyped();
  const gatherId = run.newId('gather');
  run.emit({ type: 'startGather', gatherId });
  let outcome = prompt(
    run,
    { gatherId, playId: undefined, digits: '', retriesLeft: asking.retries },
    asking.prompt,
    asking,
  );
  if (!asking.typeAhead) return outcome;
  for (const key of typed) {
    if (outcome.kind !== 'wait') break;
    outcome = onKey(run, asking, outcome.data, key);
  }
  return outcome;
}

/** Goes on with whatever happened. */
export function collect(run: NodeRun, asking: Asking, data: Collecting, event: FlowEvent): Outcome<Collecting> {
  if (event.type === 'digit') return onKey(run, asking, data, event.digit);
  if (run.isTimer(event, 'prompt')) {
    if (data.playId !== undefined) run.emit({ type: 'stopPlay', playId: data.playId });
    return listen(run, asking, data);
  }
  // A prompt that cannot be played leaves the caller in silence, but keys still work.
  if (event.type === 'playEnded' && event.playId === data.playId) {
    run.cancelTimer('prompt');
    return listen(run, asking, data);
  }
  if (!run.isTimer(event, 'key')) return wait(data);
  if (data.digits === '') return again(run, asking, data, 'timeout');
  return judged(run, asking, data, true);
}

function prompt(run: NodeRun, data: Collecting, sources: readonly FlowSource[], asking: Asking): Outcome<Collecting> {
  if (sources.length === 0) return listen(run, asking, data);
  const playId = run.play(sources);
  run.setTimer('prompt', PLAY_LIMIT_MS);
  return wait({ ...data, playId, digits: '' });
}

function listen(run: NodeRun, asking: Asking, data: Collecting): Outcome<Collecting> {
  run.setTimer('key', asking.firstDigitMs);
  return wait({ ...data, playId: undefined });
}

function onKey(run: NodeRun, asking: Asking, data: Collecting, key: string): Outcome<Collecting> {
  if (data.playId !== undefined) {
    // The key is taken, and lost: the designer wants the prompt heard to its end.
    if (!asking.bargeIn) return wait({ ...data });
    run.emit({ type: 'stopPlay', playId: data.playId });
    run.cancelTimer('prompt');
  }
  const silent = { ...data, playId: undefined };
  if (asking.finishKey !== '' && key === asking.finishKey) return judged(run, asking, silent, true);
  return judged(run, asking, { ...silent, digits: data.digits + key }, false);
}

function judged(run: NodeRun, asking: Asking, data: Collecting, end: boolean): Outcome<Collecting> {
  const verdict = asking.judge(data.digits, end);
  if (verdict === 'invalid') return again(run, asking, data, 'invalid');
  if (verdict === 'more') {
    run.setTimer('key', asking.interDigitMs);
    return wait(data);
  }
  run.cancelTimer('key');
  run.remember({ digits: data.digits });
  return exit(asking.exitOf(data.digits), { digits: data.digits, tries: asking.retries - data.retriesLeft + 1 });
}

function again(run: NodeRun, asking: Asking, data: Collecting, why: 'timeout' | 'invalid'): Outcome<Collecting> {
  run.cancelTimer('key');
  if (data.retriesLeft <= 0) {
    // What was pressed last may be of use to whoever follows, even if it was no answer.
    return exit(why, { digits: data.digits, tries: asking.retries + 1 });
  }
  const words = why === 'timeout' ? asking.timeoutPrompt : asking.invalidPrompt;
  const fresh = { ...data, digits: '', retriesLeft: data.retriesLeft - 1 };
  return prompt(run, fresh, [...words, ...asking.prompt], asking);
}
