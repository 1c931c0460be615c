/** A media worker in this process whose time and RTP are in the test's hands, and whose bots are real. */
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { MediaWorker } from '../../src/media/engine/mediaWorker.js';
import type { Command, EndpointEvent, FromWorker, Question, Reply } from '../../src/media/engine/protocol.js';
import type { RtpSink } from '../../src/media/engine/sockets.js';
import type { StreamReport, StreamSpec } from '../../src/media/port.js';
import { parseRtp, writeRtp } from '../../src/media/rtp/packet.js';
import { SPEC } from './fakeBot.js';

const BEAT_MS = 5;
const BEATS_A_FRAME = 4;
const PEER = '192.0.2.9';
const FRAME = 160;
/** A code of mu-law that survives decoding and encoding, whatever its lower bits. */
const DIGIT = 0x90;

export interface RigStream {
  readonly streamSid: string;
  readonly framesSent: number;
  readonly framesReceived: number;
  readonly bufferedBytes: number;
  readonly queuedMs: number;
}

const offer = Buffer.from(
  `v=0\r\no=- 1 1 IN IP4 ${PEER}\r\ns=-\r\nc=IN IP4 ${PEER}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n`,
);

/** 20 ms of mu-law that hold a number. */
const numberedFrame = (number: number): Buffer => {
  const frame = Buffer.alloc(FRAME, 0xa0);
  for (let i = 0; i < 6; i++) frame[i] = DIGIT | ((number >> (4 * i)) & 15);
  return frame;
};

const numberIn = (frame: Buffer): number => {
  if (frame.length !== FRAME || frame[6] !== 0xa0) return -1;
  let number = 0;
  for (let i = 0; i < 6; i++) number |= ((frame[i] as number) & 15) << (4 * i);
  return number;
};

/** One call: its caller speaks numbered frames, and what of them is heard again is kept. */
export class RigCall {
  readonly id: string;
  readonly heard: number[] = [];
  ended: { readonly report: StreamReport; readonly atMs: number } | undefined;
  sink: RtpSink | undefined;
  said = 0;

  constructor(id: string) {
    this.id = id;
  }

  speak(): void {
    const packet = Buffer.alloc(12 + FRAME);
    const number = this.said++;
    const header = { payloadType: 0, marker: false, sequence: number & 0xffff, timestamp: number * FRAME, ssrc: 7 };
    writeRtp(packet, header, numberedFrame(number));
    this.sink?.onRtp(packet, PEER, 4000);
  }

  /** True: each frame came back once, in its order, but for the last ones, which are still on their way. */
  complete(onTheirWay: number): boolean {
    return this.heard.every((number, i) => number === i) && this.heard.length >= this.said - onTheirWay;
  }
}

export class WorkerRig {
  readonly clock = new ManualClock();
  readonly calls = new Map<string, RigCall>();
  readonly defects: unknown[] = [];
  readonly #media: MediaWorker;
  readonly #replies = new Map<number, (reply: Reply) => void>();
  #beat: (nowMs: number, lost: number) => void = () => {};
  #command: (command: Command) => void = () => {};
  #refs = 0;

  constructor() {
    const { clock } = this;
    this.#media = new MediaWorker({
      main: { post: (message) => this.#told(message), onCommand: (receive) => (this.#command = receive) },
      settings: { address: PEER, bindAddress: PEER, comfortSilence: true, botNetworks: ['127.0.0.0/8'] },
      clock,
      random: new SeededRandom(7),
      metronome: {
        start: (_periodMs, beat) => {
          this.#beat = beat;
          return () => {};
        },
      },
      bind: async (_address, rtpPort, sink) => {
        const call = this.calls.get(`${rtpPort}`) as RigCall;
        call.sink = sink;
        return {
          sendRtp: (data) => {
            const number = numberIn(parseRtp(data)?.payload ?? Buffer.alloc(0));
            if (number >= 0) call.heard.push(number);
          },
          sendRtcp: () => {},
          narrow: () => false,
          widen: () => {},
          collect: () => {},
          close: async () => {},
        };
      },
      onDefect: (error) => this.defects.push(error),
    });
    this.#media.start();
  }

  /** A call with a bot. */
  async call(spec: Partial<StreamSpec>): Promise<RigCall> {
    const rtpPort = 10_000 + 2 * this.calls.size;
    const id = `${rtpPort}`;
    const call = new RigCall(id);
    this.calls.set(id, call);
    await this.#ask({ op: 'open', id, rtpPort, spec: { callId: id, leg: 'a', offer } });
    this.#command({ op: 'startStream', id, streamId: id, spec: { ...SPEC, streamSid: id, frameMs: 20, ...spec } });
    this.clock.advance(1);
    return call;
  }

  /** 20 ms go by: every caller says a frame and hears one. */
  frame(): void {
    for (const call of this.calls.values()) call.speak();
    this.silentFrame();
  }

  /** 20 ms in which no caller says anything. */
  silentFrame(): void {
    for (let i = 0; i < BEATS_A_FRAME; i++) {
      this.clock.advance(BEAT_MS);
      this.#beat(this.clock.nowMs(), 0);
    }
  }

  /** The streams that are there, by call. */
  async streams(): Promise<Map<string, RigStream>> {
    const { endpoints } = (await this.#ask({ op: 'dump' })) as { endpoints: Record<string, { streams: RigStream[] }> };
    const found = new Map<string, RigStream>();
    for (const [id, { streams }] of Object.entries(endpoints)) if (streams[0] !== undefined) found.set(id, streams[0]);
    return found;
  }

  /** Resolves when `test` holds of the streams, looked at as the sockets bring news. Rejects after ten seconds. */
  async until(test: (streams: Map<string, RigStream>) => boolean, what: string): Promise<Map<string, RigStream>> {
    const startMs = performance.now();
    for (;;) {
      const streams = await this.streams();
      if (test(streams)) return streams;
      if (performance.now() - startMs > 10_000) throw new Error(`waited in vain: ${what}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Resolves when these calls have got back from their bots all that was sent to them. */
  echoed(calls: readonly RigCall[]): Promise<Map<string, RigStream>> {
    const all = (streams: Map<string, RigStream>): boolean =>
      calls.every(({ id }) => {
        const stream = streams.get(id);
        return stream !== undefined && stream.framesSent === stream.framesReceived;
      });
    return this.until(all, 'echoes');
  }

  stop(): Promise<void> {
    return this.#media.stop();
  }

  #ask(question: Question): Promise<Reply> {
    const ref = this.#refs++;
    return new Promise((resolve) => {
      this.#replies.set(ref, resolve);
      this.#command({ ...question, ref });
    });
  }

  #told(message: FromWorker): void {
    if (message.type === 'event') this.#happened(message.id, message.event);
    if (message.type !== 'reply') return;
    this.#replies.get(message.ref)?.(message.reply);
    this.#replies.delete(message.ref);
  }

  #happened(id: string, event: EndpointEvent): void {
    const call = this.calls.get(id);
    if (event.on === 'streamEnded' && call !== undefined)
      call.ended = { report: event.report, atMs: this.clock.nowMs() };
  }
}
