import { EventEmitter, once } from 'node:events';
import type {
  DatagramSink,
  DatagramSocket,
  Network,
  SocketAddress,
  StreamConnection,
  StreamSink,
} from '../../src/net/index.js';

/** Waits until `done` holds, looking again whenever something was heard. */
class Awaitable {
  readonly #heard = new EventEmitter();

  protected tell(): void {
    this.#heard.emit('heard');
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await once(this.#heard, 'heard');
  }
}

/** Keeps what a UDP socket hears. */
export class HeardDatagrams extends Awaitable implements DatagramSink {
  readonly datagrams: { text: string; from: SocketAddress; bytes: number }[] = [];
  readonly unreachable: { code: string; peer: SocketAddress; atMs: number }[] = [];

  onDatagram(data: Buffer, address: string, port: number): void {
    this.datagrams.push({ text: data.toString('latin1', 0, 100), from: { address, port }, bytes: data.length });
    this.tell();
  }

  onUnreachable(address: string, port: number, code: string): void {
    this.unreachable.push({ code, peer: { address, port }, atMs: performance.now() });
    this.tell();
  }

  get texts(): string[] {
    return this.datagrams.map((datagram) => datagram.text);
  }
}

/** Keeps what one end of a stream hears. */
export class HeardStream extends Awaitable implements StreamSink {
  connected = 0;
  text = '';
  chunks = 0;
  readonly closes: (string | undefined)[] = [];

  onConnected(): void {
    this.connected++;
    this.tell();
  }

  onData(chunk: Buffer): void {
    this.text += chunk.toString('latin1');
    this.chunks++;
    this.tell();
  }

  onClose(code?: string): void {
    this.closes.push(code);
    this.tell();
  }
}

/** A UDP port that sends everything back. */
export const echoDatagrams = async (network: Network, local: SocketAddress): Promise<DatagramSocket> => {
  const socket: DatagramSocket = await network.bindDatagram(local, {
    onDatagram: (data, address, port) => socket.send(data, address, port, false),
    onUnreachable: () => {},
  });
  return socket;
};

/** The end of a stream that sends everything back. */
export const echoStream = (connection: StreamConnection, heard = new HeardStream()): HeardStream => {
  const keep = heard.onData.bind(heard);
  heard.onData = (chunk) => {
    connection.write(chunk);
    keep(chunk);
  };
  return heard;
};
