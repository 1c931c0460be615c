// Sends every stream's frames on a grid of 20 ms, spread evenly, and keeps what came back of them and when.
import { CALLER, FRAME_MS, FRAME_SAMPLES, NODE, AUDIO_PORT, markFrame, markOf, nowMs, quantiles } from './places.mjs';

const HEADER = 12;
const PCMU_SILENCE = 0xff;
const PCMU_LOUD = 0x90;
/** Send times that are remembered per stream: 20 s of frames. */
const REMEMBERED = 1024;
/** Every so many-th stream sends bursts of tone instead of marked frames. */
const BURST_EVERY = 5;
const BURST_AT = 2;
const BURST_FRAMES = 5;
const BURST_PERIOD = 50;
/** Who heard its bot within this time is in talk: bursts come once a second, on a busy machine later. */
const IN_TALK_MS = 5000;
const PROBE_MS = 5;
const PROBE = Buffer.from('bench probe');

class Stream {
  constructor(index, talker) {
    this.index = index;
    this.role = talker ? 'talker' : index % BURST_EVERY === BURST_AT ? 'burst' : 'marked';
    this.remotePort = 0;
    this.number = 0;
    this.sentMs = new Float64Array(REMEMBERED);
    this.came = new Uint8Array(0);
    this.from = Infinity;
    this.until = Infinity;
    this.heard = 0;
    this.loud = false;
    this.burst = -1;
    this.sequence = -1;
    this.packet = Buffer.alloc(HEADER + FRAME_SAMPLES, PCMU_SILENCE);
    this.packet[0] = 0x80;
    this.packet[1] = 0;
    this.packet.writeUInt32BE(0x62000000 + index, 8);
    this.payload = this.packet.subarray(HEADER);
    if (this.role === 'marked') for (let i = 0; i < FRAME_SAMPLES; i++) this.payload[i] = i & 4 ? 0xa0 : 0x20;
    /** Arrival minus timestamp, of packets while measured. */
    this.offsets = [];
  }
}

export class Telephones {
  #sockets;
  #streams;
  #byPort = new Map();
  #sent = 0;
  #timer;
  #startMs = 0;
  #probeMs = 0;
  #measuring = false;
  #figures = { late: [], probes: [], delays: [], bursts: [], talk: [], gaps: 0, twice: 0, foreign: 0 };

