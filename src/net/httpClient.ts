import { lookup as systemLookup } from 'node:dns';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Clock, type MayConnect, numericHostRefused, permittedLookup } from '../kernel/index.js';

export interface HttpAsk {
  readonly method: 'GET' | 'POST';
  /** http or https. Credentials in it become Basic auth (RFC 7617). */
  readonly url: string;
  /** Appended to the URL's own query, percent-encoded. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** From the beginning to the end of the body. */
  readonly timeoutMs: number;
  /** A longer body is cut, or, for `whole`, a failure. */
  readonly maxBytes: number;
  readonly whole?: boolean | undefined;
  /** Of a POST; its type is among the headers. */
  readonly body?: Buffer | undefined;
}

export type HttpAnswer =
  | { readonly ok: true; readonly status: number; readonly body: Buffer }
  | { readonly ok: false; readonly reason: string };

export interface HttpClientOptions {
  readonly clock: Clock;
  /** May a connection be made to this numeric address? Asked with the address that is then used. */
  readonly mayConnect: MayConnect;
  readonly userAgent: string;
}

/**
 * Asks web servers whose URLs tenants chose. Redirections are answers, not followed; the address that was checked is the
 * one connected to, so that a name cannot mean one thing to the check and another to the connection.
 */
export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #running = new Set<{ cancel(): void }>();

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /** Answers once, never within the call, and not at all after `cancel`. */
  fetch(ask: HttpAsk, done: (answer: HttpAnswer) => void): { cancel(): void } {
    let over = false;
    let close = (): void => {};
    const running = {
      cancel: () => {
        over = true;
        this.#running.delete(running);
        close();
      },
    };
    this.#running.add(running);
    const finish = (answer: HttpAnswer): void => {
      if (over) return;
      running.cancel();
      done(answer);
    };
    const target = this.#target(ask);
    if (typeof target === 'string') queueMicrotask(() => finish({ ok: false, reason: target }));
    else close = this.#send(ask, target, finish);
    return running;
  }

  /** Ends what is under way, without an answer. */
  close(): void {
    for (const running of [...this.#running]) running.cancel();
  }

  dump(): { readonly running: number } {
    return { running: this.#running.size };
  }

  /** @returns where to ask, or what is wrong with it */
  #target(ask: HttpAsk): URL | string {
    let url: URL;
    try {
      url = new URL(ask.url);
    } catch {
      return 'the URL cannot be parsed';
    }
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return `the URL begins with ${url.protocol}`;
    if (numericHostRefused(url, this.#options.mayConnect)) return 'not a permitted address';
    for (const [name, value] of ask.query) url.searchParams.append(name, value);
    url.hash = '';
    return url;
  }

  /** @returns what ends it */
  #send(ask: HttpAsk, url: URL, finish: (answer: HttpAnswer) => void): () => void {
    const { clock, mayConnect, userAgent } = this.#options;
    const headers: Record<string, string> = { 'User-Agent': userAgent, Accept: '*/*' };
    for (const [name, value] of ask.headers) headers[name] = value;
    const auth = url.username === '' ? {} : { auth: `${decoded(url.username)}:${decoded(url.password)}` };
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const timer = clock.setTimer('http.timeout', ask.timeoutMs, () => fail(new Error('no answer in time')));
    const fail = (error: Error): void => finish({ ok: false, reason: error.message });
    try {
      // No agent: a kept connection would outlive the check of its address.
      const lookup = permittedLookup(systemLookup, mayConnect);
      const options = { method: ask.method, headers, lookup, agent: false, ...auth } as const;
      const request = send(url, options, (response) => read(response, ask, finish));
      request.on('error', fail);
      if (ask.method === 'POST') request.setHeader('Content-Length', ask.body?.length ?? 0);
      request.end(ask.body);
      return () => {
        timer.cancel();
        request.destroy();
      };
    } catch (error) {
      // Header text that cannot go on the wire.
      queueMicrotask(() => fail(error instanceof Error ? error : new Error(String(error))));
      return () => timer.cancel();
    }
  }
}

function read(response: IncomingMessage, ask: HttpAsk, finish: (answer: HttpAnswer) => void): void {
  const status = response.statusCode ?? 0;
  const chunks: Buffer[] = [];
  let size = 0;
  const done = (): void => finish({ ok: true, status, body: Buffer.concat(chunks).subarray(0, ask.maxBytes) });
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size <= ask.maxBytes) return;
    if (ask.whole === true) finish({ ok: false, reason: `the answer is longer than ${ask.maxBytes} octets` });
    else done();
  });
  response.on('end', done);
  response.on('error', (error) => finish({ ok: false, reason: error.message }));
  response.on('aborted', () => finish({ ok: false, reason: 'the connection was cut within the answer' }));
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
