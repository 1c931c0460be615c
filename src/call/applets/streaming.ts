/** What voicebot and stream have in common: params, the effect, the report's words. */
import { type Static, type TObject, Type } from '../../kernel/index.js';
import type { NodeRun, ReportProblem } from '../flow/applet.js';
import type { StreamEffect } from '../flow/effects.js';
import type { FlowStreamReport } from '../flow/events.js';
import type { Values } from '../flow/values.js';

/** Handshake of 10 s, one retry, and the media plane's own moment. */
export const START_LIMIT_MS = 25_000;
/** From asking a stream to stop to its report. */
export const STOP_LIMIT_MS = 3000;

/** AgentStream takes 3 custom parameters of 256 characters in all, and URLs below 600. */
const EXOTEL_PARAMETERS = 3;
const EXOTEL_PARAMETER_TEXT = 256;
const EXOTEL_URL = 600;

export const streamFields = {
  url: Type.String({ minLength: 6, maxLength: 2048, description: 'ws, wss, or http(s) answering with one' }),
  dialect: Type.Union(
    [Type.Literal('exotel'), Type.Literal('twilio'), Type.Literal('plivo'), Type.Literal('jambonz')],
    { default: 'exotel' },
  ),
  sample_rate: Type.Union([Type.Literal(8000), Type.Literal(16_000), Type.Literal(24_000)], { default: 8000 }),
  encoding: Type.Optional(Type.Union([Type.Literal('l16'), Type.Literal('mulaw')])),
  frame_ms: Type.Optional(Type.Integer({ minimum: 20, maximum: 1000, multipleOf: 20 })),
  max_ms: Type.Integer({ minimum: 1000, maximum: 3_600_000, default: 3_600_000 }),
  custom_parameters: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1024 }), {
    default: {},
    maxProperties: 20,
  }),
};

export type StreamParams = Static<TObject<typeof streamFields>>;

/** Encoding that a dialect has where the flow names none: Twilio knows mu-law at 8 kHz only. */
const encodingOf = (params: StreamParams): 'l16' | 'mulaw' =>
  params.encoding ?? (params.dialect === 'twilio' ? 'mulaw' : 'l16');

export function checkStream(params: StreamParams, report: ReportProblem): void {
  const { url, dialect, custom_parameters: custom } = params;
  if (!/^(?:wss?|https?):\/\//i.test(url) && !url.startsWith('{{')) {
    report('url', 'must begin with ws://, wss://, http:// or https://');
  }
  if (dialect === 'twilio' && (params.sample_rate !== 8000 || encodingOf(params) !== 'mulaw')) {
    report('sample_rate', 'twilio streams are mulaw at 8000 only');
  }
  if (dialect === 'exotel') for (const [path, rule] of exotelBreaches(url, custom)) report(path, rule);
}

/** What AgentStream would not take, and what to do about it. */
function exotelBreaches(url: string, custom: StreamEffect['customParameters']): (readonly [string, string])[] {
  const breaches: (readonly [string, string])[] = [];
  const entries = Object.entries(custom);
  const text = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (url.length >= EXOTEL_URL) {
    const rule = `must be shorter than ${EXOTEL_URL} characters in the exotel dialect: send an id, let the bot ask for the rest`;
    breaches.push(['url', rule]);
  }
  if (entries.length > EXOTEL_PARAMETERS) {
    const rule = `must be at most ${EXOTEL_PARAMETERS} in the exotel dialect: put several into one`;
    breaches.push(['custom_parameters', rule]);
  }
  if (text > EXOTEL_PARAMETER_TEXT) {
    const rule = `must be at most ${EXOTEL_PARAMETER_TEXT} characters in all, names included, in the exotel dialect`;
    breaches.push(['custom_parameters', `${rule}: send an id, let the bot ask for the rest`]);
  }
  return breaches;
}

/** Templates may make more of a URL and of parameters than was published. @returns what is too much for the dialect */
export function streamBreach({ dialect, url, customParameters }: StreamEffect): string | undefined {
  const [breach] = dialect === 'exotel' ? exotelBreaches(url, customParameters) : [];
  return breach?.join(' ');
}

export function streamEffect(run: NodeRun, params: StreamParams, direction: StreamEffect['direction']): StreamEffect {
  const url = run.url(params.url);
  run.input('url', url);
  run.input('dialect', params.dialect);
  const custom = Object.entries(params.custom_parameters).map(([name, text]) => [name, run.text(text)] as const);
  return {
    type: 'startStream',
    streamId: run.newId('stream'),
    url,
    dialect: params.dialect,
    direction,
    sampleRate: params.sample_rate,
    encoding: encodingOf(params),
    frameMs: params.frame_ms,
    maxMs: params.max_ms,
    customParameters: Object.fromEntries(custom),
    background: direction === 'fork',
  };
}

export const streamResults = (report: FlowStreamReport): Values => ({
  stream_sid: report.streamSid,
  status: report.status,
  disconnected_by: report.disconnectedBy,
  detail: report.detail,
  duration_ms: report.durationMs,
});
