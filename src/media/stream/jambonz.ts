/** jambonz listen/stream: one JSON text with the call, then bare binary L16 in both directions. */
import { parseWav } from '../codec/wav.js';
import {
  type BotMessage,
  type Dialect,
  type Json,
  audioOf,
  isJson,
  malformed,
  markOf,
  parseJson,
  textOf,
  unknownKind,
} from './dialect.js';

/** Rates of a clip: those that jambonz names, and those of common WAV files. Each costs a filter of its own. */
const CLIP_RATES: ReadonlySet<number> = new Set([8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000]);

const MAX_ID = 256;

const readClip = (data: Json, rate: number): BotMessage => {
  const content = audioOf(textOf(data, 'audioContent'));
  if (content === undefined) return malformed('data.audioContent is not base64');
  const id = (textOf(data, 'id') ?? '').slice(0, MAX_ID);
  const type = data['audioContentType'];
  if (type === 'wav' || type === 'wave') {
    const wav = parseWav(content);
    if (!wav.ok || wav.value.encoding !== 'pcm16' || wav.value.channels !== 1) {
      return malformed('data.audioContent is not a mono WAV file of 16-bit PCM');
    }
    return clip(wav.value.data, wav.value.sampleRate, id);
  }
  return clip(content, Number(data['sampleRate'] ?? rate), id);
};

const clip = (audio: Buffer, sampleRate: number, id: string): BotMessage =>
  CLIP_RATES.has(sampleRate)
    ? { kind: 'clip', audio, format: { encoding: 'l16', sampleRate }, id }
    : malformed('the sample rate of the audio is not served');

export const jambonz: Dialect = {
  name: 'jambonz',
  protocols: ['audio.jambonz.org'],
  frameMs: 20,

  format: (spec) => ({ encoding: 'l16', sampleRate: spec.sampleRate }),

  opening: ({ spec, format }) => [
    JSON.stringify({
      // Metadata lies beside the call's own attributes and does not replace them.
      ...spec.customParameters,
      callSid: spec.callSid,
      accountSid: spec.accountSid,
      from: spec.from,
      to: spec.to,
      sampleRate: format.sampleRate,
      mixType: 'mono',
    }),
  ],

  media: (_context, audio) => audio,

  dtmf: (_context, digit, durationMs) => JSON.stringify({ event: 'dtmf', dtmf: digit, duration: String(durationMs) }),

  marked: (_context, name, cleared) =>
    JSON.stringify({ type: 'mark', data: { name, event: cleared ? 'cleared' : 'playout' } }),

  clipPlayed: (_context, id) => JSON.stringify({ type: 'playDone', data: id === '' ? {} : { id } }),

  cleared: () => undefined,

  stop: () => undefined,

  read: (text, format) => {
    const message = parseJson(text);
    if (message === undefined) return malformed('not a JSON object');
    const data = isJson(message['data']) ? message['data'] : {};
    switch (message['type']) {
      case 'playAudio':
        return readClip(data, format.sampleRate);
      case 'mark':
        return markOf(data, 'name', 'data.name');
      case 'killAudio':
        return { kind: 'clear' };
      case 'clearMarks':
        return { kind: 'clearMarks' };
      case 'disconnect':
        return { kind: 'disconnect' };
      default:
        return unknownKind(message, 'type');
    }
  },

  readBinary: (audio, format) => ({ kind: 'media', audio, format }),
};
