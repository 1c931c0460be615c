import type { Refusal, RequestSpec } from '../face.js';
import { type NextHop, nextHopOfText } from '../locate/nextHop.js';
import { SipRequest } from '../message/message.js';
import { param, parseNameAddr } from '../message/nameAddr.js';
import { parseUri } from '../message/uri.js';
import type { Listener, Way } from '../transport/hop.js';
import { addUserFields, breaksLine, replaceLocalhost, setBody, staysUri } from './fields.js';
import { isNumericHost } from '../locate/nextHop.js';
import type { CoreHost } from './host.js';
import { routeUri } from './routeSet.js';

export interface BuiltRequest {
  readonly request: SipRequest;
  readonly next: NextHop;
  readonly listener: Listener;
  /** The only way, for requests over a flow. */
  readonly flow: Way | undefined;
}

/** What only calls send: an INVITE is started by `invite`, its ACK and CANCEL by what it returns. */
const CARRIED_BY_INVITE: ReadonlySet<string> = new Set(['INVITE', 'ACK', 'CANCEL']);

const refuse = (refusal: Refusal['refusal'], detail: string): Refusal => ({ refusal, detail });

type Order = Omit<RequestSpec, 'method'>;

/**
 * RFC 3261 §8.1.1: a request outside any dialog, complete but for its Via.
 * @param invite it is sent as calls are: only INVITE may be
 */
export const buildOutOfDialog = (
  core: CoreHost,
  spec: Order,
  method: string,
  invite: boolean,
): BuiltRequest | Refusal => {
  if (CARRIED_BY_INVITE.has(method) !== (method === 'INVITE' && invite)) {
    return refuse('invalid_header', `${method} is no request of its own`);
  }
  const uri = parseUri(spec.uri);
  if (uri === undefined || !staysUri(spec.uri)) return refuse('invalid_uri', `not a URI: ${spec.uri}`);
  const course = spec.flow === undefined ? courseOf(core, spec) : courseOver(core, spec.flow);
  if ('refusal' in course) return course;
  const { listener } = course;

  const from = replaceLocalhost(spec.from ?? `<${listener.contactUri}>`, listener.sentBy);
  const to = replaceLocalhost(spec.to ?? `<${spec.uri}>`, listener.sentBy);
  const parsedFrom = parseNameAddr(from);
  if (parsedFrom === undefined || breaksLine(from)) return refuse('invalid_header', `From: ${from}`);
  if (parseNameAddr(to) === undefined || breaksLine(to)) return refuse('invalid_header', `To: ${to}`);

  if (spec.callId !== undefined && !isVisible(spec.callId)) return refuse('invalid_header', `Call-ID: ${spec.callId}`);

  const request = new SipRequest(method, spec.uri);
  const tagged = param(parsedFrom.params, 'tag') !== undefined;
  for (const route of spec.route ?? NO_ROUTES) if (!breaksLine(route)) request.add('Route', route);
  request.add('Max-Forwards', '70');
  request.add('From', tagged ? from : `${bracketed(from, parsedFrom.bracketed)};tag=${core.newTag()}`);
  request.add('To', to);
  request.add('Call-ID', spec.callId ?? core.layer.random.uuid());
  request.add('CSeq', `${spec.cseq ?? 1} ${method}`);
  if (spec.contact !== undefined) addUserFields(request, [['Contact', spec.contact]], listener.sentBy);
  else if (method === 'INVITE' || method === 'SUBSCRIBE') request.add('Contact', `<${listener.contactUri}>`);
  if (core.userAgent !== undefined) request.add('User-Agent', core.userAgent);
  addUserFields(request, spec.headers, listener.sentBy);
  setBody(request, spec.body);
  if (request.body.length > 0 && request.header('Content-Type') === undefined) {
    return refuse('missing_content_type', 'a body needs a Content-Type');
  }
  return { request, next: course.next, listener, flow: course.flow };
};

const NO_ROUTES: readonly string[] = [];

type Course = Omit<BuiltRequest, 'request'>;

const courseOf = (core: CoreHost, { uri, nextHop, route, target }: Order): Course | Refusal => {
  const place = nextHop ?? (route?.[0] === undefined ? uri : routeUri(route[0]));
  const next = nextHopOfText(place);
  if (next === undefined) return refuse('invalid_uri', `no SIP next hop: ${place}`);
  const { transport } = core.layer;
  if (core.stopped()) return refuse('no_transport', 'the engine has stopped');
  if (nextHop === undefined && transport.isLocal(next.host, next.port)) {
    return refuse('self', `${place} is an address of this server`);
  }
  const listener =
    target === undefined ? listenerOf(core, next) : transport.listenerFor(target.transport, target.address);
  if (listener === undefined) return refuse('no_transport', `nothing listens on ${next.transport} for ${next.host}`);
  if (target !== undefined) return { next, listener, flow: { listener, pinned: next.pinned, ...target } };
  return { next, listener, flow: undefined };
};

/** Where the transport is still DNS's to say, any that may come of it will do for now. */
const listenerOf = (core: CoreHost, { host, transport: wanted, open }: NextHop): Listener | undefined => {
  const { transport } = core.layer;
  if (isNumericHost(host)) return transport.listenerFor(wanted, host);
  for (const each of open === 'transport' ? ([wanted, 'tcp', 'tls'] as const) : [wanted]) {
    const listener = transport.listenerFor(each, '0.0.0.0') ?? transport.listenerFor(each, '::');
    if (listener !== undefined) return listener;
  }
  return undefined;
};

/** RFC 5626 §5.3: the flow is the way, whatever the URI says. */
const courseOver = (core: CoreHost, flow: string): Course | Refusal => {
  if (core.stopped()) return refuse('no_transport', 'the engine has stopped');
  const way = core.layer.transport.flows.way(flow);
  if (way === undefined) return refuse('flow_gone', `the flow ${flow} is closed`);
  const { listener, address: host, port } = way;
  return { next: { host, port, transport: listener.transport }, listener, flow: way };
};

/** No spaces, no controls: what a Call-ID may consist of, generously. */
const isVisible = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) return false;
  }
  return text.length > 0;
};

/** A tag behind an addr-spec that has parameters would be read as one of the URI's: bracket it. */
const bracketed = (field: string, hasBrackets: boolean): string => (hasBrackets ? field : `<${field.trim()}>`);
