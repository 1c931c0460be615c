/**
 * Who gets a request when the server itself finds the application: request handlers, as drachtio-server has them. Pure:
 * which handler serves a method, what it is asked, and what its answer means.
 */
import { type ProxyPlan, type SipRequest, type Source, param, parseUri } from '../sip/index.js';

export interface RequestHandler {
  /** A SIP method, or `*` for all. The first that fits serves. */
  readonly method: string;
  /** `tcp://host:port` or `tls://host:port`: the application. `http://`, `https://`: who knows it. */
  readonly url: string;
  /** How to ask a web server; default GET. */
  readonly httpMethod?: 'GET' | 'POST' | undefined;
}

/** A question to a web server. Its query stands in the URL already. */
export interface HttpQuestion {
  readonly url: string;
  readonly httpMethod: 'GET' | 'POST';
  /** The request as received; for POST. */
  readonly body: Buffer;
}

/** Asks a web server; answers once, with its JSON, or undefined where there was none. */
export type AskHttp = (question: HttpQuestion, answered: (json: unknown) => void) => void;

/** An application to connect to. */
export interface AppPlace {
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'tls';
}

export type Routing =
  | { readonly action: 'reject'; readonly status: number; readonly reason: string | undefined }
  | { readonly action: 'redirect'; readonly contacts: readonly string[] }
  | { readonly action: 'proxy'; readonly plan: ProxyPlan }
  | { readonly action: 'dial'; readonly place: AppPlace }
  | { readonly action: 'tag'; readonly tag: string };

export const handlerFor = (handlers: readonly RequestHandler[], method: string): RequestHandler | undefined =>
  handlers.find((handler) => handler.method === '*' || handler.method.toUpperCase() === method);

/** `tcp://host:port` and `tls://host:port`; undefined for others. */
export function placeOf(url: string): AppPlace | undefined {
  const match = /^(tcp|tls):\/\/(\[[0-9a-f:.]+\]|[^:/?\s]+):(\d{1,5})\/?$/i.exec(url);
  if (match === null) return undefined;
  const port = Number(match[3]);
  const host = (match[2] as string).replace(/^\[|\]$/g, '');
  return port > 65_535 ? undefined : { host, port, protocol: (match[1] as string).toLowerCase() as 'tcp' | 'tls' };
}

const DEFAULT_PROVISIONAL_MS = 5_000;
const DEFAULT_FINAL_MS = 60_000;

/** What a web server is told of a request, in the words of drachtio-server. */
export function questionFor(handler: RequestHandler, request: SipRequest, source: Source): HttpQuestion {
  const uri = request.parsedUri;
  const query = new URLSearchParams({
    method: request.method,
    domain: uri?.host ?? '',
    protocol: source.transport,
    source_address: source.address,
    fromUser: parseUri(request.from.uri)?.user ?? '',
    toUser: parseUri(request.to.uri)?.user ?? '',
    uriUser: uri?.user ?? '',
    contentType: request.header('Content-Type') ?? '',
    uri: request.uri,
  });
  for (const [name, value] of uriParams(uri?.params ?? '')) if (!query.has(name)) query.append(name, value);
  const separator = handler.url.includes('?') ? '&' : '?';
  return {
    url: `${handler.url}${separator}${query.toString()}`,
    httpMethod: handler.httpMethod ?? 'GET',
    body: request.toBuffer(),
  };
}

const uriParams = (params: string): [string, string][] =>
  params
    .split(';')
    .filter((each) => each !== '')
    .map((each) => {
      const equals = each.indexOf('=');
      return equals < 0 ? [each, ''] : [each.slice(0, equals), each.slice(equals + 1)];
    });

/** @returns undefined when the answer makes no sense: 500 for the caller */
export function routingOf(answer: unknown): Routing | undefined {
  if (!isRecord(answer) || !isRecord(answer['data'])) return undefined;
  const { data } = answer;
  switch (answer['action']) {
    case 'reject':
      return rejection(data);
    case 'redirect': {
      const contacts = texts(data['contact']);
      return contacts === undefined ? undefined : { action: 'redirect', contacts };
    }
    case 'proxy':
      return proxying(data);
    case 'route':
      return application(data);
    default:
      return undefined;
  }
}

function rejection(data: Record<string, unknown>): Routing | undefined {
  const status = Number(data['status']);
  const reason = typeof data['reason'] === 'string' ? data['reason'] : undefined;
  return Number.isInteger(status) && status >= 300 && status <= 699 ? { action: 'reject', status, reason } : undefined;
}

function proxying(data: Record<string, unknown>): Routing | undefined {
  const targets = texts(data['destination']);
  if (targets === undefined) return undefined;
  const plan = {
    targets,
    recordRoute: data['recordRoute'] === true,
    followRedirects: data['followRedirects'] !== false,
    parallel: data['simultaneous'] === true,
    provisionalTimeoutMs: millis(data['provisionalTimeout'], DEFAULT_PROVISIONAL_MS),
    finalTimeoutMs: millis(data['finalTimeout'], DEFAULT_FINAL_MS),
  };
  return { action: 'proxy', plan };
}

/** `{"uri": "host:port;transport=tcp"}`, or `{"tag": "x"}`. */
function application(data: Record<string, unknown>): Routing | undefined {
  if (typeof data['tag'] === 'string') return { action: 'tag', tag: data['tag'] };
  if (typeof data['uri'] !== 'string') return undefined;
  const [hostPort = '', ...params] = data['uri'].replace(/^sips?:/i, '').split(';');
  const transport = param(params.map((each) => `;${each}`).join(''), 'transport')?.toLowerCase() ?? 'tcp';
  const place = placeOf(`${transport}://${hostPort}`);
  return place === undefined ? undefined : { action: 'dial', place };
}

/** `5s`, `1500ms`. */
export function millis(value: unknown, otherwise: number): number {
  const match = /^(\d{1,6})(ms|s)$/.exec(typeof value === 'string' ? value : '');
  return match === null ? otherwise : Number(match[1]) * (match[2] === 's' ? 1000 : 1);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/** One text or several; undefined when it is neither, or none. */
function texts(value: unknown): string[] | undefined {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.length > 0 && list.every((each) => typeof each === 'string' && each !== '')
    ? (list as string[])
    : undefined;
}
