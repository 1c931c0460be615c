// The bots of the media bench, in a process of their own: bot.mjs. Path /echo/DIALECT says back what it hears;
// /talk/DIALECT talks for ever and breaks off at once now and then, telling the parent when.
// WebSocket (RFC 6455) by hand: a bot must not cost more than what is measured.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { BOT, BOT_PORT, nowMs } from './places.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 0x81;
const BINARY = 0x82;
const CLOSE = 0x88;
const PONG = 0x8a;

const frameOf = (first, payload) => {
  const { length } = payload;
  const head = length < 126 ? Buffer.alloc(2) : length < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = first;
  if (length < 126) head[1] = length;
  else if (length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeUIntBE(length, 4, 6);
  }
  return Buffer.concat([head, payload]);
};

/** Calls `take(opcode, payload)` for each whole frame in the stream; the payload is unmasked in place. */
const framesIn = (socket, take) => {
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      if (rest.length < 6) return;
      const short = rest[1] & 0x7f;
      const wide = short === 126 ? 2 : short === 127 ? 8 : 0;
      const start = 2 + wide + 4;
      if (rest.length < start) return;
      const length = wide === 0 ? short : wide === 2 ? rest.readUInt16BE(2) : rest.readUIntBE(4, 6);
      if (rest.length < start + length) return;
      const payload = rest.subarray(start, start + length);
      for (let i = 0; i < length; i++) payload[i] ^= rest[start - 4 + (i & 3)];
      take(rest[0], payload);
      rest = rest.subarray(start + length);
    }
  });
};

const MEDIA = Buffer.from('"media"');
const isMedia = (payload) => {
  const at = payload.indexOf(MEDIA);
  return at >= 0 && at < 64;
};

/** Says back what it hears, in the words of the dialect. */
const echo = (socket, dialect) => {
  framesIn(socket, (first, payload) => {
    if (first === CLOSE) socket.end();
    else if (first === 0x89) socket.write(frameOf(PONG, payload));
    else if (first === BINARY) socket.write(frameOf(BINARY, payload));
    else if (first !== TEXT) return;
    else if (dialect === 'plivo') {
      const { event, media } = JSON.parse(payload.toString());
      if (event !== 'media') return;
      const answer = {
        event: 'playAudio',
        media: { contentType: 'audio/x-l16', sampleRate: 8000, payload: media.payload },
      };
      socket.write(frameOf(TEXT, Buffer.from(JSON.stringify(answer))));
    } else if (isMedia(payload)) socket.write(frameOf(TEXT, payload));
  });
};

/** Loud samples, or codes of mu-law. */
const loud = (dialect, ms) => {
  if (dialect === 'twilio') return Buffer.alloc(ms * 8, 0x90);
  const audio = Buffer.alloc(ms * 16);
  for (let i = 0; i < ms * 8; i++) audio.writeInt16LE(i & 4 ? 8000 : -8000, i * 2);
  return audio;
};

const WORDS = {
  exotel: { media: (payload) => ({ event: 'media', media: { payload } }), clear: { event: 'clear' } },
  twilio: { media: (payload) => ({ event: 'media', media: { payload } }), clear: { event: 'clear' } },
  plivo: {
    media: (payload) => ({ event: 'playAudio', media: { contentType: 'audio/x-l16', sampleRate: 8000, payload } }),
    clear: { event: 'clearAudio' },
  },
  jambonz: { clear: { type: 'killAudio' } },
};

const TALK_MS = 2000;
const BREAK_OFF_MS = 500;
const PAUSE_MS = 400;

/** Sends two seconds of speech at once, and takes back what was not heard after a second or less. */
const talk = (socket, dialect) => {
  const { media, clear } = WORDS[dialect];
  const audio = loud(dialect, TALK_MS);
  const speech =
    media === undefined
      ? frameOf(BINARY, audio)
      : frameOf(TEXT, Buffer.from(JSON.stringify(media(audio.toString('base64')))));
  const silence = frameOf(TEXT, Buffer.from(JSON.stringify(clear)));
  let timer;
  const say = () => {
    socket.write(speech);
    timer = setTimeout(breakOff, BREAK_OFF_MS + Math.random() * 100);
  };
  const breakOff = () => {
    process.send({ clearedMs: nowMs() });
    socket.write(silence);
    timer = setTimeout(say, PAUSE_MS);
  };
  say();
  framesIn(socket, (first, payload) => {
    if (first === CLOSE) socket.end();
    else if (first === 0x89) socket.write(frameOf(PONG, payload));
  });
  socket.on('close', () => clearTimeout(timer));
};

const server = createServer();
server.on('upgrade', (request, socket) => {
  const [, role, dialect] = request.url.split(/[/?]/);
  const accept = createHash('sha1')
    .update(request.headers['sec-websocket-key'] + GUID)
    .digest('base64');
  const protocol = request.headers['sec-websocket-protocol'];
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\n${protocol === undefined ? '' : `Sec-WebSocket-Protocol: ${protocol}\r\n`}\r\n`,
  );
  (role === 'talk' ? talk : echo)(socket, dialect);
});
server.listen(BOT_PORT, BOT, () => process.send({ ready: true }));
process.on('disconnect', () => process.exit(0));
