/** Plivo AudioStream: JSON text, base64; each message to us names its own audio format. */
import {
  type AudioFormat,
  type BotMessage,
  type Dialect,
  type DialectContext,
  type Json,
  audioOf,
  isJson,
  malformed,
  markOf,
  parseJson,
  textOf,
  unknownKind,
} from './dialect.js';

const RATES: ReadonlySet<number> = new Set([8000, 16_000]);

const numbered = (context: DialectContext, event: string, rest: object): string =>
  JSON.stringify({
    sequenceNumber: context.counters.sequence++,
    streamId: context.spec.streamSid,
    event,
    ...rest,
  });

const extraHeaders = (context: DialectContext): string => JSON.stringify(context.spec.customParameters);

const readAudio = (message: Json): BotMessage => {
  const media = message['media'];
  if (!isJson(media)) return malformed('media is missing');
  const audio = audioOf(textOf(media, 'payload'));
  if (audio === undefined) return malformed('media.payload is not base64');
  const rate = Number(media['sampleRate'] ?? 8000);
  if (!RATES.has(rate)) return malformed('media.sampleRate is neither 8000 nor 16000');
  const type = textOf(media, 'contentType') ?? 'audio/x-l16';
  if (type !== 'audio/x-l16' && type !== 'audio/x-mulaw') return malformed('media.contentType is not known');
  const format: AudioFormat = { encoding: type === 'audio/x-mulaw' ? 'mulaw' : 'l16', sampleRate: rate };
  return { kind: 'media', audio, format };
};

export const plivo: Dialect = {
  name: 'plivo',
  protocols: [],
  frameMs: 20,

  format: (spec) => ({
    encoding: spec.encoding,
    sampleRate: spec.encoding === 'mulaw' || spec.sampleRate > 16_000 ? 8000 : spec.sampleRate,
  }),

  opening: (context) => {
    const { spec, format } = context;
    return [
      // The one message that names the stream inside.
      JSON.stringify({
        sequenceNumber: context.counters.sequence++,
        event: 'start',
        start: {
          callId: spec.callSid,
          streamId: spec.streamSid,
          accountId: spec.accountSid,
          tracks: ['inbound'],
          mediaFormat: {
            encoding: format.encoding === 'mulaw' ? 'audio/x-mulaw' : 'audio/x-l16',
            sampleRate: format.sampleRate,
          },
        },
        extra_headers: extraHeaders(context),
      }),
    ];
  },

  media: (context, audio) =>
    `{"sequenceNumber":${context.counters.sequence++},"streamId":${JSON.stringify(context.spec.streamSid)},` +
    `"event":"media","media":{"track":"inbound","timestamp":"${context.wallMs}","chunk":${++context.counters.chunk},` +
    `"payload":"${audio.toString('base64')}"},"extra_headers":${JSON.stringify(extraHeaders(context))}}`,

  dtmf: (context, digit) =>
    numbered(context, 'dtmf', { dtmf: { track: 'inbound', digit, timestamp: String(context.wallMs) } }),

  // Checkpoints that are thrown away are not confirmed: clearedAudio says so for all of them.
  marked: (context, name, cleared) => (cleared ? undefined : numbered(context, 'playedStream', { name })),

  cleared: (context) => numbered(context, 'clearedAudio', {}),

  stop: (context) => numbered(context, 'stop', {}),

  read: (text) => {
    const message = parseJson(text);
    if (message === undefined) return malformed('not a JSON object');
    switch (message['event']) {
      case 'playAudio':
        return readAudio(message);
      case 'checkpoint':
        return markOf(message, 'name', 'name');
      case 'clearAudio':
        return { kind: 'clear' };
      case 'sendDTMF': {
        const digits = textOf(message, 'dtmf');
        return digits === undefined ? malformed('dtmf is missing') : { kind: 'dtmf', digits };
      }
      default:
        return unknownKind(message, 'event');
    }
  },
};