  /** @param streams echoing ones; one more talks by itself */
  constructor(sockets, streams) {
    this.#sockets = sockets;
    this.#streams = Array.from({ length: streams + 1 }, (_, i) => new Stream(i, i === streams));
    for (const socket of sockets) socket.on('message', (data, from) => this.#receive(data, from));
  }

  /** The call was answered: its audio goes to this port of the node. */
  connect(index, remotePort) {
    this.#streams[index].remotePort = remotePort;
    this.#byPort.set(remotePort, this.#streams[index]);
  }

  get connected() {
    return this.#byPort.size;
  }

  /** Streams that have heard themselves (the one that talks: the bot) just now. */
  get hearing() {
    const since = nowMs() - IN_TALK_MS;
    return this.#streams.filter((stream) => stream.heard > since).length;
  }

  start() {
    this.#startMs = nowMs();
    const beat = () => {
      this.#send(nowMs());
      this.#timer = setTimeout(beat, 1);
    };
    beat();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  measure() {
    this.#measuring = true;
    for (const stream of this.#streams) stream.from = stream.number;
  }

  /** Frames sent from now on are not counted; those on their way are. */
  rest() {
    for (const stream of this.#streams) stream.until = stream.number;
  }

  #send(now) {
    const all = this.#streams.length;
    for (;;) {
      const due = this.#startMs + (this.#sent * FRAME_MS) / all;
      if (due > now) break;
      if (this.#measuring) this.#figures.late.push(now - due);
      this.#speak(this.#streams[this.#sent % all], now);
      this.#sent++;
    }
    if (now - this.#probeMs > PROBE_MS) {
      this.#probeMs = now;
      this.#sockets[0].send(PROBE, AUDIO_PORT, CALLER);
    }
  }

  #speak(stream, now) {
    if (stream.remotePort === 0) return;
    const number = stream.number++;
    stream.sentMs[number % REMEMBERED] = now;
    const { packet } = stream;
    packet.writeUInt16BE(number & 0xffff, 2);
    packet.writeUInt32BE((number * FRAME_SAMPLES) >>> 0, 4);
    if (stream.role === 'marked') markFrame(stream.payload, stream.index, number);
    else if (stream.role === 'burst') {
      const at = (number + stream.index) % BURST_PERIOD;
      if (at === 0) stream.burst = number;
      stream.payload.fill(at < BURST_FRAMES ? PCMU_LOUD : PCMU_SILENCE);
    }
    this.#sockets[stream.index % this.#sockets.length].send(packet, stream.remotePort, NODE);
  }

  #receive(data, from) {
    const now = nowMs();
    if (data.length === PROBE.length && from.address === CALLER) {
      if (this.#measuring) this.#figures.probes.push(now - this.#probeMs);
      return;
    }
    const stream = this.#byPort.get(from.port);
    if (stream === undefined || data.length !== HEADER + FRAME_SAMPLES) return;
    if (this.#measuring && stream.until === Infinity) this.#pace(stream, data, now);
    const payload = data.subarray(HEADER);
    if (stream.role === 'marked') this.#marked(stream, payload, now);
    else this.#loudness(stream, payload, now);
  }

  #pace(stream, data, now) {
    const sequence = data.readUInt16BE(2);
    if (stream.sequence >= 0 && ((sequence - stream.sequence) & 0xffff) !== 1) this.#figures.gaps++;
    stream.sequence = sequence;
    stream.offsets.push(now - data.readUInt32BE(4) / 8);
  }

  #marked(stream, payload, now) {
    const number = markOf(payload, stream.index);
    if (number < 0) {
      if (this.#measuring && stream.until === Infinity) this.#figures.foreign++;
      return;
    }
    stream.heard = now;
    if (number < stream.from || number >= stream.until) return;
    const at = number - stream.from;
    if (at >= stream.came.length) {
      const longer = new Uint8Array(at + 1024);
      longer.set(stream.came);
      stream.came = longer;
    }
    if (stream.came[at] > 0) this.#figures.twice++;
    stream.came[at] = 1;
    this.#figures.delays.push(now - stream.sentMs[number % REMEMBERED]);
  }

  #loudness(stream, payload, now) {
    // The middle of the frame: a joint may be blended.
    const loud = (payload[FRAME_SAMPLES / 2] & 0x7f) < 0x40;
    if (stream.role === 'talker') {
      if (loud) stream.heard = now;
      if (this.#measuring) this.#figures.talk.push({ atMs: now, loud });
    } else if (loud && !stream.loud && stream.burst >= 0) {
      stream.heard = now;
      if (this.#measuring && stream.burst >= stream.from && stream.burst < stream.until)
        this.#figures.bursts.push(now - stream.sentMs[stream.burst % REMEMBERED]);
    }
    stream.loud = loud;
  }

  report() {
    const { late, probes, delays, bursts, talk, gaps, twice, foreign } = this.#figures;
    let sent = 0;
    let lost = 0;
    const jitter = [];
    for (const stream of this.#streams) {
      if (stream.role === 'marked') {
        const count = stream.until - stream.from;
        sent += count;
        lost += count - stream.came.reduce((sum, came) => sum + came, 0);
      }
      const sorted = Float64Array.from(stream.offsets).sort();
      const middle = sorted[sorted.length >> 1];
      for (const offset of stream.offsets) jitter.push(Math.abs(offset - middle));
    }
    return {
      sent,
      lost,
      twice,
      foreign,
      gaps,
      mouthToEar: quantiles(delays),
      bursts: quantiles(bursts),
      jitter: quantiles(jitter),
      receiver: quantiles(probes),
      sender: quantiles(late),
      talk,
    };
  }
}
