/**
 * Bots in a process of their own, good and bad: botCrowd.js ADDRESS PORT. The path says what a bot is; the parent says
 * when the bad ones begin. Everything is written octet by octet, for no library would send it.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const FLOOD = 100_000;

const waiting = new Map<string, (() => void)[]>();
const when = (word: string, then: () => void): void => {
  waiting.set(word, [...(waiting.get(word) ?? []), then]);
};
process.on('message', (word: string) => {
  for (const then of waiting.get(word) ?? []) then();
});
process.on('disconnect', () => process.exit(0));

const frameOf = (first: number, payload: Buffer): Buffer => {
  const { length } = payload;
  const head = length < 126 ? Buffer.of(first, length) : Buffer.of(first, 126, length >> 8, length & 0xff);
  return Buffer.concat([head, payload]);
};

const acceptance = (key = '', more = ''): string =>
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  `Sec-WebSocket-Accept: ${createHash('sha1')
    .update(key + GUID)
    .digest('base64')}\r\n${more}\r\n`;

/** Says back what audio comes, and answers pings. Frames are shorter than 64 kB. */
const echo = (socket: Socket): void => {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const wide = ((rest[1] ?? 0) & 0x7f) === 126 ? 2 : 0;
      if (rest.length < 6 + wide) return;
      const length = wide === 0 ? (rest[1] as number) & 0x7f : rest.readUInt16BE(2);
      const start = 6 + wide;
      if (rest.length < start + length) return;
      const payload = Buffer.alloc(length);
      for (let i = 0; i < length; i++) payload[i] = (rest[start + i] as number) ^ (rest[start - 4 + (i & 3)] as number);
      const first = rest[0] as number;
      rest = rest.subarray(start + length);
      if (first === 0x89) socket.write(frameOf(0x8a, payload));
      else if (first === 0x88) socket.end(frameOf(0x88, payload));
      else if (first === 0x81 && payload.includes('"event":"media"')) socket.write(frameOf(0x81, payload));
    }
  });
};

/** Writes something very many times, as fast as it is taken. */
const flood = (socket: Socket, one: Buffer): void => {
  const many = Buffer.concat(Array.from({ length: 100 }, () => one));
  let left = FLOOD / 100;
  const go = (): void => {
    while (left > 0 && !socket.destroyed) {
      left--;
      if (!socket.write(many)) return void socket.once('drain', go);
    }
  };
  go();
};

const TINY = frameOf(0x81, Buffer.from('{"event":"media","media":{"payload":"AAAA"}}'));

const ATTACKS: { readonly [path: string]: (socket: Socket) => void } = {
  /** A frame of 1 GB is announced, and begun. */
  '/giant': (socket) => {
    socket.write(Buffer.of(0x81, 127, 0, 0, 0, 0, 0x40, 0, 0, 0));
    flood(socket, Buffer.alloc(2000, 0x20));
  },
  /** Nothing is too large, but it never ends. */
  '/endless': (socket) => {
    socket.write(frameOf(0x01, Buffer.alloc(2000, 0x20)));
    flood(socket, frameOf(0x00, Buffer.alloc(2000, 0x20)));
  },
  '/tiny': (socket) => flood(socket, TINY),
  '/pings': (socket) => flood(socket, frameOf(0x89, Buffer.alloc(100))),
  /** 1 GB of zeros, deflated a thousandfold, though nobody agreed to that. */
  '/bomb': (socket) =>
    socket.write(Buffer.concat([Buffer.of(0xc1, 127, 0, 0, 0, 0, 0, 0x0f, 0, 0), Buffer.alloc(0x0f0000)])),
  /** Control frames must be short and whole. */
  '/longping': (socket) => socket.write(frameOf(0x89, Buffer.alloc(200))),
};

const server = createServer();
server.on('upgrade', (request, socket: Socket) => {
  const path = request.url ?? '';
  const key = request.headers['sec-websocket-key'];
  socket.on('error', () => {});
  socket.setNoDelay(true);
  if (path === '/headers') {
    socket.write(acceptance(key, 'x-a: 1\r\n'.repeat(3000)));
    return;
  }
  if (path === '/deflate') {
    socket.write(acceptance(key, 'Sec-WebSocket-Extensions: permessage-deflate\r\n'));
    return;
  }
  socket.write(acceptance(key));
  if (path === '/babbling') {
    // Reads nothing, and is not dead: it talks.
    socket.pause();
    setInterval(() => socket.write(TINY), 5).unref();
    return;
  }
  echo(socket);
  if (path === '/reset') when('reset', () => socket.resetAndDestroy());
  if (path === '/deaf') when('deaf', () => socket.pause());
  const attack = ATTACKS[path];
  if (attack !== undefined) when('attack', () => attack(socket));
});
server.listen(Number(process.argv[3]), process.argv[2], () => process.send?.('up'));
