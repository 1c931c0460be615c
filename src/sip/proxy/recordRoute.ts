/**
 * What we write into Record-Route, and how we know it again. A seal over the call says that we put it there: nobody can
 * make us forward anything by naming us in a Route of his own, and no state is kept for calls that we only forward.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { parseNameAddr } from '../message/nameAddr.js';
import { type SipUri, parseUri, uriParam } from '../message/uri.js';
import type { SipMessage, SipRequest } from '../message/message.js';
import type { Listener } from '../transport/hop.js';

const SEAL = 'seal';
const FLOW = 'flow';
const SEAL_BYTES = 12;
/** Stands where a call has its Call-ID, which is never empty: no seal of the one kind passes for one of the other. */
const ANY_CALL = '\0node\0';

export class RouteSeal {
  readonly #key: string;

  /** @param key secret; the same after a restart where calls shall survive it */
  constructor(key: string) {
    this.#key = key;
  }

  /**
   * Record-Route value (or Path) for the call of this request.
   * @param flow the connection by which this side of the call is reached, where nobody can connect to it
   */
  routeFor(listener: Listener, request: SipMessage, flow?: string): string {
    const written = flow === undefined ? '' : Buffer.from(flow, 'latin1').toString('base64url');
    const seal = this.#sealOf(request.callId, request.fromTag ?? '', written);
    return `<${listener.contactUri};lr;${SEAL}=${seal}${written === '' ? '' : `;${FLOW}=${written}`}>`;
  }

  /**
   * Route value by which other nodes of the cluster reach a registered contact over a flow of ours, in any call: like the
   * Path of an edge proxy (RFC 5626 §5.2). Whoever has it may use it, so that it is told to nodes alone.
   */
  routeOver(listener: Listener, flow: string): string {
    const written = Buffer.from(flow, 'latin1').toString('base64url');
    return `<${listener.contactUri};lr;${SEAL}=${this.#digest(ANY_CALL + written)};${FLOW}=${written}>`;
  }

  /** @returns the flow of a route that `routeOver` made; undefined: it did not */
  flowOfNodeRoute(uri: SipUri): string | undefined {
    const flow = uriParam(uri, FLOW) ?? '';
    const seal = Buffer.from(uriParam(uri, SEAL) ?? '', 'latin1');
    const made = Buffer.from(this.#digest(ANY_CALL + flow), 'latin1');
    return seal.length === made.length && timingSafeEqual(seal, made) ? flowIn(uri) : undefined;
  }

  /** Whether the seal in this URI was made for the call of this request, whoever of the two sent it. */
  holds(uri: SipUri, request: SipRequest): boolean {
    const seal = uriParam(uri, SEAL);
    if (seal === undefined || seal.length !== SEAL_BYTES * 2) return false;
    const given = Buffer.from(seal, 'latin1');
    const flow = uriParam(uri, FLOW) ?? '';
    return [request.fromTag, request.toTag].some(
      (tag) =>
        tag !== undefined && timingSafeEqual(given, Buffer.from(this.#sealOf(request.callId, tag, flow), 'latin1')),
    );
  }

  #sealOf(callId: string, tag: string, flow: string): string {
    return this.#digest(`${callId}\0${tag}\0${flow}`);
  }

  #digest(text: string): string {
    return createHmac('sha256', this.#key)
      .update(text)
      .digest('hex')
      .slice(0, SEAL_BYTES * 2);
  }
}

/** The flow that a route of ours names. Only to be believed with its seal. */
export const flowIn = (uri: SipUri): string | undefined => {
  const written = uriParam(uri, FLOW);
  return written === undefined ? undefined : Buffer.from(written, 'base64url').toString('latin1');
};

/** The URI of a Route value; undefined when it is none. */
export const uriOfRoute = (route: string): SipUri | undefined => {
  const address = parseNameAddr(route);
  return address === undefined ? undefined : parseUri(address.uri);
};
