import type { Socket } from 'node:dgram';

/** The default of Linux (208 kB) overflows at the first hiccup of a busy process, and retransmissions make it worse. */
const BUFFER_BYTES = 4 * 1024 * 1024;
const SMALLEST_BYTES = 256 * 1024;

/** Asks for large kernel buffers and takes what the system gives: Linux cuts silently, others refuse, so halve. */
export const askBuffers = (socket: Socket): void => {
  for (const ask of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
    for (let bytes = BUFFER_BYTES; bytes >= SMALLEST_BYTES; bytes /= 2) {
      try {
        socket[ask](bytes);
        break;
      } catch {
        continue;
      }
    }
  }
};
