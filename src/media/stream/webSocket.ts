import { lookup as systemLookup } from 'node:dns';
import { type RequestOptions, get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { WebSocket } from 'ws';
import type { Clock } from '../../kernel/index.js';
import { parseJson, textOf } from './dialect.js';
import type { BotDial, BotLocate } from './port.js';

type LookupFunction = NonNullable<RequestOptions['lookup']>;

/** How long the other side may take to answer our close. */
const CLOSE_MS = 2000;
const MAX_ANSWER_BYTES = 4096;

/**
 * Resolves a name and lets only permitted addresses through. The address that was checked is the one connected to, so
 * that a name cannot mean one thing to the check and another to the connection.
 */
const guardedLookup =
  (mayConnect: (address: string) => boolean): LookupFunction =>
  (host, options, answer) => {
    systemLookup(host, { ...options, all: true }, (error, addresses) => {
      const permitted = error === null ? addresses.filter((one) => mayConnect(one.address)) : [];
      const first = permitted[0];
      if (error !== null) answer(error, '', 0);
      else if (first === undefined)
        answer(Object.assign(new Error(`${host} is not a permitted address`), { code: 'EACCES' }), '', 0);
      else if (options.all === true) answer(null, permitted);
      else answer(null, first.address, first.family);
    });
  };

/** A numeric host is not looked up, so it is asked about before. */
const numericHostRefused = (url: string, mayConnect: (address: string) => boolean): boolean => {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const numeric = host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host);
  return numeric && !mayConnect(host);
};

/** The real BotDial, on `ws`: no compression, bounded messages, no redirects. */
export const webSocketDialer =
  (clock: Clock): BotDial =>
  (options, sink) => {
    let told = false;
    let status: number | undefined;
    let detail = '';
    const closed = (code: number | undefined): void => {
      if (told) return;
      told = true;
      sink.onClosed({ status, code, detail });
    };
    let socket: WebSocket;
    try {
      if (numericHostRefused(options.url, options.mayConnect)) throw new Error('not a permitted address');
      socket = new WebSocket(options.url, [...options.protocols], {
        headers: { ...options.headers },
        handshakeTimeout: options.handshakeTimeoutMs,
        maxPayload: options.maxMessageBytes,
        perMessageDeflate: false,
        followRedirects: false,
        lookup: guardedLookup(options.mayConnect),
      });
    } catch (error) {
      detail = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => closed(undefined));
      return { sendText: () => {}, sendBinary: () => {}, close: () => {}, bufferedBytes: 0 };
    }
    let opened = false;
    socket.on('open', () => {
      opened = true;
      sink.onOpen();
    });
    socket.on('unexpected-response', (request, response) => {
      status = response.statusCode;
      detail = `handshake answered with ${status ?? 'nothing'}`;
      request.destroy();
      response.resume();
      socket.terminate();
    });
    socket.on('error', (error) => {
      if (detail === '') detail = error.message;
    });
    socket.on('close', (code) => closed(opened ? code : undefined));
    socket.on('message', (data, isBinary) => {
      const bytes = Buffer.isBuffer(data) ? data : Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
      if (isBinary) sink.onBinary(bytes);
      else sink.onText(bytes.toString('utf8'));
    });
    return {
      sendText: (text) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(text);
      },
      sendBinary: (data) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(data);
      },
      close: (code, reason) => {
        if (socket.readyState === WebSocket.CONNECTING) return socket.terminate();
        socket.close(code, reason);
        const destroy = clock.setTimer('stream_close', CLOSE_MS, () => socket.terminate());
        socket.once('close', () => destroy.cancel());
      },
      get bufferedBytes(): number {
        return socket.bufferedAmount;
      },
    };
  };

/** The real BotLocate: one GET, no redirects, a small JSON answer `{"url": "wss://..."}`. */
export const locateBot: BotLocate = ({ url, headers, timeoutMs, mayConnect }, done) => {
  let told = false;
  const tell = (answer: Parameters<typeof done>[0]): void => {
    if (told) return;
    told = true;
    done(answer);
  };
  const fail = (detail: string): void => tell({ ok: false, detail });
  if (numericHostRefused(url, mayConnect)) {
    queueMicrotask(() => fail('not a permitted address'));
    return { cancel: () => (told = true) };
  }
  const get = url.startsWith('https:') ? httpsGet : httpGet;
  const request = get(
    url,
    { headers, timeout: timeoutMs, lookup: guardedLookup(mayConnect), signal: AbortSignal.timeout(timeoutMs) },
    (response) => {
      let body = '';
      if (response.statusCode !== 200) {
        response.resume();
        fail(`the URL answered with ${response.statusCode ?? 'nothing'}`);
        return;
      }
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > MAX_ANSWER_BYTES) request.destroy(new Error('the answer of the URL is too long'));
      });
      response.on('end', () => {
        const found = textOf(parseJson(body) ?? {}, 'url');
        if (found === undefined) fail('the URL answered without {"url": ...}');
        else tell({ ok: true, url: found });
      });
    },
  );
  request.on('error', (error) => fail(error.message));
  return {
    cancel: () => {
      told = true;
      request.destroy();
    },
  };
};
