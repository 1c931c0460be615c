/**
 * The public face of the engine, as its users (the drachtio server, the direct adapter of `src/signal`) see it.
 * Everything is synchronous: a call sends at once, a callback comes from a packet or a timer. Nothing throws.
 *
 * Guarantees: every server transaction gets a final answer (the engine answers 500 where a user threw or forgot);
 * every client request ends in exactly one final response, synthesised where the network gave none; every dialog
 * ends in exactly one `onTerminated`.
 */
import type { SipRequest, SipResponse } from './message/message.js';
import type { Target } from './locate/nextHop.js';
import type { TransportName } from './ports.js';
import type { ProxyListener, ProxyPlan, ProxyRefusal } from './proxy/plan.js';

export type { Target } from './locate/nextHop.js';
export type { ProxyListener, ProxyPlan, ProxyRefusal } from './proxy/plan.js';

export type HeaderField = readonly [name: string, value: string];

/** Where a message came from and where it arrived: the socket's word. */
export interface Source {
  readonly transport: TransportName;
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Octets of the message on the wire. */
  readonly bytes: number;
}

export interface ResponseFields {
  readonly reason?: string | undefined;
  /** Fields to add. Via, From, To, Call-ID, CSeq, Record-Route, Content-Length are the engine's and ignored here. */
  readonly headers?: readonly HeaderField[] | undefined;
  readonly body?: Buffer | undefined;
  /** With a 2xx to SUBSCRIBE outside a dialog: makes the dialog (RFC 6665 §4.2.1), whose listener this is. */
  readonly dialog?: DialogListener | undefined;
  /** Tag for To, honoured on the first response that carries one; generated otherwise. */
  readonly toTag?: string | undefined;
  /** Contact field value instead of the engine's own: name-addr or addr-spec; `localhost` is our address. */
  readonly contact?: string | undefined;
  /**
   * To a first INVITE, 101-299: the early dialog that it belongs to, by a name of the user's, where the callee's side has
   * forked (RFC 3261 §12.1). Each has a To tag of its own; without a name it is the first one, and so are failures. A 2xx
   * ends the others.
   */
  readonly fork?: string | undefined;
}

/** Why a response was not sent. */
export type RespondRefusal = 'unknown_transaction' | 'not_100rel' | 'transport_closed';

export type Responded =
  { readonly ok: true; readonly sent: SipResponse } | { readonly ok: false; readonly refusal: RespondRefusal };

/** A request awaiting our answer: out of dialog, or (with `dialog`) within one, BYE included. Not INVITE. */
export interface IncomingRequest {
  readonly request: SipRequest;
  readonly source: Source;
  readonly dialog: Dialog | undefined;
  /**
   * Names the way back to its sender, for `RequestSpec.flow`: the connection that it came over, or the address that its
   * datagram came from with the listener that took it. `onFlowClosed` tells when such a connection is gone. Not for
   * requests within a dialog.
   */
  keepFlow?(): string;
  /** The Route by which other nodes reach what a flow of ours leads to (RFC 5626 §5.2); undefined without a cluster. */
  nodeRoute?(flow: string): string | undefined;
  /** Exactly one final; provisionals before it are allowed. */
  respond(status: number, fields?: ResponseFields): Responded;
}

export interface IncomingInviteListener {
  /**
   * The caller withdrew by CANCEL, or by BYE; 200 and 487 are already sent. `cancel` undefined: the engine gave up, as no
   * PRACK came (504) or no answer within 2 * Timer C (408). It may come after a 2xx that was held (see `respond`).
   */
  onCancel(cancel: SipRequest | undefined): void;
  /** ACK of our 2xx (the ACK of a failure is absorbed). Retransmissions are not reported. */
  onAck(ack: SipRequest, source: Source): void;
  /** PRACK of a reliable provisional (RFC 3262): answer it. */
  onPrack?(prack: IncomingRequest): void;
}

/** An INVITE or re-INVITE awaiting our answer. 100 Trying is already sent. */
export interface IncomingInvite {
  readonly request: SipRequest;
  readonly source: Source;
  /** For a re-INVITE from the start; for a first INVITE from the first response with a tag: the latest response's. */
  readonly dialog: Dialog | undefined;
  readonly isReinvite: boolean;
  /**
   * Set it before the first answer where the caller is behind NAT: requests within the dialog then go to where its own
   * come from, whatever its Contact says (a route set is followed all the same).
   */
  symmetric?: boolean;
  /** Set it before `onInvite` returns. */
  listener: IncomingInviteListener | undefined;
  /** No final answer was given and none was sent by a CANCEL. */
  readonly open: boolean;
  /**
   * 2xx are retransmitted until ACK; after 64*T1 without it the engine sends BYE (Reason `ACK timeout`) and the
   * dialog terminates with cause `ack_timeout`.
   * @param reliable send a 101-199 reliably (RFC 3262); refused with `not_100rel` where the caller lacks 100rel. One is
   * outstanding at a time, later ones wait for its PRACK, and so does a 2xx when it carried a body.
   */
  respond(status: number, fields?: ResponseFields, reliable?: boolean): Responded;
}

