/** jambonz listen/stream: one JSON text with the call, then bare binary L16 in both directions. */
import {
  type BotMessage,
  type Dialect,
  type Json,
  audioOf,
  ignored,
  isJson,
  malformed,
  parseJson,
  textOf,
} from './dialect.js';

/** A RIFF file with 16-bit PCM: its rate and its samples. */
const readWav = (wav: Buffer): { readonly rate: number; readonly audio: Buffer } | undefined => {
  if (wav.length < 44 || wav.toString('latin1', 0, 4) !== 'RIFF' || wav.readUInt16LE(20) !== 1) return undefined;
  let at = 12;
  while (at + 8 <= wav.length) {
    const size = wav.readUInt32LE(at + 4);
    if (wav.toString('latin1', at, at + 4) === 'data') {
      return { rate: wav.readUInt32LE(24), audio: wav.subarray(at + 8, Math.min(wav.length, at + 8 + size)) };
    }
    at += 8 + size + (size & 1);
  }
  return undefined;
};

const readAudio = (data: Json, rate: number): BotMessage => {
  const content = audioOf(textOf(data, 'audioContent'));
  if (content === undefined) return malformed('data.audioContent is not base64');
  if (data['audioContentType'] === 'wav' || data['audioContentType'] === 'wave') {
    const wav = readWav(content);
    if (wav === undefined) return malformed('data.audioContent is not a 16-bit PCM WAV file');
    return { kind: 'media', audio: wav.audio, format: { encoding: 'l16', sampleRate: wav.rate } };
  }
  const sampleRate = Number(data['sampleRate'] ?? rate);
  if (!Number.isInteger(sampleRate) || sampleRate % 8000 !== 0 || sampleRate < 8000 || sampleRate > 64_000) {
    return malformed(`data.sampleRate ${sampleRate} is not served`);
  }
  return { kind: 'media', audio: content, format: { encoding: 'l16', sampleRate } };
};

export const jambonz: Dialect = {
  name: 'jambonz',
  protocols: ['audio.jambonz.org'],
  frameMs: 20,

  format: (spec) => ({ encoding: 'l16', sampleRate: spec.sampleRate }),

  opening: ({ spec, format }) => [
    JSON.stringify({
      callSid: spec.callSid,
      accountSid: spec.accountSid,
      from: spec.from,
      to: spec.to,
      sampleRate: format.sampleRate,
      mixType: 'mono',
      ...spec.customParameters,
    }),
  ],

  media: (_context, audio) => audio,

  dtmf: (_context, digit, durationMs) => JSON.stringify({ event: 'dtmf', dtmf: digit, duration: String(durationMs) }),

  marked: (_context, name, cleared) =>
    JSON.stringify({ type: 'mark', data: { name, event: cleared ? 'cleared' : 'playout' } }),

  cleared: () => undefined,

  stop: () => undefined,

  read: (text, format) => {
    const message = parseJson(text);
    if (message === undefined) return malformed('not a JSON object');
    const data = isJson(message['data']) ? message['data'] : {};
    switch (message['type']) {
      case 'playAudio':
        return readAudio(data, format.sampleRate);
      case 'mark': {
        const name = textOf(data, 'name');
        return name === undefined ? malformed('data.name is missing') : { kind: 'mark', name };
      }
      case 'killAudio':
      case 'clearMarks':
        return { kind: 'clear' };
      case 'disconnect':
        return { kind: 'disconnect' };
      default:
        return typeof message['type'] === 'string' ? ignored() : malformed('type is missing');
    }
  },

  readBinary: (audio, format) => ({ kind: 'media', audio, format }),
};
