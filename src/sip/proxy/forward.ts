/** The copy of a request that a proxy sends on: RFC 3261 §16.4 and §16.6. */
import { createHash } from 'node:crypto';
import { addUserFields } from '../dialog/fields.js';
import { isLooseRoute, routeUri } from '../dialog/routeSet.js';
import type { HeaderField } from '../face.js';
import { SipRequest } from '../message/message.js';
import { parseNameAddr } from '../message/nameAddr.js';
import { sameHopRequest } from '../message/sameHop.js';
import { parseUri } from '../message/uri.js';
import { parseVia } from '../message/via.js';
import { type NextHop, nextHopOfText } from '../locate/nextHop.js';
import type { Listener } from '../transport/hop.js';

/** RFC 3261 §16.6 step 3: for requests that carry none. */
const DEFAULT_MAX_FORWARDS = 70;

/** What the copies of one request have in common. */
export interface Received {
  readonly request: SipRequest;
  /** Route values after ours were taken off (§16.4). */
  readonly routes: readonly string[];
  /** Second part of our branches: the same request gives the same, so that a loop is seen (§16.6 step 8). */
  readonly loopMark: string;
}

/** §16.3 step 3. @returns undefined when it may go no further */
export const hopsLeft = (request: SipRequest): number | undefined => {
  const left = (request.maxForwards ?? DEFAULT_MAX_FORWARDS + 1) - 1;
  return left < 0 ? undefined : left;
};

/** §16.6 step 8: what decides where a request goes; not what we change in it on the way. */
export const loopMarkOf = (request: SipRequest): string => {
  const hash = createHash('sha1').update(
    `${request.uri}\0${request.callId}\0${request.fromTag ?? ''}\0${request.toTag ?? ''}\0${request.cseq.seq}`,
  );
  for (const name of ['Route', 'Proxy-Require', 'Proxy-Authorization']) {
    for (const value of request.headerAll(name)) hash.update(`\0${value}`);
  }
  return hash.digest('hex').slice(0, 12);
};

/** §16.3 step 4: the same request, unchanged, has been here before. */
export const hasLooped = (request: SipRequest, mark: string, listeners: readonly Listener[]): boolean => {
  if (request.count('Via') < 2 && !(request.header('Via') ?? '').includes(',')) return false;
  return request.headerList('Via').some((value) => {
    const via = parseVia(value);
    if (via?.branch?.endsWith(`.${mark}`) !== true) return false;
    return listeners.some((l) => l.viaHost === via.host && l.viaPort === (via.port ?? 5060));
  });
};

export interface Copy {
  readonly request: SipRequest;
  readonly next: NextHop;
}

/** A target as a Request-URI: without the header fields that mean nothing there (§19.1.1). */
const requestUri = (target: string): string | undefined => {
  const written = target.includes('<') ? (parseNameAddr(target)?.uri ?? '') : target;
  const uri = parseUri(written);
  if (uri === undefined || (uri.scheme !== 'sip' && uri.scheme !== 'sips')) return undefined;
  return uri.headers === '' ? written : written.slice(0, written.indexOf('?'));
};

/** @returns undefined when the target is no URI that a request can be sent to */
export const nextHopOfTarget = (target: string): NextHop | undefined => {
  const uri = requestUri(target);
  return uri === undefined ? undefined : nextHopOfText(uri);
};

/**
 * §16.6 but for Record-Route and Via, which depend on the way that is taken.
 * @param target where it shall go: the new Request-URI, unless a route stands before it
 * @returns undefined when there is no next hop for it
 */
export const copyFor = (
  { request, routes }: Received,
  target: string,
  headers: readonly HeaderField[] | undefined,
): Copy | undefined => {
  const uri = requestUri(target);
  if (uri === undefined) return undefined;
  const first = routes[0];
  // §16.6 step 6: a strict router finds its own URI as the Request-URI, and the target behind the routes.
  const strict = first !== undefined && !isLooseRoute(first);
  const copy = new SipRequest(request.method, strict ? routeUri(first) : uri);
  const next = nextHopOfText(first === undefined ? uri : routeUri(first));
  if (next === undefined) return undefined;
  let routed = false;
  let limited = false;
  const addRoutes = (): void => {
    if (routed) return;
    routed = true;
    for (let i = strict ? 1 : 0; i < routes.length; i++) copy.add('Route', routes[i] as string);
    if (strict) copy.add('Route', `<${uri}>`);
  };
  const left = String(hopsLeft(request) ?? 0);
  request.eachField((name, value) => {
    if (name === 'Route') return addRoutes();
    if (name !== 'Max-Forwards') copy.add(name, value);
    else if (!limited) copy.add(name, left);
    limited ||= name === 'Max-Forwards';
  });
  addRoutes();
  if (!limited) copy.add('Max-Forwards', left);
  copy.body = request.body;
  replaceFields(copy, headers);
  return { request: copy, next };
};

/** Fields of the proxy's user take the place of the caller's. */
const replaceFields = (copy: SipRequest, headers: readonly HeaderField[] | undefined): void => {
  if (headers === undefined || headers.length === 0) return;
  const wanted = new SipRequest(copy.method, copy.uri);
  addUserFields(wanted, headers, '');
  const seen = new Set<string>();
  wanted.eachField((name, value) => {
    if (seen.has(name)) copy.add(name, value);
    else copy.set(name, value);
    seen.add(name);
  });
};

/** §9.1, as §16.10 has it for each branch. */
export const cancelOf = (sent: SipRequest, reasons: readonly string[]): SipRequest => {
  const cancel = sameHopRequest('CANCEL', sent);
  for (const reason of reasons) cancel.add('Reason', reason); // RFC 3326 §2
  return cancel;
};
