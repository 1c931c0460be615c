import { type Static, Type } from '../../kernel/index.js';
import { type NodeRun, type Outcome, defineApplet, exit, fail, wait } from '../flow/applet.js';
import type { FlowEvent } from '../flow/events.js';
import { KEY } from './digits.js';
import { PLAY_LIMIT_MS, SourcesSchema, labelOf, sourcesOf } from './sources.js';

const Params = Type.Object(
  {
    what: Type.Union([Type.Literal('message'), Type.Literal('call')], {
      default: 'message',
      description: 'message: voicemail; call: from here on, while the flow goes on',
    }),
    prompt: Type.Optional(SourcesSchema),
    beep: Type.Boolean({ default: true }),
    max_ms: Type.Integer({ minimum: 1000, maximum: 14_400_000, default: 120_000 }),
    silence_ms: Type.Integer({ minimum: 500, maximum: 60_000, default: 5000 }),
    min_ms: Type.Integer({ minimum: 0, maximum: 60_000, default: 0, description: 'shorter messages are none' }),
    finish_key: Type.Union([Type.String({ pattern: KEY }), Type.Literal('')], { default: '#' }),
    channels: Type.Union([Type.Literal('mono'), Type.Literal('stereo')], { default: 'mono' }),
  },
  { additionalProperties: false },
);
type RecordParams = Static<typeof Params>;

type Recording =
  | { readonly phase: 'prompt'; readonly playId: string }
  | { readonly phase: 'recording' | 'stopping'; readonly recordId: string; readonly sinceMs: number };

const BEEP = { kind: 'tone', frequenciesHz: [1000], durationMs: 250 } as const;
/** From asking a recording to stop, or its own limit, to its end. */
const STOP_LIMIT_MS = 5000;

function start(run: NodeRun, params: RecordParams): Outcome<Recording> {
  const recordId = run.newId('record');
  const { channels, max_ms: maxMs, silence_ms: silenceMs } = params;
  run.emit({ type: 'startRecord', recordId, channels, maxMs, silenceMs, background: false });
  run.setTimer('limit', params.max_ms + STOP_LIMIT_MS);
  return wait({ phase: 'recording', recordId, sinceMs: run.nowMs });
}

function stop(run: NodeRun, data: Recording): Outcome<Recording> {
  if (data.phase !== 'recording') return wait(data);
  run.emit({ type: 'stopRecord', recordId: data.recordId });
  run.cancelTimer('limit');
  run.setTimer('stop', STOP_LIMIT_MS);
  return wait({ ...data, phase: 'stopping' });
}

function ended(run: NodeRun, params: RecordParams, event: FlowEvent & { type: 'recordEnded' }): Outcome<Recording> {
  const results = { recording_url: event.url, duration_ms: event.durationMs, ended_by: event.end };
  if (event.end === 'failed') return fail('record_failed', 'the recording failed', results);
  if (event.durationMs < params.min_ms) return exit('empty', results);
  run.remember({ recordingUrl: event.url, voicemail: true });
  return exit('next', results);
}

/** Takes a message, or records the call from here on. */
export const record = defineApplet({
  name: 'record',
  does: 'Records a message of the caller (voicemail), or the call from here on.',
  params: Params,
  exits: (params) =>
    params.what === 'call'
      ? [{ name: 'next', unwired: 'refused' }]
      : [
          { name: 'next', unwired: 'ends' },
          { name: 'empty', unwired: params.min_ms > 0 ? 'refused' : 'ends' },
        ],
  needsAnswer: () => true,
  waitsForCaller: true,
  enter(run, params): Outcome<Recording> {
    run.input('what', params.what);
    run.input('prompt', labelOf(params.prompt ?? []));
    if (params.what === 'call') {
      const recordId = run.newId('record');
      const { channels } = params;
      run.emit({ type: 'startRecord', recordId, channels, maxMs: undefined, silenceMs: undefined, background: true });
      return exit('next', { record_id: recordId });
    }
    const sources = [...sourcesOf(params.prompt ?? []), ...(params.beep ? [BEEP] : [])];
    if (sources.length === 0) return start(run, params);
    run.setTimer('prompt', PLAY_LIMIT_MS);
    return wait({ phase: 'prompt', playId: run.play(sources) });
  },
  on(run, params, { data, event }): Outcome<Recording> {
    if (data.phase === 'prompt') {
      if (run.isTimer(event, 'prompt')) run.emit({ type: 'stopPlay', playId: data.playId });
      else if (event.type !== 'playEnded' || event.playId !== data.playId) return wait(data);
      run.cancelTimer('prompt');
      return start(run, params);
    }
    if (event.type === 'recordEnded' && event.recordId === data.recordId) return ended(run, params, event);
    if (run.isTimer(event, 'stop')) return fail('record_timeout', 'the recording did not end');
    if (run.isTimer(event, 'limit')) return stop(run, data);
    if (event.type === 'digit') return event.digit === params.finish_key ? stop(run, data) : wait({ ...data });
    return wait(data);
  },
  /** Most callers end a message by hanging up: it counts. */
  onHangUp: (run, _params, data) =>
    data.phase === 'prompt' ? exit('empty', { ended_by: 'caller_hung_up' }) : stop(run, data),
});