/** A request as its sender describes it; the engine adds Via, tags, CSeq, Max-Forwards, Contact, Content-Length. */
export interface RequestSpec {
  readonly method: string;
  readonly uri: string;
  /** Of a SUBSCRIBE: the listener of the dialog that a 2xx or the first NOTIFY makes. */
  readonly dialog?: DialogListener | undefined;
  /** Next hop instead of the request URI: a SIP URI. */
  readonly nextHop?: string | undefined;
  /** One of the places that `locate` gave for the next hop; absent: all of them are tried in order. */
  readonly target?: Target | undefined;
  /** A flow to send it over, whatever the URI says; refused with `flow_gone` when it is closed. */
  readonly flow?: string | undefined;
  /** For an INVITE: its callee is behind NAT, as in `IncomingInvite.symmetric`. */
  readonly symmetric?: boolean | undefined;
  /** Route fields, in order. Without `nextHop` and `flow` the first is the next hop. */
  readonly route?: readonly string[] | undefined;
  /** From and To fields. A tag in `from` is kept. Host `localhost` is replaced by our address (also in headers). */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly callId?: string | undefined;
  readonly cseq?: number | undefined;
  /** As in ResponseFields. */
  readonly contact?: string | undefined;
  readonly headers?: readonly HeaderField[] | undefined;
  readonly body?: Buffer | undefined;
}

/** Where a final response came from: the peer, or the engine on its behalf (408 timeout, 503 transport or DNS). */
export type ResponseOrigin = 'network' | 'timeout' | 'transport' | 'dns';

export interface OutgoingRequestListener {
  /**
   * Every final, and every provisional but 100, exactly once. Last call when status >= 200.
   * @param source where it came from; undefined unless origin is `network`.
   */
  onResponse(response: SipResponse, origin: ResponseOrigin, source: Source | undefined): void;
}

/** A non-INVITE request under way. */
export interface OutgoingRequest {
  /** As sent. */
  readonly request: SipRequest;
  readonly source: Source;
}

export interface OutgoingInviteListener {
  /** 100. */
  onTrying?(response: SipResponse, source: Source): void;
  /** 101-199. `dialog` is the early dialog of this branch, when the response has a To tag. */
  onProvisional(response: SipResponse, dialog: Dialog | undefined, source: Source): void;
  /**
   * First 2xx. The user must call `dialog.ack()`. A second 2xx from another fork is acknowledged and released by the
   * engine. After `cancel()` the user still gets a crossing 2xx and still acknowledges it; the engine then sends BYE
   * (`ACK-BYE due to cancel race condition`) and the dialog terminates with cause `cancel_race`.
   */
  onAnswered(response: SipResponse, dialog: Dialog, source: Source): void;
  /** Final failure; the engine has sent the ACK. */
  onFailed(response: SipResponse, origin: ResponseOrigin, source: Source | undefined): void;
}

export interface OutgoingInvite {
  readonly request: SipRequest;
  /** Local address it was sent from; `transport` is what was chosen. */
  readonly source: Source;
  /** `<Call-ID>;from-tag=<our tag>` for a first INVITE. */
  readonly dialogId: string;
  /** Held until a provisional has come (RFC 3261 §9.1). Returns the CANCEL request; `held` when not yet sent. */
  cancel(headers?: readonly HeaderField[]): { readonly request: SipRequest; readonly held: boolean } | undefined;
}

export type Refusal = {
  readonly refusal:
    | 'invalid_uri'
    | 'invalid_header'
    | 'self'
    | 'no_transport'
    | 'flow_gone'
    | 'missing_content_type'
    | 'dialog_gone'
    | 'request_pending';
  readonly detail: string;
};

export type DialogEnd = 'remote_bye' | 'local_bye' | 'ack_timeout' | 'cancel_race' | 'lost' | 'failed' | 'shutdown';

export interface DialogListener {
  /** Of a subscription: its dialog is there. */
  onEstablished?(dialog: Dialog): void;
  /** INFO, UPDATE, NOTIFY, MESSAGE, REFER, unknown methods, and BYE (the dialog is terminated right after it). */
  onRequest(request: IncomingRequest): void;
  onInvite(invite: IncomingInvite): void;
  /**
   * Exactly once for a confirmed dialog.
   * @param message the BYE that ended it: the peer's, or the one that the engine made by itself.
   */
  onTerminated(end: DialogEnd, message: SipRequest | undefined): void;
}

