import { lookup as systemLookup } from 'node:dns';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { numericHostRefused, permittedLookup } from '../../kernel/index.js';
import { parseJson, textOf } from './dialect.js';
import type { BotLocate } from './port.js';

const MAX_ANSWER_BYTES = 4096;

/** The real BotLocate: one GET, no redirects, a small JSON answer `{"url": "wss://..."}`. */
export const locateBot: BotLocate = ({ url, headers, timeoutMs, mayConnect }, done) => {
  let told = false;
  const tell = (answer: Parameters<typeof done>[0]): void => {
    if (told) return;
    told = true;
    done(answer);
  };
  const fail = (detail: string): void => tell({ ok: false, detail });
  if (numericHostRefused(new URL(url), mayConnect)) {
    queueMicrotask(() => fail('not a permitted address'));
    return { cancel: () => (told = true) };
  }
  const get = url.startsWith('https:') ? httpsGet : httpGet;
  const request = get(
    url,
    {
      headers: { ...headers, Accept: 'application/json' },
      lookup: permittedLookup(systemLookup, mayConnect),
      // A pooled connection would have been opened under somebody else's rules.
      agent: false,
      // Bounds the whole exchange; a server that sends an octet now and then does not prolong it.
      signal: AbortSignal.timeout(timeoutMs),
    },
    (response) => {
      if (response.statusCode === 200) return collect(response, fail, (text) => readAnswer(text, fail, tell));
      fail(`the URL answered with ${response.statusCode ?? 'nothing'}`);
      request.destroy();
    },
  );
  request.on('error', (error) => {
    fail(error.name === 'AbortError' ? `the URL did not answer in ${timeoutMs} ms` : error.message);
  });
  // Whatever else may end the exchange, an answer cut short included.
  request.on('close', () => fail('the URL closed the connection without an answer'));
  return {
    cancel: () => {
      told = true;
      request.destroy();
    },
  };
};

const collect = (response: IncomingMessage, fail: (detail: string) => void, complete: (text: string) => void): void => {
  const parts: Buffer[] = [];
  let length = 0;
  response.on('data', (part: Buffer) => {
    length += part.length;
    parts.push(part);
    if (length <= MAX_ANSWER_BYTES) return;
    fail('the answer of the URL is too long');
    response.destroy();
  });
  response.on('error', (error) => fail(error.message));
  response.on('end', () => complete(Buffer.concat(parts).toString('utf8')));
};

const readAnswer = (
  text: string,
  fail: (detail: string) => void,
  tell: (answer: { readonly ok: true; readonly url: string }) => void,
): void => {
  const url = textOf(parseJson(text) ?? {}, 'url');
  if (url === undefined) fail('the URL answered without {"url": ...}');
  else tell({ ok: true, url });
};
