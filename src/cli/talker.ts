import { type Random, SystemMetronome } from '../kernel/index.js';
import { decodeAlaw, decodeMulaw, encodeAlaw, encodeMulaw } from '../media/codec/g711.js';
import { toneGenerator } from '../media/codec/tone.js';
import { PAYLOAD_TYPE_PCMA, PAYLOAD_TYPE_PCMU, RTP_MAX_BYTES, parseRtp, writeRtp } from '../media/rtp/packet.js';
import { parseSdp } from '../media/sdp/parse.js';
import { type RtpPair, bindRtpPair } from '../net/index.js';

export const TONE_HZ = 440;
const FRAME_MS = 20;
const FRAME_SAMPLES = 160;
const SAMPLE_RATE = 8000;
/** Quieter is silence: about -40 dB of the tone. */
const AUDIBLE = 200;
/** Share of a frame's energy that must be at the frequency. */
const PURE = 0.6;
const FIRST_PORT = 42_000;
const PORTS_TRIED = 200;

/** What came back, in milliseconds. */
export interface Heard {
  readonly toneMs: number;
  /** Audible, and something else. */
  readonly otherMs: number;
  readonly packets: number;
}

/** The audio of a `tandem call` that talks: sends a tone of 440 Hz and listens for it. */
export class Talker {
  readonly #rtp: RtpPair;
  readonly #address: string;
  readonly #port: number;
  readonly #random: Random;
  readonly #pcm = new Int16Array(FRAME_SAMPLES);
  #stopSending: (() => void) | undefined;
  #toneMs = 0;
  #otherMs = 0;
  #packets = 0;

  private constructor(rtp: RtpPair, address: string, port: number, random: Random) {
    this.#rtp = rtp;
    this.#address = address;
    this.#port = port;
    this.#random = random;
  }

  /** @returns undefined when no port is free */
  static async bind(address: string, random: Random): Promise<Talker | undefined> {
    let talker: Talker | undefined;
    const sink = { onRtp: (data: Buffer) => talker?.hear(data), onRtcp: () => {} };
    for (let i = 0; i < PORTS_TRIED; i++) {
      const port = FIRST_PORT + 2 * Math.floor(random.float() * 5000);
      const rtp = await bindRtpPair(address, port, sink);
      if (rtp !== undefined) return (talker = new Talker(rtp, address, port, random));
    }
    return undefined;
  }

  get offer(): Buffer {
    const family = this.#address.includes(':') ? 'IP6' : 'IP4';
    return Buffer.from(
      `v=0\r\no=- 1 1 IN ${family} ${this.#address}\r\ns=-\r\nc=IN ${family} ${this.#address}\r\nt=0 0\r\n` +
        `m=audio ${this.#port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n` +
        'a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n',
    );
  }

  /** Begins to send, to where the answer says. @returns false when it names no audio of ours */
  talk(answer: Buffer): boolean {
    const parsed = parseSdp(answer);
    const section = parsed.ok
      ? parsed.value.sections.find(({ port, audio }) => port > 0 && audio.length > 0)
      : undefined;
    const law = section?.audio.find(({ payloadType }) => payloadType === 0 || payloadType === 8)?.payloadType;
    const { address = '', port = 0 } = section ?? {};
    if (law === undefined || address === '') return false;
    const tone = toneGenerator([TONE_HZ]);
    const packet = Buffer.alloc(RTP_MAX_BYTES);
    const payload = new Uint8Array(FRAME_SAMPLES);
    const ssrc = Number.parseInt(this.#random.hex(4), 16);
    let sequence = 0;
    this.#stopSending = new SystemMetronome().start(FRAME_MS, () => {
      tone.fill(this.#pcm);
      if (law === PAYLOAD_TYPE_PCMU) encodeMulaw(this.#pcm, payload);
      else encodeAlaw(this.#pcm, payload);
      const header = { payloadType: law, marker: sequence === 0, sequence, timestamp: sequence * FRAME_SAMPLES, ssrc };
      const length = writeRtp(packet, header, payload);
      sequence = (sequence + 1) & 0xffff;
      this.#rtp.sendRtp(Buffer.from(packet.subarray(0, length)), address, port);
    });
    return true;
  }

  hear(data: Buffer): void {
    const packet = parseRtp(data);
    if (packet === undefined || packet.payload.length > 4 * FRAME_SAMPLES) return;
    const { payloadType, payload } = packet;
    if (payloadType !== PAYLOAD_TYPE_PCMA && payloadType !== PAYLOAD_TYPE_PCMU) return;
    this.#packets++;
    const pcm = new Int16Array(payload.length);
    if (payloadType === PAYLOAD_TYPE_PCMA) decodeAlaw(payload, pcm);
    else decodeMulaw(payload, pcm);
    const lengthMs = (1000 * pcm.length) / SAMPLE_RATE;
    const { level, share } = analyse(pcm, TONE_HZ);
    if (level < AUDIBLE) return;
    if (share >= PURE) this.#toneMs += lengthMs;
    else this.#otherMs += lengthMs;
  }

  /** @returns what was heard until now */
  async close(): Promise<Heard> {
    this.#stopSending?.();
    await this.#rtp.close();
    return { toneMs: this.#toneMs, otherMs: this.#otherMs, packets: this.#packets };
  }
}

/** Root mean square of the samples, and the share of their energy at one frequency (Goertzel). */
function analyse(pcm: Int16Array, frequencyHz: number): { readonly level: number; readonly share: number } {
  const step = 2 * Math.cos((2 * Math.PI * frequencyHz) / SAMPLE_RATE);
  let before = 0;
  let last = 0;
  let energy = 0;
  for (const sample of pcm) {
    const next = sample + step * last - before;
    before = last;
    last = next;
    energy += sample * sample;
  }
  if (energy === 0) return { level: 0, share: 0 };
  const power = last * last + before * before - step * last * before;
  return { level: Math.sqrt(energy / pcm.length), share: (2 * power) / (pcm.length * energy) };
}
