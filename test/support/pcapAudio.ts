/** A recording of RTP as tcpdump would write it: what SIPp plays as the voice of its callers. */
import { encodeMulaw } from '../../src/media/codec/g711.js';

const FRAME_SAMPLES = 160;
const FRAME_MS = 20;
const ETHERNET_BYTES = 14;
const IP_BYTES = 20;
const UDP_BYTES = 8;
const RTP_BYTES = 12;

/** PCMU in packets of 20 ms. Addresses and ports in it are of no account: SIPp puts in its own. */
export function pcapOf(pcm: Int16Array): Buffer {
  const frames = Math.floor(pcm.length / FRAME_SAMPLES);
  return Buffer.concat([
    fileHeader(),
    ...Array.from({ length: frames }, (_, i) => {
      const payload = Buffer.alloc(FRAME_SAMPLES);
      encodeMulaw(pcm.subarray(i * FRAME_SAMPLES, (i + 1) * FRAME_SAMPLES), payload);
      return packet(i, payload);
    }),
  ]);
}

/** libpcap's classic format, microseconds, Ethernet. */
function fileHeader(): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20);
  return header;
}

function packet(index: number, payload: Buffer): Buffer {
  const bytes = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + RTP_BYTES + payload.length;
  const data = Buffer.alloc(16 + bytes - payload.length);
  const atMs = index * FRAME_MS;
  data.writeUInt32LE(1 + Math.floor(atMs / 1000), 0);
  data.writeUInt32LE((atMs % 1000) * 1000, 4);
  data.writeUInt32LE(bytes, 8);
  data.writeUInt32LE(bytes, 12);
  let at = 16;
  data.writeUInt16BE(0x0800, at + 12);
  at += ETHERNET_BYTES;
  data[at] = 0x45;
  data.writeUInt16BE(bytes - ETHERNET_BYTES, at + 2);
  data[at + 8] = 64;
  data[at + 9] = 17;
  data.set([127, 0, 0, 1, 127, 0, 0, 1], at + 12);
  at += IP_BYTES;
  data.writeUInt16BE(4000, at);
  data.writeUInt16BE(4000, at + 2);
  data.writeUInt16BE(bytes - ETHERNET_BYTES - IP_BYTES, at + 4);
  at += UDP_BYTES;
  // RFC 3550 §5.1: version 2, payload type 0, a marker on the first.
  data[at] = 0x80;
  data[at + 1] = index === 0 ? 0x80 : 0;
  data.writeUInt16BE((1000 + index) & 0xffff, at + 2);
  data.writeUInt32BE(index * FRAME_SAMPLES, at + 4);
  data.writeUInt32BE(0x1eaf_cafe, at + 8);
  return Buffer.concat([data, payload]);
}