/** RFC 3261 §12. */
export interface Dialog {
  /** `<Call-ID>;from-tag=<From tag of the first INVITE>`. */
  readonly id: string;
  readonly callId: string;
  readonly localTag: string;
  readonly remoteTag: string;
  readonly remoteTarget: string;
  readonly state: 'early' | 'confirmed' | 'terminated';
  listener: DialogListener | undefined;
  /**
   * Any method but INVITE, ACK, CANCEL. BYE terminates the dialog (cause `local_bye`) when it is sent; a BYE that was
   * challenged (401, 407) may be sent once more.
   */
  request(
    method: string,
    fields: ResponseFields & { readonly cseq?: number | undefined },
    listener: OutgoingRequestListener,
  ): OutgoingRequest | Refusal;
  invite(fields: ResponseFields, listener: OutgoingInviteListener): OutgoingInvite | Refusal;
  /** Ends it without a word: a subscription that is over. `onTerminated` has cause `local_bye`. */
  end(): void;
  /** Acknowledges the latest 2xx; kept and repeated when the 2xx is. Returns the ACK, undefined if none is owed. */
  ack(fields?: ResponseFields): SipRequest | undefined;
}

/** The answer of the gate that stands before any state is made. */
export type Screening =
  | { readonly action: 'accept' }
  | { readonly action: 'drop' }
  | {
      readonly action: 'reject';
      readonly status: number;
      readonly reason?: string | undefined;
      readonly headers?: HeaderField[];
      /**
       * Over UDP a refusal is never longer than its request, whose source may be forged: it is shortened, or not sent.
       * Asked where even the shortest is longer: whether it is sent all the same.
       */
      readonly mayExceed?: (() => boolean) | undefined;
    };

export interface EngineHandler {
  /** Asked for each request outside a dialog before a transaction exists; absent: accept. */
  screen?: ((request: SipRequest, source: Source) => Screening) | undefined;
  /**
   * Whether `address` belongs to the party that `known`, the peer of a dialog, does: asked for a request within a dialog
   * that comes from elsewhere than its peer, or the places that the peer has named. Where not, it is refused like one for
   * a dialog that does not exist. Absent: tags are proof enough.
   */
  sameParty?: ((address: string, known: string) => boolean) | undefined;
  onInvite(invite: IncomingInvite): void;
  onRequest(request: IncomingRequest): void;
  /** A request within a dialog that was proxied has passed. */
  onRelayed?(request: SipRequest, source: Source): void;
  /** A connection that was kept as a flow is closed. */
  onFlowClosed?(flow: string): void;
}

/** What the engine did that an operator may want to see. Counted, never formatted, on the packet path. */
export type EngineEvent =
  | { readonly type: 'message_in' | 'message_out'; readonly source: Source; readonly text: Buffer }
  | { readonly type: 'malformed'; readonly source: Source; readonly reason: string }
  | { readonly type: 'user_error'; readonly error: unknown };

export interface SipEngine {
  /** Addresses listened on, as `udp/127.0.0.1:5060`. */
  readonly listening: readonly string[];
  invite(spec: Omit<RequestSpec, 'method'>, listener: OutgoingInviteListener): OutgoingInvite | Refusal;
  request(spec: RequestSpec, listener: OutgoingRequestListener): OutgoingRequest | Refusal;
  /**
   * Leaves a request to the proxy (RFC 3261 §16): it forwards it by the plan, chooses the answer and carries CANCEL. The
   * user must not have answered it, provisionals included, and has nothing more to do with it.
   * @returns undefined when it is under way; else nothing was sent, and the request is still the user's
   */
  proxy(request: IncomingInvite | IncomingRequest, plan: ProxyPlan, listener: ProxyListener): ProxyRefusal | undefined;
  /**
   * Where a SIP URI leads (RFC 3263), in the order in which to try it: for who tries target by target. Empty: nowhere.
   * Answers once, within the call when nothing has to be looked up, and not at all once the engine has stopped meanwhile.
   */
  locate(uri: string, located: (targets: readonly Target[]) => void): void;
  /** Live transactions, dialogs, connections, timers. */
  dump(): Record<string, unknown>;
  /**
   * Closes sockets, ends timers; dialogs terminate with cause `shutdown`, without BYE. Requests that await our answer get
   * 503; our own that await one end in 503 (`transport`). Afterwards requests are refused with `no_transport`.
   */
  stop(): void;
}
