/** WebSockets: octets of SIP over WebSocket behind the handshake, and the messages of bots in every dialect. */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { ManualClock } from '../../../src/kernel/index.js';
import { DIALECTS } from '../../../src/media/stream/dialects.js';
import { SipWebSocketGate, WebSocketStream } from '../../../src/net/webSocketStream.js';
import { SIP_WORDS, writtenMessages } from '../seeds.js';
import { type Target, expect, show } from '../target.js';

const MAX_MESSAGE = 65_536;
const ENDS = { local: { address: '192.0.2.1', port: 80 }, remote: { address: '192.0.2.2', port: 9 } };

/** A client's frame; its mask is nothing, so that what is inside can be read and changed. */
const clientFrame = (opcode: number, payload: Buffer, flags = 0x80): Buffer => {
  const long = payload.length > 125;
  const head = Buffer.alloc(long ? 8 : 6);
  head[0] = flags | opcode;
  head[1] = 0x80 | (long ? 126 : payload.length);
  if (long) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
};

const DIALECT_SEEDS = [
  '{"event":"media","stream_sid":"s","media":{"payload":"AAAA","chunk":1,"timestamp":"20"}}',
  '{"event":"mark","streamSid":"MZ1","mark":{"name":"m"}}',
  '{"event":"clear","streamSid":"MZ1"}',
  '{"event":"playAudio","media":{"contentType":"audio/x-l16","sampleRate":8000,"payload":"AAAA"}}',
  '{"event":"checkpoint","streamId":"s","name":"n"}',
  '{"type":"playAudio","data":{"audioContent":"AAAA","audioContentType":"raw","sampleRate":8000}}',
  '{"type":"disconnect"}',
  '{"event":"dtmf","dtmf":{"digit":"12#"}}',
];

const seeds = (): Buffer[] => [
  ...DIALECT_SEEDS.map((text) => Buffer.from(text)),
  ...writtenMessages().map((message) => clientFrame(1, message)),
  Buffer.concat([
    clientFrame(9, Buffer.from('ping')),
    clientFrame(1, Buffer.from('\r\n\r\n')),
    clientFrame(8, Buffer.from([3, 232])),
  ]),
  Buffer.concat([
    clientFrame(1, Buffer.from('OPT'), 0),
    clientFrame(0, Buffer.from('IONS'), 0),
    clientFrame(0, Buffer.from('')),
  ]),
  Buffer.from([0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]),
];

class Wire extends Duplex {
  written = 0;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written += chunk.length;
    done();
  }
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
}

const REQUEST = {
  method: 'GET',
  headers: {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'sip',
  },
} as unknown as IncomingMessage;

const throughSocket = async (input: Buffer): Promise<void> => {
  const gate = new SipWebSocketGate({ maxMessageBytes: MAX_MESSAGE });
  const clock = new ManualClock();
  const wire = new Wire();
  let largest = 0;
  let closes = 0;
  gate.handle(REQUEST, wire, Buffer.alloc(0), (socket) => {
    const stream = new WebSocketStream(socket, ENDS, { clock, beforeSending: () => {}, onClosed: () => {} });
    stream.feed({ onData: (data) => (largest = Math.max(largest, data.length)), onClose: () => closes++ });
  });
  wire.push(input);
  wire.push(null);
  await new Promise<void>((resolve) => {
    wire.once('close', resolve);
    setTimeout(() => wire.destroy(), 200).unref();
  });
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(largest <= MAX_MESSAGE, 'message-too-large', () => `${largest} octets of ${show(input)}`);
  expect(closes === 1, 'closes', () => `closed ${closes} times: ${show(input)}`);
  expect(clock.pending === 0, 'timer-left', () => JSON.stringify(clock.dump()));
  expect(wire.written <= 400 + 2 * input.length, 'amplified', () => `${wire.written} octets for ${input.length}`);
};

export const wsTarget: Target = {
  name: 'ws',
  kind: 'json',
  covers: ['/src/media/stream/', '/src/net/webSocketStream', '/ws/lib/receiver'],
  words: [
    ...[
      'event',
      'type',
      'media',
      'payload',
      'streamSid',
      'stream_sid',
      'mark',
      'name',
      'clear',
      'data',
      'sampleRate',
      'contentType',
    ],
    ...[
      'AAAA',
      '!!!!',
      'audio/x-mulaw',
      'audio/x-l16',
      'dtmf',
      'digit',
      'playAudio',
      'checkpoint',
      '\x81\xfe\xff\xff',
      '\x81\x80',
      '\x89\x80',
    ],
    ...SIP_WORDS.slice(0, 12),
  ],
  maxBytes: 70_000,
  seeds,
  run: async (input) => {
    const text = input.toString('utf8');
    for (const dialect of Object.values(DIALECTS)) {
      for (const format of [
        { encoding: 'l16', sampleRate: 8000 },
        { encoding: 'mulaw', sampleRate: 8000 },
      ] as const) {
        for (const message of [dialect.read(text, format), dialect.readBinary?.(input, format)]) {
          if (message?.kind !== 'media' && message?.kind !== 'clip') continue;
          const { audio } = message;
          expect(audio.length <= input.length, 'audio-grows', () => show(input));
        }
      }
    }
    await throughSocket(input);
  },
};
