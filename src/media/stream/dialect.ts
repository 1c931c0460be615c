import { Scratch } from '../../kernel/index.js';
import type { StreamSpec } from '../port.js';
import type { StreamStop } from './port.js';

/** How audio is written in a dialect's messages. L16 is little-endian in all of them. */
export interface AudioFormat {
  readonly encoding: 'l16' | 'mulaw';
  readonly sampleRate: number;
}

/** What a bot said, whatever its dialect. The audio is valid until the next message is read. */
export type BotMessage =
  | { readonly kind: 'media'; readonly audio: Buffer; readonly format: AudioFormat }
  /** A recording of its own, not a piece of a stream; the bot is told when it has been heard. */
  | { readonly kind: 'clip'; readonly audio: Buffer; readonly format: AudioFormat; readonly id: string }
  /** Tell me when everything before this has been played. */
  | { readonly kind: 'mark'; readonly name: string }
  /** Throw away what has not been played. */
  | { readonly kind: 'clear' }
  /** Forget the marks; the audio goes on. */
  | { readonly kind: 'clearMarks' }
  | { readonly kind: 'dtmf'; readonly digits: string }
  | { readonly kind: 'disconnect' }
  /** Nothing that concerns us. */
  | { readonly kind: 'ignored' }
  | { readonly kind: 'malformed'; readonly detail: string };

/** One message to the bot. */
export type Outgoing = string | Uint8Array;

/** What a dialect counts and repeats in its messages. */
export interface Counters {
  /** Messages sent that carry a sequence number. */
  sequence: number;
  /** Media messages sent. */
  chunk: number;
}

export interface DialectContext {
  readonly spec: StreamSpec;
  readonly format: AudioFormat;
  readonly counters: Counters;
  /** Milliseconds since 1970, for dialects that stamp messages with the date. */
  readonly wallMs: number;
}

/** One bot protocol: pure text in both directions, no state but the counters it is given. */
export interface Dialect {
  readonly name: StreamSpec['dialect'];
  /** WebSocket subprotocols to ask for. */
  readonly protocols: readonly string[];
  /** Audio of one media message by default. */
  readonly frameMs: number;
  /** The audio format of this stream: some dialects know only one. */
  format(spec: StreamSpec): AudioFormat;
  /** Sent when the socket is open, in order. */
  opening(context: DialectContext): Outgoing[];
  /** @param offsetMs time since the stream began at which this audio begins */
  media(context: DialectContext, audio: Buffer, offsetMs: number): Outgoing;
  dtmf(context: DialectContext, digit: string, durationMs: number): Outgoing | undefined;
  /** The audio before the mark has been played, or thrown away. */
  marked(context: DialectContext, name: string, cleared: boolean): Outgoing | undefined;
  /** A clip has been played to its end. */
  clipPlayed?(context: DialectContext, id: string): Outgoing;
  /** The queue has been emptied on the bot's wish. */
  cleared(context: DialectContext): Outgoing | undefined;
  stop(context: DialectContext, reason: StreamStop): Outgoing | undefined;
  read(text: string, format: AudioFormat): BotMessage;
  /** Audio without any wrapping; undefined where the dialect has none. */
  readBinary?(data: Buffer, format: AudioFormat): BotMessage;
}

const IGNORED: BotMessage = { kind: 'ignored' };
export const malformed = (detail: string): BotMessage => ({ kind: 'malformed', detail });

export type Json = { readonly [key: string]: unknown };

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a bot says has few parts, however much audio one of them holds. */
const MAX_PARTS = 1000;
const PLAIN_LENGTH = 4096;
const PART_MARKS = ['[', '{', '"', ','];

/** A long text of very many parts costs the parser a hundred times what audio of that length does. */
const hasTooManyParts = (text: string): boolean =>
  text.length > PLAIN_LENGTH &&
  PART_MARKS.some((mark) => {
    let count = 0;
    for (let at = text.indexOf(mark); at >= 0 && count <= MAX_PARTS; at = text.indexOf(mark, at + 1)) count++;
    return count > MAX_PARTS;
  });

/** A JSON object, or undefined for anything else. */
export const parseJson = (text: string): Json | undefined => {
  if (hasTooManyParts(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

export const textOf = (json: Json, key: string): string | undefined => {
  const value = json[key];
  return typeof value === 'string' ? value : undefined;
};

/** A mark's name comes back to the bot, so it must not be long. */
const MAX_MARK_NAME = 256;

/**
 * Of a message that asks to be told when what is before it has been played.
 * @param shown where its name stands, for people
 */
export const markOf = (json: unknown, key: string, shown: string): BotMessage => {
  const name = isJson(json) ? textOf(json, key) : undefined;
  const fits = name !== undefined && name.length <= MAX_MARK_NAME;
  return fits ? { kind: 'mark', name } : malformed(`${shown} is missing or too long`);
};

/** A message of no kind that concerns us. @param key where its kind stands */
export const unknownKind = (message: Json, key: string): BotMessage =>
  typeof message[key] === 'string' ? IGNORED : malformed(`${key} is missing`);

const octets = new Scratch(Buffer.alloc(16 * 1024));

/** Base64 as bots write it; undefined when it is something else. @returns octets that are valid until the next call */
export const audioOf = (payload: string | undefined): Buffer | undefined => {
  if (payload === undefined) return undefined;
  let digits = payload.length;
  while (digits > 0 && payload.length - digits < 2 && payload.charCodeAt(digits - 1) === PADDING) digits--;
  const audio = decoded(payload);
  // The decoder steps over what is no base64: the result is shorter then than the text promises.
  return digits % 4 !== 1 && audio.length === Math.floor((digits * 3) / 4) ? audio : undefined;
};

const decoded = (payload: string): Buffer => {
  const { room } = octets;
  return payload.length > room.length ? Buffer.from(payload, 'base64') : octets.first(room.write(payload, 'base64'));
};

const PADDING = '='.charCodeAt(0);
