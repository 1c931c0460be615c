/** A datagram socket that says nothing by itself: for attackers, and for those in whose name they send. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export class RawSocket {
  readonly address: string;
  /** Everything that has come, in order. */
  readonly received: Buffer[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket, address: string) {
    this.#socket = socket;
    this.address = address;
    socket.on('message', (data) => this.received.push(data));
    socket.on('error', () => undefined);
  }

  static async open(address: string, port = 0): Promise<RawSocket> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(port, address);
    await once(socket, 'listening');
    return new RawSocket(socket, address);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** @param data text as octets */
  send(data: string | Buffer, hostPort: string): void {
    const at = hostPort.lastIndexOf(':');
    const octets = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
    this.#socket.send(octets, Number(hostPort.slice(at + 1)), hostPort.slice(0, at));
  }

  /** The next datagram that comes. */
  async next(limitMs = 5000): Promise<Buffer> {
    const [data] = (await once(this.#socket, 'message', { signal: AbortSignal.timeout(limitMs) })) as [Buffer];
    return data;
  }

  close(): Promise<void> {
    return new Promise((done) => this.#socket.close(() => done()));
  }
}
