import type {
  Dialog,
  DialogEnd,
  DialogListener,
  OutgoingInvite,
  OutgoingInviteListener,
  OutgoingRequest,
  OutgoingRequestListener,
  Refusal,
  ResponseFields,
} from '../face.js';
import { type NextHop, isSipUri, nextHopOfText } from '../locate/nextHop.js';
import { SipRequest, type SipResponse } from '../message/message.js';
import { detach } from '../message/text.js';
import { type Hop, type Listener, type Way, sameAddress } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { addUserFields, setBody } from './fields.js';
import { type CoreHost, dialogKey } from './host.js';
import type { IncomingRequestCall } from './incomingRequest.js';
import type { IncomingInviteCall } from './incomingInvite.js';
import type { ReliableProvisionals } from './reliable.js';
import { isLooseRoute, routeSetOf, routeUri } from './routeSet.js';
import { OutgoingInviteCall } from './outgoingInvite.js';
import { type LaunchUser, OutgoingRequestCall, findWays, findWaysBeyond } from './outgoing.js';
import { wayBack } from './wayBack.js';

export interface DialogParts {
  readonly id: string;
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  /** From field of our requests, tag included. */
  readonly localField: string;
  /** To field of our requests, tag included. */
  readonly remoteField: string;
  readonly remoteTarget: string;
  readonly routeSet: readonly string[];
  readonly localSeq: number;
  readonly remoteSeq: number | undefined;
  /** Where it was set up; requests leave from here. */
  readonly listener: Listener;
  /** Where the message came from that made it: the peer's INVITE, or its answer to ours. */
  readonly peerAddress: string;
  /** The connection it was set up over, for streams. */
  readonly hop: Hop | undefined;
  /** Of a registered contact: behind NAT, or in a browser, its Contact leads nowhere. */
  readonly flow?: Way | undefined;
  /** Of a peer behind NAT: where its messages come from, whatever its Contact says. */
  readonly peerWay?: Way | undefined;
}

/** RFC 3311 §5.1, RFC 6665 §8.2, RFC 3515 §2.4.1. */
const CARRIES_CONTACT: ReadonlySet<string> = new Set(['UPDATE', 'SUBSCRIBE', 'NOTIFY', 'REFER']);

/** RFC 3261 §12: the state that two user agents share, and the requests within it. */
export class InviteDialog implements Dialog {
  readonly id: string;
  readonly key: string;
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly peerAddress: string;
  state: 'early' | 'confirmed' | 'terminated' = 'early';
  listener: DialogListener | undefined;
  /** Our own INVITE in this dialog that has no final answer yet (glare, RFC 3261 §14.2). */
  pendingOut: OutgoingInviteCall | undefined;
  /** The INVITE whose 2xx awaits our ACK, or whose ACK may have to be repeated. */
  lastOut: OutgoingInviteCall | undefined;
  /** The peer's INVITE that has no final answer, or whose 2xx awaits an ACK. */
  pendingIn: IncomingInviteCall | undefined;
  /** The peer's latest UPDATE. */
  updateIn: IncomingRequestCall | undefined;
  /** Provisionals whose PRACK the final answer of their INVITE has overtaken. */
  lateReliable: ReliableProvisionals | undefined;
  readonly #core: CoreHost;
  readonly #localField: string;
  readonly #remoteField: string;
  readonly #viaListener: Listener;
  readonly #hop: Hop | undefined;
  readonly #flow: Way | undefined;
  #peerWay: Way | undefined;
  #remoteTarget: string;
  #routeSet: readonly string[];
  #localSeq: number;
  #remoteSeq: number | undefined;
  #byeChallenged = false;

  constructor(core: CoreHost, parts: DialogParts) {
    this.#core = core;
    this.id = parts.id;
    this.callId = detach(parts.callId);
    this.localTag = detach(parts.localTag);
    this.remoteTag = detach(parts.remoteTag);
    this.peerAddress = parts.peerAddress;
    this.key = dialogKey(parts.callId, parts.localTag, parts.remoteTag);
    this.#localField = detach(parts.localField);
    this.#remoteField = detach(parts.remoteField);
    this.#remoteTarget = detach(parts.remoteTarget);
    this.#routeSet = parts.routeSet.map(detach);
    this.#localSeq = parts.localSeq;
    this.#remoteSeq = parts.remoteSeq;
    this.#viaListener = parts.listener;
    this.#hop = parts.hop;
    if (parts.hop !== undefined) parts.hop.dialogs++;
    this.#peerWay = parts.peerWay;
    this.#flow = parts.flow;
  }

  get remoteTarget(): string {
    return this.#remoteTarget;
  }

  get routeSet(): readonly string[] {
    return this.#routeSet;
  }

  // ------------------------------------------------------------------ requests from us

