/** What a flow says of a connect, and the plan that follows from it. */
import { type Static, Type } from '../../kernel/index.js';
import type { NodeRun, ReportProblem } from '../flow/applet.js';
import { hasTemplate } from '../flow/template.js';
import { type DialPlan, MAX_TARGETS, isCallerId, isDigits, targetOf } from './dialPlan.js';
import { SourcesSchema, sourcesOf } from './sources.js';

const url = Type.String({ minLength: 8, maxLength: 2048 });

export const ConnectParams = Type.Object(
  {
    to: Type.Array(Type.String({ minLength: 1, maxLength: 512 }), {
      default: [],
      maxItems: MAX_TARGETS,
      description: 'sip:<trunk_sid>, numbers, SIP URIs',
    }),
    mode: Type.Union([Type.Literal('serial'), Type.Literal('parallel')], { default: 'serial' }),
    max_parallel: Type.Integer({ minimum: 1, maximum: MAX_TARGETS, default: 10 }),
    ring_ms: Type.Integer({ minimum: 1000, maximum: 300_000, default: 30_000, description: 'per target' }),
    talk_ms: Type.Optional(Type.Integer({ minimum: 1000, maximum: 86_400_000 })),
    caller_id: Type.Optional(Type.String({ maxLength: 256 })),
    music_on_hold: Type.Optional(SourcesSchema),
    early_media: Type.Boolean({
      default: false,
      description: 'music_on_hold is played before the answer, as early media',
    }),
    whisper: Type.Optional(SourcesSchema),
    whisper_to: Type.Union([Type.Literal('callee'), Type.Literal('both')], { default: 'callee' }),
    record: Type.Boolean({ default: false }),
    recording_channels: Type.Union([Type.Literal('single'), Type.Literal('dual')], { default: 'single' }),
    send_digits: Type.Optional(Type.String({ maxLength: 256, description: 'keys for the callee; w waits' })),
    media: Type.Union([Type.Literal('auto'), Type.Literal('anchored')], {
      default: 'auto',
      description: 'auto: directly between the ends where nothing needs the audio',
    }),
    url: Type.Optional(url),
    fallback_url: Type.Optional(url),
    fetch_timeout_ms: Type.Integer({ minimum: 100, maximum: 30_000, default: 5000 }),
    time_zone: Type.String({
      default: 'Asia/Kolkata',
      maxLength: 64,
      description: 'of the times that the URL is told',
    }),
  },
  { additionalProperties: false },
);
export type ConnectParams = Static<typeof ConnectParams>;

export function checkConnect(params: ConnectParams, report: ReportProblem): void {
  if (params.to.length === 0 && params.url === undefined)
    report('to', "must name somebody, or 'url' a server that does");
  if (params.url === undefined && params.fallback_url !== undefined) report('fallback_url', "needs 'url'");
  params.to.forEach((text, i) => {
    if (!hasTemplate(text) && targetOf(text) === undefined) {
      report(`to[${i}]`, 'must be sip:<trunk_sid>, a number, or a SIP URI with a user');
    }
  });
  for (const name of ['url', 'fallback_url'] as const) {
    const text = params[name];
    if (text !== undefined && !/^https?:\/\//i.test(text) && !text.startsWith('{{')) {
      report(name, 'must begin with http:// or https://');
    }
  }
}

/** The plan as far as the flow says it. Targets that a template made into nothing callable are left out. */
export function planOf(run: NodeRun, params: ConnectParams): DialPlan {
  const callerId = run.text(params.caller_id ?? '');
  const digits = run.text(params.send_digits ?? '');
  const targets = params.to.map((text) => targetOf(run.url(text))).filter((target) => target !== undefined);
  return {
    targets,
    parallel: params.mode === 'serial' ? 1 : params.max_parallel,
    ringMs: params.ring_ms,
    talkMs: params.talk_ms,
    callerId: isCallerId(callerId) ? callerId : undefined,
    musicOnHold: sourcesOf(params.music_on_hold ?? []),
    whisper: sourcesOf(params.whisper ?? []),
    whisperToBoth: params.whisper_to === 'both',
    record: params.record ? (params.recording_channels === 'dual' ? 'stereo' : 'mono') : undefined,
    sendDigits: isDigits(digits) ? digits : '',
    fetchAfterAttempt: false,
    eventUrl: '',
    customParameters: [],
  };
}
