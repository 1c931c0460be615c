// Who sits where in the media bench, and what a marked frame of audio looks like.
export const NODE = '127.0.62.1';
export const CALLER = '127.0.62.2';
export const BOT = '127.0.62.3';
export const SIGNALLER = '127.0.62.4';
export const PBX = '127.0.62.5';
export const SIP_PORT = 27_060;
export const BOT_PORT = 27_080;
export const ADMIN_PORT = 27_081;
/** First of the caller's sockets for audio. */
export const AUDIO_PORT = 27_100;
export const RTP_PORTS = [27_200, 28_999];
/** Answered by a bot that echoes; by one that talks and falls silent at once; by the PBX. */
export const ECHO_NUMBER = '+918040000001';
export const TALKER_NUMBER = '+918040000002';
export const PSTN_NUMBER = '+918040000003';

export const FRAME_MS = 20;
export const FRAME_SAMPLES = 160;

/** Codes of mu-law that survive decoding and encoding: a nibble each. */
const CODE = 0x90;
const MAGIC = [0x9a, 0x95, 0x9c, 0x93];

const putNibbles = (frame, at, count, value) => {
  for (let i = count - 1; i >= 0; i--, value = Math.floor(value / 16)) frame[at + i] = CODE | (value & 15);
};

const nibblesAt = (frame, at, count) => {
  let value = 0;
  for (let i = 0; i < count; i++) {
    if ((frame[at + i] & 0xf0) !== CODE) return -1;
    value = value * 16 + (frame[at + i] & 15);
  }
  return value;
};

/** Writes who speaks and which of its frames this is into 20 ms of mu-law, as loud as speech. */
export const markFrame = (frame, stream, number) => {
  frame.set(MAGIC, 0);
  putNibbles(frame, 4, 4, stream);
  putNibbles(frame, 8, 6, number);
};

/** @returns the number of the frame; -1: not a frame of this stream */
export const markOf = (frame, stream) => {
  for (let i = 0; i < MAGIC.length; i++) if (frame[i] !== MAGIC[i]) return -1;
  return nibblesAt(frame, 4, 4) === stream ? nibblesAt(frame, 8, 6) : -1;
};

/** Value at a quantile of sorted numbers. */
export const quantile = (sorted, q) =>
  sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

export const quantiles = (values) => {
  const sorted = Float64Array.from(values).sort();
  return { count: sorted.length, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), max: quantile(sorted, 1) };
};

const originMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds of a clock that all processes of a machine share. */
export const nowMs = () => originMs + performance.now();
