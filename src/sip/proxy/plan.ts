/** What a proxy is asked to do with one request, and what it says of it. RFC 3261 §16. */
import type { HeaderField, Source } from '../face.js';
import type { SipRequest, SipResponse } from '../message/message.js';

export interface ProxyPlan {
  /** SIP URIs, in the order in which to try them. At most 32 are tried, those of redirections included. */
  readonly targets: readonly string[];
  /** All at once instead of one after the other. Default false. */
  readonly parallel?: boolean | undefined;
  /** Stay in the path of the dialog (§16.6 step 4); of a registration (RFC 3327). Default false. */
  readonly recordRoute?: boolean | undefined;
  /** Try the contacts of a 3xx instead of handing it on (§16.7 step 4). Default false. */
  readonly followRedirects?: boolean | undefined;
  /** The flow (`IncomingRequest.keepFlow`) by which a target is reached; absent or undefined: as its URI says. */
  readonly flowTo?: ((target: string) => string | undefined) | undefined;
  /** With `recordRoute`: requests within the dialog take the flow, too, though it is one of datagrams. Default false. */
  readonly keepFlow?: boolean | undefined;
  /** How long a target may stay silent before it is given up; default: until Timer B or F. */
  readonly provisionalTimeoutMs?: number | undefined;
  /** How long a target may go without a final answer before it is given up; default: until Timer C or F. */
  readonly finalTimeoutMs?: number | undefined;
  /** Set on each copy; fields that route or identify a request are ignored. */
  readonly headers?: readonly HeaderField[] | undefined;
}

export interface ProxyListener {
  /** A copy went out. */
  onForwarded?(request: SipRequest, source: Source): void;
  /**
   * The final answer of one target, as it came, top Via included. Those of targets that were cancelled because another
   * had answered are not told.
   * @param source where it came from; undefined: the engine made it (408, 503), as nobody answered or could be reached.
   */
  onTargetFinal(response: SipResponse, source: Source | undefined): void;
  /**
   * Once, and last.
   * @param response what the caller got; undefined where RFC 4320 asks for silence
   */
  onDone(response: SipResponse | undefined): void;
}

/** Why a request was not proxied. `detail` says what was wrong. */
export interface ProxyRefusal {
  readonly refusal: 'answered' | 'invalid_target' | 'too_many_hops' | 'stopped';
  readonly detail: string;
}
