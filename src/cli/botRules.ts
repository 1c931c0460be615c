import { type AudioFormat, type Json, audioOf, isJson, parseJson, textOf } from '../media/stream/dialect.js';
import type { StreamDialect } from '../media/port.js';

/** What a bot must keep to, in the order of the report. */
const RULES = {
  connect: 'opens the WebSocket',
  json: 'sends JSON objects, and binary messages only where the dialect has them',
  event: 'sends messages of this dialect',
  fields: 'names the stream and fills in what each message needs',
  base64: 'encodes audio in base64',
  samples: 'sends whole samples',
  chunk: 'sends audio in chunks of the right size',
  rate: 'sends audio at a rate that is served',
  mark: 'gives marks a name of 1 to 256 characters, one of its own while it waits',
  audio: 'lets itself be heard in time',
  pace: 'sends no more than can be played',
  stay: 'stays until the call is over',
  close: 'closes when the call is over',
} as const;

export type RuleName = keyof typeof RULES;
const RULE_NAMES = Object.keys(RULES) as readonly RuleName[];

export interface RuleResult {
  readonly rule: RuleName;
  readonly title: string;
  /** Times it was looked at; 0: nothing in this call was subject to it. */
  readonly checked: number;
  readonly broken: number;
  /** The first few, with the time since the stream began. */
  readonly examples: readonly string[];
}

const EVENTS: { readonly [dialect in StreamDialect]: ReadonlySet<string> } = {
  exotel: new Set(['media', 'mark', 'clear']),
  twilio: new Set(['media', 'mark', 'clear']),
  plivo: new Set(['playAudio', 'checkpoint', 'clearAudio', 'sendDTMF']),
  jambonz: new Set(['playAudio', 'killAudio', 'mark', 'clearMarks', 'disconnect', 'transcription', 'transfer']),
};

const MAX_EXAMPLES = 3;
const MAX_MARK_NAME = 256;
/** Exotel: a multiple of 320 octets, at least 3200, at most 100 kB. */
const CHUNK = { step: 320, least: 3200, most: 100_000 };

interface Count {
  checked: number;
  broken: number;
  readonly examples: string[];
}

/** Holds everything that a bot sends against the rules of its dialect. */
export class BotRules {
  readonly #dialect: StreamDialect;
  readonly #streamSid: string;
  readonly #format: AudioFormat;
  readonly #counts = new Map<RuleName, Count>();
  readonly #waitingMarks = new Set<string>();
  messages = 0;
  marks = 0;
  clears = 0;
  audioMs = 0;
  firstAudioMs: number | undefined;

  constructor(dialect: StreamDialect, streamSid: string, format: AudioFormat) {
    this.#dialect = dialect;
    this.#streamSid = streamSid;
    this.#format = format;
  }

  /** Notes that a rule was looked at. @param fault what was wrong; undefined: nothing */
  note(rule: RuleName, fault?: string): void {
    let count = this.#counts.get(rule);
    if (count === undefined) this.#counts.set(rule, (count = { checked: 0, broken: 0, examples: [] }));
    count.checked++;
    if (fault === undefined) return;
    count.broken++;
    if (count.examples.length < MAX_EXAMPLES) count.examples.push(fault);
  }

  results(): RuleResult[] {
    return RULE_NAMES.map((rule) => {
      const count = this.#counts.get(rule) ?? { checked: 0, broken: 0, examples: [] };
      return { rule, title: RULES[rule], ...count };
    });
  }

  /** A mark has gone back to the bot: its name is free. */
  answered(name: string): void {
    this.#waitingMarks.delete(name);
  }

