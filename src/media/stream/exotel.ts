/** Exotel AgentStream: JSON text, base64 of L16 at 8, 16 or 24 kHz. Numbers are numbers, but for times. */
import {
  type Dialect,
  type DialectContext,
  audioOf,
  isJson,
  malformed,
  markOf,
  parseJson,
  textOf,
  unknownKind,
} from './dialect.js';

const RATES: ReadonlySet<number> = new Set([8000, 16_000, 24_000]);

/** `?sample-rate=16000` on the URL decides; the applet's own setting otherwise. */
const rateOf = (url: string, otherwise: number): number => {
  const query = /\?([^#]*)/.exec(url)?.[1] ?? '';
  const asked = Number(new URLSearchParams(query).get('sample-rate') ?? NaN);
  return RATES.has(asked) ? asked : otherwise;
};

const numbered = (context: DialectContext, event: string, rest: object): string =>
  JSON.stringify({
    event,
    sequence_number: ++context.counters.sequence,
    stream_sid: context.spec.streamSid,
    ...rest,
  });

export const exotel: Dialect = {
  name: 'exotel',
  protocols: [],
  frameMs: 100,

  format: (spec) => ({ encoding: 'l16', sampleRate: rateOf(spec.url, spec.sampleRate) }),

  opening: (context) => {
    const { spec, format } = context;
    return [
      JSON.stringify({ event: 'connected' }),
      numbered(context, 'start', {
        start: {
          stream_sid: spec.streamSid,
          call_sid: spec.callSid,
          account_sid: spec.accountSid,
          from: spec.from,
          to: spec.to,
          custom_parameters: spec.customParameters,
          media_format: {
            encoding: 'raw',
            sample_rate: String(format.sampleRate),
            bit_rate: `${(format.sampleRate * 16) / 1000}kbps`,
          },
        },
      }),
    ];
  },

  // By hand, here and in the other dialects: it is nearly all that is ever sent.
  media: ({ counters, spec }, audio, offsetMs) =>
    `{"event":"media","sequence_number":${++counters.sequence},"stream_sid":${JSON.stringify(spec.streamSid)},` +
    `"media":{"chunk":${++counters.chunk},"timestamp":"${offsetMs}","payload":"${audio.toString('base64')}"}}`,

  dtmf: (context, digit, durationMs) => numbered(context, 'dtmf', { dtmf: { digit, duration: String(durationMs) } }),

  marked: (context, name) => numbered(context, 'mark', { mark: { name } }),

  cleared: () => undefined,

  stop: (context, reason) =>
    numbered(context, 'stop', {
      stop: { call_sid: context.spec.callSid, account_sid: context.spec.accountSid, reason },
    }),

  read: (text, format) => {
    const message = parseJson(text);
    if (message === undefined) return malformed('not a JSON object');
    switch (message['event']) {
      case 'media': {
        const media = message['media'];
        const audio = isJson(media) ? audioOf(textOf(media, 'payload')) : undefined;
        return audio === undefined ? malformed('media.payload is not base64') : { kind: 'media', audio, format };
      }
      case 'mark':
        return markOf(message['mark'], 'name', 'mark.name');
      case 'clear':
        return { kind: 'clear' };
      default:
        return unknownKind(message, 'event');
    }
  },
};
