import type { DatagramSocket, SocketAddress, StreamConnection } from '../../src/sip/index.js';
import type { SimWorld } from '../../src/net/index.js';
import { PeerMessage } from './sipText.js';

/** A hand-driven SIP peer on a simulated host: it sends the text it is given and keeps what comes. */
export class SimPeer {
  readonly got: PeerMessage[] = [];
  readonly address: string;
  readonly port: number;
  readonly #socket: DatagramSocket;

  private constructor(address: string, port: number, socket: DatagramSocket) {
    this.address = address;
    this.port = port;
    this.#socket = socket;
  }

  static async udp(world: SimWorld, address: string, port = 5060): Promise<SimPeer> {
    const box: { peer?: SimPeer } = {};
    const socket = await world.host(address).bindDatagram(
      { address, port },
      {
        onDatagram: (data, from, fromPort) => void box.peer?.got.push(new PeerMessage(data, from, fromPort)),
        onUnreachable: () => {},
      },
    );
    box.peer = new SimPeer(address, port, socket);
    return box.peer;
  }

  send(text: string | Buffer, to = '10.0.0.1', port = 5060): void {
    this.#socket.send(Buffer.from(text), to, port, false);
  }

  /** Start lines, short: `200 INVITE` or `BYE`. */
  get lines(): string[] {
    return this.got.map((message) => (message.isRequest ? message.method : `${message.status} ${message.method}`));
  }

  /** The latest message with this short start line. */
  last(line: string): PeerMessage {
    const at = this.lines.lastIndexOf(line);
    const message = this.got[at];
    if (message === undefined) throw new Error(`no ${line} among ${this.lines.join(', ')}`);
    return message;
  }
}

/** A hand-driven stream on a simulated host. */
export class SimStreamPeer {
  readonly got: PeerMessage[] = [];
  closed = false;
  readonly connection: StreamConnection;
  #text = '';

  constructor(world: SimWorld, address: string, to: SocketAddress = { address: '10.0.0.1', port: 5060 }) {
    this.connection = world.host(address).connectStream(to, {
      onData: (chunk) => this.#take(chunk),
      onClose: () => void (this.closed = true),
    });
  }

  send(text: string): void {
    this.connection.write(Buffer.from(text, 'latin1'));
  }

  get lines(): string[] {
    return this.got.map((message) => (message.isRequest ? message.method : `${message.status} ${message.method}`));
  }

  /** Bodies are not expected. */
  #take(chunk: Buffer): void {
    this.#text += chunk.toString('latin1');
    for (let end = this.#text.indexOf('\r\n\r\n'); end >= 0; end = this.#text.indexOf('\r\n\r\n')) {
      if (end > 0) this.got.push(new PeerMessage(Buffer.from(this.#text.slice(0, end + 4), 'latin1')));
      this.#text = this.#text.slice(end + 4);
    }
  }
}

export interface TextSpec {
  readonly method: string;
  readonly uri?: string;
  readonly from?: string;
  readonly via?: string;
  readonly branch?: string;
  readonly fromTag?: string;
  readonly toTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  /** Whole lines. */
  readonly lines?: readonly string[];
  readonly body?: string;
}

/** Text of a request from 10.0.0.2:5060 to 10.0.0.1:5060. */
export const requestText = (spec: TextSpec): string => {
  const { method, body = '', cseq = 1, branch = `z9hG4bK-${method}-${cseq}` } = spec;
  const head = [
    `${method} ${spec.uri ?? 'sip:bob@10.0.0.1'} SIP/2.0`,
    `Via: ${spec.via ?? `SIP/2.0/UDP 10.0.0.2:5060;branch=${branch}`}`,
    `From: <sip:alice@10.0.0.2>;tag=${spec.fromTag ?? 'alice'}`,
    `To: <sip:bob@10.0.0.1>${spec.toTag === undefined ? '' : `;tag=${spec.toTag}`}`,
    `Call-ID: ${spec.callId ?? 'call'}`,
    `CSeq: ${cseq} ${method}`,
    'Max-Forwards: 70',
    ...(spec.lines ?? (method === 'INVITE' ? ['Contact: <sip:alice@10.0.0.2:5060>'] : [])),
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
};

/** Text of an answer to a request as it was received. */
export const responseText = (
  request: PeerMessage,
  status: number,
  extra: { readonly toTag?: string; readonly lines?: readonly string[]; readonly via?: readonly string[] } = {},
): string => {
  const to = request.header('To') ?? '';
  const head = [
    `SIP/2.0 ${status} Words`,
    ...(extra.via ?? request.headerAll('Via').map((via) => `Via: ${via}`)),
    `From: ${request.header('From') ?? ''}`,
    `To: ${to.includes(';tag=') || extra.toTag === undefined ? to : `${to};tag=${extra.toTag}`}`,
    `Call-ID: ${request.callId}`,
    `CSeq: ${request.cseq}`,
    ...(extra.lines ?? []),
    'Content-Length: 0',
  ];
  return `${head.join('\r\n')}\r\n\r\n`;
};
