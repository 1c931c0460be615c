import type { ClientRequestArgs } from 'node:http';
import { type NetConnectOpts, type Socket, connect } from 'node:net';

/** As much as the system hands over at a time. */
const ROOM = 64 * 1024;

/** One for the thread: what was read is handed on before the next read. */
let room: Buffer | undefined;

/**
 * A TCP connection for a thread that has hundreds of them, each with small messages many times a second. By itself Node
 * reserves 64 kB for every read and gives most of it back; the collector, which counts what is reserved, then runs
 * several times a second for nothing. Here what is read lands in one buffer, and a copy of its own length goes on.
 * @param options those of an HTTP request, which makes its connection by this
 */
export const connectFrugally = (options: ClientRequestArgs): Socket => {
  const socket: Socket = connect({
    ...(options as NetConnectOpts),
    onread: {
      buffer: (room ??= Buffer.alloc(ROOM)),
      callback: (length, buffer) => {
        socket.emit('data', Buffer.from(buffer.subarray(0, length)));
        return true;
      },
    },
  });
  return socket;
};