  onBinary(data: Buffer, atMs: number): void {
    this.messages++;
    if (this.#dialect !== 'jambonz') return this.note('json', `at ${atMs} ms: a binary message`);
    this.#audio(data, this.#format, atMs);
  }

  onText(text: string, atMs: number): void {
    this.messages++;
    const json = parseJson(text);
    this.note('json', json === undefined ? `at ${atMs} ms: ${quoted(text)}` : undefined);
    if (json === undefined) return;
    const key = this.#dialect === 'jambonz' ? 'type' : 'event';
    const event = textOf(json, key);
    const known = event !== undefined && EVENTS[this.#dialect].has(event);
    this.note('event', known ? undefined : `at ${atMs} ms: ${key} is ${quoted(JSON.stringify(json[key]))}`);
    if (!known) return;
    if (this.#dialect === 'plivo') this.#plivo(event, json, atMs);
    else if (this.#dialect === 'jambonz') this.#jambonz(event, json, atMs);
    else this.#exotelOrTwilio(event, json, atMs);
  }

  #exotelOrTwilio(event: string, json: Json, atMs: number): void {
    this.#names(json, this.#dialect === 'exotel' ? 'stream_sid' : 'streamSid', atMs);
    if (event === 'clear') this.clears++;
    else if (event === 'mark') this.#mark(this.#inner(json, 'mark', atMs)?.['name'], atMs);
    else {
      const media = this.#inner(json, 'media', atMs);
      if (media !== undefined) this.#payload(media['payload'], this.#format, atMs);
    }
  }

  #plivo(event: string, json: Json, atMs: number): void {
    if (event === 'sendDTMF') {
      const good = /^[0-9A-Da-d*#]+$/.test(textOf(json, 'dtmf') ?? '');
      return this.note('fields', good ? undefined : `at ${atMs} ms: dtmf is ${quoted(JSON.stringify(json['dtmf']))}`);
    }
    if (event !== 'playAudio') {
      this.#names(json, 'streamId', atMs);
      if (event === 'clearAudio') this.clears++;
      else this.#mark(json['name'], atMs);
      return;
    }
    const media = this.#inner(json, 'media', atMs);
    if (media === undefined) return;
    const { contentType, sampleRate } = media;
    const type = contentType === 'audio/x-l16' ? 'l16' : contentType === 'audio/x-mulaw' ? 'mulaw' : undefined;
    this.note(
      'fields',
      type === undefined ? `at ${atMs} ms: contentType is ${quoted(String(contentType))}` : undefined,
    );
    const served = sampleRate === 8000 || (sampleRate === 16_000 && type === 'l16');
    this.note('rate', served ? undefined : `at ${atMs} ms: sampleRate is ${quoted(String(sampleRate))}`);
    const format: AudioFormat = { encoding: type ?? 'l16', sampleRate: served ? sampleRate : 8000 };
    this.#payload(media['payload'], format, atMs);
  }

  #jambonz(event: string, json: Json, atMs: number): void {
    if (event === 'killAudio') this.clears++;
    if (event !== 'mark' && event !== 'playAudio') return;
    const data = this.#inner(json, 'data', atMs);
    if (data === undefined) return;
    if (event === 'mark') return this.#mark(data['name'], atMs);
    const rate = data['sampleRate'] ?? this.#format.sampleRate;
    const type = data['audioContentType'];
    this.note('fields', type === 'raw' || type === 'wav' ? undefined : `at ${atMs} ms: audioContentType is missing`);
    const served = typeof rate === 'number' && [8000, 16_000, 24_000, 48_000, 64_000].includes(rate);
    if (type !== 'wav') this.note('rate', served ? undefined : `at ${atMs} ms: sampleRate is ${quoted(String(rate))}`);
    this.#payload(data['audioContent'], { encoding: 'l16', sampleRate: served ? rate : 8000 }, atMs);
  }

  #names(json: Json, key: string, atMs: number): void {
    const right = json[key] === this.#streamSid;
    this.note('fields', right ? undefined : `at ${atMs} ms: ${key} is ${quoted(JSON.stringify(json[key]))}`);
  }

  #inner(json: Json, key: string, atMs: number): Json | undefined {
    const value = json[key];
    this.note('fields', isJson(value) ? undefined : `at ${atMs} ms: ${key} is no object`);
    return isJson(value) ? value : undefined;
  }

  #mark(name: unknown, atMs: number): void {
    this.marks++;
    const proper = typeof name === 'string' && name !== '' && name.length <= MAX_MARK_NAME;
    const fault = proper
      ? this.#waitingMarks.has(name)
        ? `at ${atMs} ms: ${quoted(name)} still waits`
        : undefined
      : `at ${atMs} ms: the name is ${quoted(JSON.stringify(name))}`;
    this.note('mark', fault);
    if (proper) this.#waitingMarks.add(name);
  }

  #payload(payload: unknown, format: AudioFormat, atMs: number): void {
    const text = typeof payload === 'string' ? payload : undefined;
    const audio = audioOf(text);
    const standard = audio !== undefined && !/[-_]/.test(text ?? '') && (text ?? '').length % 4 === 0;
    this.note('base64', standard ? undefined : `at ${atMs} ms: ${quoted(JSON.stringify(payload))}`);
    if (audio !== undefined) this.#audio(audio, format, atMs);
  }

  #audio(audio: Buffer, format: AudioFormat, atMs: number): void {
    const sampleBytes = format.encoding === 'l16' ? 2 : 1;
    const whole = audio.length % sampleBytes === 0;
    this.note('samples', whole ? undefined : `at ${atMs} ms: ${audio.length} octets end within a sample`);
    if (this.#dialect === 'exotel') this.note('chunk', chunkFault(audio.length, atMs));
    if (audio.length === 0) return;
    this.firstAudioMs ??= atMs;
    this.audioMs += (audio.length / sampleBytes / format.sampleRate) * 1000;
  }
}

const chunkFault = (octets: number, atMs: number): string | undefined => {
  const at = `at ${atMs} ms: ${octets} octets`;
  if (octets < CHUNK.least) return `${at}, fewer than ${CHUNK.least}`;
  if (octets > CHUNK.most) return `${at}, more than ${CHUNK.most}`;
  return octets % CHUNK.step === 0 ? undefined : `${at}, no multiple of ${CHUNK.step}`;
};

/** What a bot sent, fit to be printed. */
const quoted = (text: string | undefined): string => {
  const plain = (text ?? 'missing').replace(/[^\x20-\x7e]/g, '?');
  return plain.length > 60 ? `${plain.slice(0, 57)}...` : plain;
};
