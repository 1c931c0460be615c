import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import type { StreamReport, StreamSpec } from '../../src/media/port.js';
import { type BotSession, openBotStream } from '../../src/media/stream/botStream.js';
import type { BotDialOptions, BotLocate, BotSocketSink, BotStream } from '../../src/media/stream/port.js';

export const SPEC: StreamSpec = {
  url: 'ws://bot.example/stream',
  dialect: 'exotel',
  direction: 'bidirectional',
  sampleRate: 8000,
  encoding: 'l16',
  accountSid: 'AC1',
  callSid: 'CA1',
  streamSid: 'MZ1',
  from: '+918040000001',
  to: '+442071234567',
  customParameters: { lang: 'en' },
};

/** One WebSocket as the session sees it. */
export interface FakeSocket {
  readonly options: BotDialOptions;
  readonly sink: BotSocketSink;
  /** Parsed where they are JSON. */
  readonly sent: unknown[];
  bufferedBytes: number;
  closed: { readonly code: number; readonly reason: string } | undefined;
}

export interface FakeBotOptions {
  readonly locate?: BotLocate | undefined;
  /** Answers the handshake on its own. Default true. */
  readonly answers?: boolean | undefined;
}

/** A session on a clock that stands still, and the bot's end of its sockets. */
export class FakeBot {
  readonly clock = new ManualClock();
  readonly sockets: FakeSocket[] = [];
  readonly reports: StreamReport[] = [];
  readonly keys: string[] = [];
  readonly stream: BotStream;
  started = 0;

  constructor(spec: Partial<StreamSpec> = {}, { locate, answers = true }: FakeBotOptions = {}) {
    this.stream = openBotStream(
      { ...SPEC, ...spec },
      {
        clock: this.clock,
        random: new SeededRandom(1),
        mayConnect: () => true,
        locate: locate ?? (() => ({ cancel: () => {} })),
        dial: (options, sink) => {
          const socket: FakeSocket = { options, sink, sent: [], bufferedBytes: 0, closed: undefined };
          this.sockets.push(socket);
          let timer = answers ? undefined : this.clock.setTimer('handshake', options.handshakeTimeoutMs, () => fail());
          const fail = () => sink.onClosed({ detail: 'no answer' });
          return {
            sendText: (text) => void socket.sent.push(JSON.parse(text)),
            sendBinary: (data) => void socket.sent.push(Buffer.from(data)),
            close: (code, reason) => {
              socket.closed = { code, reason };
              timer?.cancel();
              timer = undefined;
            },
            get bufferedBytes() {
              return socket.bufferedBytes;
            },
          };
        },
      },
      {
        onStarted: () => this.started++,
        onEnded: (report) => this.reports.push(report),
        onSendDtmf: (digits) => this.keys.push(digits),
      },
    );
    this.clock.advance(1);
    if (answers) this.sockets[0]?.sink.onOpen();
  }

  get socket(): FakeSocket {
    return this.sockets[this.sockets.length - 1] as FakeSocket;
  }

  get sent(): Record<string, unknown>[] {
    return this.socket.sent as Record<string, unknown>[];
  }

  /** The bot says something. */
  say(message: object | Buffer | string): void {
    if (Buffer.isBuffer(message)) this.socket.sink.onBinary(message);
    else this.socket.sink.onText(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** What the session sends because of `act`. */
  during(act: () => void): Record<string, unknown>[] {
    const before = this.sent.length;
    act();
    return this.sent.slice(before);
  }

  /** So many ticks of the endpoint; the caller says `pcm`. @returns the frames for the caller, undefined for none */
  ticks(count: number, pcm: Int16Array = new Int16Array(160)): (Int16Array | undefined)[] {
    return Array.from({ length: count }, () => {
      this.clock.advance(20);
      this.stream.fromCaller(pcm);
      return this.stream.toCaller()?.slice();
    });
  }
}

export type { BotSession };

/** A message with audio, as bots of the two dialects that look alike send it. */
export const mediaMessage = (audio: Buffer): object => ({
  event: 'media',
  stream_sid: 'MZ1',
  streamSid: 'MZ1',
  media: { payload: audio.toString('base64') },
});

export const pcmBytes = (samples: readonly number[] | Int16Array): Buffer => {
  const bytes = Buffer.alloc(samples.length * 2);
  samples.forEach((sample: number, i: number) => bytes.writeInt16LE(sample, i * 2));
  return bytes;
};

export const sine = (count: number, rate: number, hz = 440, amplitude = 8000): Int16Array =>
  Int16Array.from({ length: count }, (_, i) => Math.round(amplitude * Math.sin((2 * Math.PI * hz * i) / rate)));

/** Share of the signal's power that lies at `hz`: near 1 for a pure tone. */
export const purity = (pcm: Int16Array, rate: number, hz = 440): number => {
  let re = 0;
  let im = 0;
  let power = 0;
  pcm.forEach((sample, i) => {
    re += sample * Math.cos((2 * Math.PI * hz * i) / rate);
    im += sample * Math.sin((2 * Math.PI * hz * i) / rate);
    power += sample * sample;
  });
  return power === 0 ? 0 : (2 * (re * re + im * im)) / (pcm.length * power);
};