  request(
    method: string,
    fields: ResponseFields & { readonly cseq?: number | undefined },
    listener: OutgoingRequestListener,
  ): OutgoingRequest | Refusal {
    if (method === 'INVITE' || method === 'ACK' || method === 'CANCEL') {
      return { refusal: 'invalid_header', detail: `${method} is no request of its own` };
    }
    const isBye = method === 'BYE';
    // RFC 3261 §13.2.2.4: every 2xx is acknowledged, even when the call ends at once.
    if (isBye) this.ack();
    const retry = isBye && this.#byeChallenged && !this.#core.stopped();
    if (this.state === 'terminated' && !retry) return gone(this.id);
    if (isBye && this.pendingIn?.unanswered === true && !this.pendingIn.isReinvite) {
      return { refusal: 'request_pending', detail: 'the INVITE is to be answered, not ended by BYE (RFC 3261 §15)' };
    }
    this.#byeChallenged = false;
    const request = this.#build(method, this.#nextSeq(fields.cseq), fields);
    const next = this.#nextHop(request);
    // A dialog whose peer cannot be reached ends all the same: its BYE fails as if the name had not been found.
    if (next === undefined && !isBye) return badTarget(this.#remoteTarget);
    const watched = isBye || method === 'UPDATE' || method === 'INFO';
    const watcher = watched ? this.#watching(method, listener) : listener;
    const call = new OutgoingRequestCall(this.#core, request, this.#viaListener, watcher);
    if (isBye) this.terminate('local_bye', undefined);
    if (next === undefined) call.onUnresolved();
    else this.findWaysFor(next, call);
    return call;
  }

  invite(fields: ResponseFields, listener: OutgoingInviteListener): OutgoingInvite | Refusal {
    if (this.state === 'terminated') return gone(this.id);
    if (this.pendingOut !== undefined || this.pendingIn !== undefined || this.state === 'early') {
      return { refusal: 'request_pending', detail: 'another INVITE is pending in this dialog (RFC 3261 §14.1)' };
    }
    const request = this.#build('INVITE', this.#nextSeq(undefined), fields);
    if (request.header('Contact') === undefined) request.set('Contact', `<${this.#viaListener.contactUri}>`);
    const next = this.#nextHop(request);
    if (next === undefined) return badTarget(this.#remoteTarget);
    const call = new OutgoingInviteCall(this.#core, request, { listener: this.#viaListener, dialog: this }, listener);
    this.pendingOut = call;
    this.findWaysFor(next, call);
    return call;
  }

  ack(fields: ResponseFields = {}): SipRequest | undefined {
    return this.lastOut?.acknowledge(this, fields);
  }

  /** ACK of a 2xx: a request of its own, RFC 3261 §13.2.2.4. The CSeq is that of the INVITE it acknowledges. */
  buildAck(seq: number, fields: ResponseFields): { readonly request: SipRequest; readonly next: NextHop | undefined } {
    const request = this.#build('ACK', seq, fields);
    return { request, next: this.#nextHop(request) };
  }

  /** Sends BYE on the engine's own account. The peer's answer interests nobody. */
  bye(end: DialogEnd, reasonText: string): void {
    if (this.state === 'terminated') return;
    this.ack();
    if (this.state !== 'confirmed') return;
    const reason = ['Reason', `SIP;cause=200;text="${reasonText}"`] as const;
    const request = this.#build('BYE', this.#nextSeq(undefined), { headers: [reason] });
    const next = this.#nextHop(request);
    const call = new OutgoingRequestCall(this.#core, request, this.#viaListener, { onResponse: () => {} });
    if (next !== undefined) this.findWaysFor(next, call);
    this.terminate(end, request);
  }

  /** The ways for a request of this dialog, by RFC 3261 §18.1.1 first over the connection that is open to that host. */
  findWaysFor(next: NextHop, user: LaunchUser): void {
    const hop = this.#hop;
    const flow = this.#flow;
    // A connection that is closed leaves what the Contact says.
    const open = flow?.hop === undefined || flow.hop.connection !== undefined;
    const fixed = flow !== undefined && open ? flow : this.#peerWay;
    if (fixed !== undefined && this.#routeSet.length === 0) return user.onWays([fixed]);
    if (hop?.connection !== undefined && isCarriedBy(hop, next) && this.#leadsTo(hop, next))
      findWaysBeyond(this.#core, next, hop, user);
    else findWays(this.#core, next, this.#viaListener, user);
  }

  /**
   * Whether the dialog's own connection is the way to its next hop. A peer that connected to us and sent no route is
   * reached where it is, whatever its Contact says: that may be an address behind NAT, or none at all (RFC 7118 §5,
   * RFC 5923 §5).
   */
  #leadsTo(hop: Hop, next: NextHop): boolean {
    return (!hop.dialable && this.#routeSet.length === 0) || sameAddress(hop.address, next.host);
  }

  /** A NAT may give its peer another port while the call is up. */
  heardFrom(arrival: Arrival): void {
    if (this.#peerWay !== undefined) this.#peerWay = wayBack(arrival);
  }

  end(): void {
    this.terminate('local_bye', undefined);
  }

  // ------------------------------------------------------------------ state

  confirm(): void {
    if (this.state === 'early') this.state = 'confirmed';
  }

  terminate(end: DialogEnd, message: SipRequest | undefined): void {
    if (this.state === 'terminated') return;
    const wasConfirmed = this.state === 'confirmed';
    this.state = 'terminated';
    this.#core.removeDialog(this);
    if (this.#hop !== undefined) this.#hop.dialogs--;
    this.pendingIn?.dialogEnded();
    this.pendingOut?.dialogEnded();
    this.pendingIn = this.pendingOut = this.lateReliable = this.lastOut = undefined;
    const { listener } = this;
    if (wasConfirmed && listener !== undefined) this.#core.guard(() => listener.onTerminated(end, message));
  }

  /** RFC 3261 §12.2.2: false when the request is out of order. */
  acceptSeq(seq: number): boolean {
    if (this.#remoteSeq !== undefined && seq < this.#remoteSeq) return false;
    this.#remoteSeq = seq;
    return true;
  }

  /** Target refresh by the peer's Contact, RFC 3261 §12.2.1.2 and §12.2.2. */
  refreshTarget(message: SipRequest | SipResponse): void {
    const contact = message.contact;
    if (contact !== undefined && isSipUri(contact.uri)) this.#remoteTarget = detach(contact.uri);
  }

  /** The 2xx fixes what an early response only proposed, RFC 3261 §13.2.2.4. */
  adoptAnswer(response: SipResponse): void {
    this.refreshTarget(response);
    this.#routeSet = routeSetOf(response, true).map(detach);
  }

  // ------------------------------------------------------------------ inside

  #nextSeq(wanted: number | undefined): number {
    this.#localSeq = wanted !== undefined && wanted > this.#localSeq ? wanted : this.#localSeq + 1;
    return this.#localSeq;
  }

  #build(method: string, seq: number, fields: ResponseFields): SipRequest {
    const routes = this.#routeSet;
    const first = routes[0];
    const strict = first !== undefined && !isLooseRoute(first);
    // RFC 3261 §12.2.1.1: a strict router gets its own URI as Request-URI, and the target as the last route.
    const request = new SipRequest(method, strict ? routeUri(first) : this.#remoteTarget);
    for (let i = strict ? 1 : 0; i < routes.length; i++) request.add('Route', routes[i] as string);
    if (strict) request.add('Route', `<${this.#remoteTarget}>`);
    request.add('Max-Forwards', '70');
    request.add('From', this.#localField);
    request.add('To', this.#remoteField);
    request.add('Call-ID', this.callId);
    request.add('CSeq', `${seq} ${method}`);
    if (fields.contact !== undefined) addUserFields(request, [['Contact', fields.contact]], this.#viaListener.sentBy);
    else if (CARRIES_CONTACT.has(method)) {
      request.add('Contact', `<${this.#viaListener.contactUri}>`);
    }
    if (this.#core.userAgent !== undefined && method !== 'ACK') request.add('User-Agent', this.#core.userAgent);
    addUserFields(request, fields.headers, this.#viaListener.sentBy);
    setBody(request, fields.body);
    return request;
  }

  #nextHop(request: SipRequest): NextHop | undefined {
    const route = this.#routeSet[0];
    return nextHopOfText(route === undefined ? request.uri : routeUri(route));
  }

  #watching(method: string, listener: OutgoingRequestListener): OutgoingRequestListener {
    const isBye = method === 'BYE';
    return {
      onResponse: (response, origin, source) => {
        const { status } = response;
        if (method === 'UPDATE' && status >= 200 && status < 300) this.refreshTarget(response); // RFC 3311 §5.1
        if (isBye) this.#byeChallenged = status === 401 || status === 407;
        listener.onResponse(response, origin, source);
        // RFC 3261 §12.2.1.2: a peer that knows no such dialog, or no longer refreshes it, has left.
        if (!isBye && (status === 481 || (status === 408 && method === 'UPDATE'))) this.bye('lost', 'dialog lost');
      },
    };
  }
}

/** RFC 7118 §5: `transport=ws` stands for WebSocket with and without TLS. */
const isCarriedBy = (hop: Hop, next: NextHop): boolean =>
  hop.transport === next.transport || (hop.transport === 'wss' && next.transport === 'ws');

const gone = (id: string): Refusal => ({ refusal: 'dialog_gone', detail: `dialog ${id} has ended` });
const badTarget = (target: string): Refusal => ({
  refusal: 'invalid_uri',
  detail: `cannot reach ${target}: no SIP URI or an unknown transport`,
});
