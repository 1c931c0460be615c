/** The bots' side of the dialects: what a call says, and how to answer it. */
import { type AudioFormat, type Json, audioOf, isJson, parseJson, textOf } from '../media/stream/dialect.js';
import type { StreamDialect } from '../media/port.js';

export type CallMessage =
  | { readonly kind: 'media'; readonly audio: Buffer }
  | { readonly kind: 'dtmf'; readonly digit: string }
  | { readonly kind: 'stop' }
  | { readonly kind: 'other' };

/** One call as its bot sees it. */
export interface BotSide {
  readonly dialect: StreamDialect;
  readonly format: AudioFormat;
  /** Messages carry a multiple of this many octets of audio. */
  readonly stepBytes: number;
  /** And at least this many. */
  readonly leastBytes: number;
  read(message: string | Buffer): CallMessage;
  media(audio: Buffer): string | Buffer;
  mark(name: string): string;
  clear(): string;
}

const OTHER: CallMessage = { kind: 'other' };
export const JAMBONZ_PROTOCOL = 'audio.jambonz.org';

const part = (json: Json, key: string): Json => {
  const value = json[key];
  return isJson(value) ? value : {};
};

/** What the three dialects with an `event` have in common. */
const readEvent = (message: string | Buffer): CallMessage => {
  const json = typeof message === 'string' ? (parseJson(message) ?? {}) : {};
  switch (json['event']) {
    case 'media': {
      const audio = audioOf(textOf(part(json, 'media'), 'payload'));
      return audio === undefined ? OTHER : { kind: 'media', audio: Buffer.from(audio) };
    }
    case 'dtmf':
      return { kind: 'dtmf', digit: textOf(part(json, 'dtmf'), 'digit') ?? '' };
    case 'stop':
      return { kind: 'stop' };
    default:
      return OTHER;
  }
};

const exotelSide = (start: Json): BotSide => {
  const sid = textOf(start, 'stream_sid');
  const say = (event: string, rest: object = {}): string => JSON.stringify({ event, stream_sid: sid, ...rest });
  return {
    dialect: 'exotel',
    format: { encoding: 'l16', sampleRate: Number(part(start, 'media_format')['sample_rate'] ?? 8000) },
    stepBytes: 320,
    leastBytes: 3200,
    read: readEvent,
    media: (audio) => say('media', { media: { payload: audio.toString('base64') } }),
    mark: (name) => say('mark', { mark: { name } }),
    clear: () => say('clear'),
  };
};

const twilioSide = (start: Json): BotSide => {
  const streamSid = textOf(start, 'streamSid');
  const say = (event: string, rest: object = {}): string => JSON.stringify({ event, streamSid, ...rest });
  return {
    dialect: 'twilio',
    format: { encoding: 'mulaw', sampleRate: 8000 },
    stepBytes: 1,
    leastBytes: 1,
    read: readEvent,
    media: (audio) => say('media', { media: { payload: audio.toString('base64') } }),
    mark: (name) => say('mark', { mark: { name } }),
    clear: () => say('clear'),
  };
};

const plivoSide = (start: Json): BotSide => {
  const streamId = textOf(start, 'streamId');
  const { encoding: contentType = 'audio/x-l16', sampleRate = 8000 } = part(start, 'mediaFormat');
  return {
    dialect: 'plivo',
    format: { encoding: contentType === 'audio/x-mulaw' ? 'mulaw' : 'l16', sampleRate: Number(sampleRate) },
    stepBytes: contentType === 'audio/x-mulaw' ? 1 : 2,
    leastBytes: 1,
    read: readEvent,
    media: (audio) => {
      const media = { contentType, sampleRate, payload: audio.toString('base64') };
      return JSON.stringify({ event: 'playAudio', media });
    },
    mark: (name) => JSON.stringify({ event: 'checkpoint', streamId, name }),
    clear: () => JSON.stringify({ event: 'clearAudio', streamId }),
  };
};

const jambonzSide = (call: Json): BotSide => ({
  dialect: 'jambonz',
  format: { encoding: 'l16', sampleRate: Number(call['sampleRate'] ?? 8000) },
  stepBytes: 2,
  leastBytes: 1,
  read: (message) => {
    if (typeof message !== 'string') return { kind: 'media', audio: message };
    const json = parseJson(message) ?? {};
    return json['event'] === 'dtmf' ? { kind: 'dtmf', digit: textOf(json, 'dtmf') ?? '' } : OTHER;
  },
  media: (audio) => audio,
  mark: (name) => JSON.stringify({ type: 'mark', data: { name } }),
  clear: () => JSON.stringify({ type: 'killAudio' }),
});

/**
 * The dialect of a call, by what it says first.
 * @param protocol the WebSocket subprotocol that was agreed, '' for none
 * @returns undefined while it cannot be told
 */
export const botSide = (text: string, protocol: string): BotSide | undefined => {
  const json = parseJson(text);
  if (json === undefined) return undefined;
  if (protocol === JAMBONZ_PROTOCOL) return jambonzSide(json);
  if (json['event'] !== 'start') return undefined;
  const start = part(json, 'start');
  if ('stream_sid' in start) return exotelSide(start);
  if ('streamSid' in start) return twilioSide(start);
  return 'streamId' in start ? plivoSide(start) : undefined;
};
