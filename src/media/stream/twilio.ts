/** Twilio Media Streams: JSON text, base64 of mu-law at 8 kHz. Numbers travel as strings. */
import { type AudioFormat, type Dialect, type DialectContext } from './dialect.js';
import { exotel } from './exotel.js';

const FORMAT: AudioFormat = { encoding: 'mulaw', sampleRate: 8000 };

const numbered = (context: DialectContext, event: string, rest: object): string =>
  JSON.stringify({
    event,
    sequenceNumber: String(++context.counters.sequence),
    ...rest,
    streamSid: context.spec.streamSid,
  });

export const twilio: Dialect = {
  name: 'twilio',
  protocols: [],
  frameMs: 20,

  format: () => FORMAT,

  opening: (context) => {
    const { spec } = context;
    return [
      JSON.stringify({ event: 'connected', protocol: 'Call', version: '1.0.0' }),
      numbered(context, 'start', {
        start: {
          streamSid: spec.streamSid,
          accountSid: spec.accountSid,
          callSid: spec.callSid,
          tracks: ['inbound'],
          customParameters: spec.customParameters,
          mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
        },
      }),
    ];
  },

  media: ({ counters, spec }, audio, offsetMs) =>
    `{"event":"media","sequenceNumber":"${++counters.sequence}","media":{"track":"inbound",` +
    `"chunk":"${++counters.chunk}","timestamp":"${offsetMs}","payload":"${audio.toString('base64')}"},` +
    `"streamSid":${JSON.stringify(spec.streamSid)}}`,

  dtmf: (context, digit) => numbered(context, 'dtmf', { dtmf: { track: 'inbound_track', digit } }),

  marked: (context, name) => numbered(context, 'mark', { mark: { name } }),

  cleared: () => undefined,

  stop: (context) =>
    numbered(context, 'stop', {
      stop: { accountSid: context.spec.accountSid, callSid: context.spec.callSid },
    }),

  // What bots send has the same form in both dialects: event, media.payload, mark.name.
  read: (text) => exotel.read(text, FORMAT),
};
