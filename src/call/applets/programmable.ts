/** Programmable connect: a server says whom to call. Primary URL, then the fallback URL. */
import { err, ok, type Result, schemaChecks, type Static, Type } from '../../kernel/index.js';
import type { FlowSource } from '../flow/effects.js';
import { type DialPlan, MAX_TARGETS, isCallerId, targetOf } from './dialPlan.js';

const seconds = Type.Integer({ minimum: 1, maximum: 86_400 });
const text = (maxLength: number) => Type.String({ maxLength });

/** Keys that we do not know are let through: servers send what suits other readers, too. */
const AnswerSchema = Type.Object({
  fetch_after_attempt: Type.Optional(Type.Boolean()),
  destination: Type.Union([
    Type.Object({ numbers: Type.Array(text(512), { minItems: 1, maxItems: MAX_TARGETS }) }),
    Type.Object({ trunk: text(128) }),
  ]),
  outgoing_phone_number: Type.Optional(text(64)),
  record: Type.Optional(Type.Boolean()),
  recording_channels: Type.Optional(Type.Union([Type.Literal('single'), Type.Literal('dual')])),
  max_ringing_duration: Type.Optional(seconds),
  max_conversation_duration: Type.Optional(seconds),
  music_on_hold: Type.Optional(Type.Object({ type: text(64), value: Type.Optional(text(2048)) })),
  start_call_playback: Type.Optional(
    Type.Object({
      playback_to: Type.Union([Type.Literal('both'), Type.Literal('callee')]),
      type: Type.Union([Type.Literal('text'), Type.Literal('audio_url')]),
      value: Type.String({ minLength: 1, maxLength: 2048 }),
    }),
  ),
  parallel_ringing: Type.Optional(
    Type.Object({
      activate: Type.Boolean(),
      max_parallel_attempts: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_TARGETS })),
    }),
  ),
  dial_passthru_event_url: Type.Optional(text(2048)),
  custom_params: Type.Optional(text(1024)),
});
type Answer = Static<typeof AnswerSchema>;

const isAnswer = schemaChecks({ strict: false })(AnswerSchema);

/** Two tones of a telephone at rest, for servers that ask for music without naming any. */
const DEFAULT_MUSIC: readonly FlowSource[] = [
  { kind: 'tone', frequenciesHz: [440], durationMs: 400 },
  { kind: 'silence', durationMs: 3600 },
];

/** @param base what the flow says, for whatever the server leaves open */
export function planOfAnswer(body: string, base: DialPlan): Result<DialPlan, string> {
  const data = parseJson(body);
  if (!isAnswer(data)) {
    const [problem] = isAnswer.errors;
    const at = problem === undefined ? '' : `${problem.instancePath.slice(0, 64)} ${problem.message ?? ''}`;
    return err(`the server's answer does not say whom to call: ${at.trim()}`);
  }
  const answer = data as Answer;
  const { destination } = answer;
  const names = 'numbers' in destination ? destination.numbers : [`sip:${destination.trunk.replace(/^sip:/i, '')}`];
  const targets = names.map(targetOf);
  const wrong = targets.indexOf(undefined);
  if (wrong >= 0) return err(`destination ${wrong + 1} is no number, trunk or SIP URI`);
  const callerId = answer.outgoing_phone_number;
  if (callerId !== undefined && !isCallerId(callerId)) return err('outgoing_phone_number is none');
  return ok({
    ...base,
    targets: targets.filter((target) => target !== undefined),
    parallel: parallelOf(answer, targets.length, base),
    ringMs: answer.max_ringing_duration === undefined ? base.ringMs : answer.max_ringing_duration * 1000,
    talkMs: answer.max_conversation_duration === undefined ? base.talkMs : answer.max_conversation_duration * 1000,
    callerId: callerId ?? base.callerId,
    musicOnHold: musicOf(answer, base),
    ...whisperOf(answer, base),
    record: recordOf(answer, base),
    fetchAfterAttempt: answer.fetch_after_attempt === true,
    eventUrl: isHttp(answer.dial_passthru_event_url ?? '') ? (answer.dial_passthru_event_url as string) : '',
    customParameters: pairsOf(answer.custom_params ?? ''),
  });
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

const isHttp = (url: string): boolean => /^https?:\/\//i.test(url);

function parallelOf(answer: Answer, targets: number, base: DialPlan): number {
  const ringing = answer.parallel_ringing;
  if (ringing === undefined) return base.parallel;
  return ringing.activate ? (ringing.max_parallel_attempts ?? targets) : 1;
}

function musicOf(answer: Answer, base: DialPlan): readonly FlowSource[] {
  const music = answer.music_on_hold;
  if (music === undefined) return base.musicOnHold;
  if (music.type === 'operator_tone') return [];
  return isHttp(music.value ?? '') ? [{ kind: 'url', url: music.value as string }] : DEFAULT_MUSIC;
}

function whisperOf(answer: Answer, base: DialPlan): Pick<DialPlan, 'whisper' | 'whisperToBoth'> {
  const playback = answer.start_call_playback;
  if (playback === undefined) return { whisper: base.whisper, whisperToBoth: base.whisperToBoth };
  const source: FlowSource =
    playback.type === 'text'
      ? { kind: 'text', text: playback.value, voice: undefined }
      : { kind: 'url', url: playback.value };
  return { whisper: [source], whisperToBoth: playback.playback_to === 'both' };
}

function recordOf(answer: Answer, base: DialPlan): DialPlan['record'] {
  if (answer.record === undefined) return base.record;
  if (!answer.record) return undefined;
  return answer.recording_channels === 'dual' ? 'stereo' : 'mono';
}

/** `a=b&c=d`. */
function pairsOf(text: string): (readonly [string, string])[] {
  if (text === '') return [];
  return text.split('&', 32).map((pair) => {
    const equals = pair.indexOf('=');
    return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
  });
}
