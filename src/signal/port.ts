/**
 * The application's only door to SIP. An adapter carries it over drachtio-srf to any drachtio-server, or straight
 * onto the embedded engine; the application cannot tell which (but see SignalCapabilities).
 *
 * Rules that every adapter obeys, and that the contract suite in test/contract checks:
 *  - No event of a leg is delivered before `invite()`, or the handler's `onInvite`, has returned.
 *  - An incoming CANCEL is answered (200 and 487) by the adapter, however early it comes, and reported once.
 *  - Every OutgoingLeg reports exactly one of answered / failed, then, if answered, exactly one `onEnded`.
 *  - Every IncomingLeg reports exactly one `onEnded`, unless the application ended it by `reject`.
 *  - Methods called on a leg that has already ended do nothing. Nothing throws.
 *  - Header text is a byte string (latin1 decoding of the wire), so that it survives unchanged.
 */

/** Field name as it goes on the wire, and its value. Several values of a field are several entries. */
export type HeaderEntry = readonly [name: string, value: string];

/** A received message, read only. */
export interface SignalMessage {
  /** Method of a request, or of the request that a response answers. */
  readonly method: string;
  /** Request-URI, for requests. */
  readonly uri: string | undefined;
  /** Status code and reason phrase, for responses. */
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly callId: string;
  /** First value of a field, any spelling of its name (compact forms included); undefined when absent. */
  header(name: string): string | undefined;
  /** All fields in order, with canonical names. */
  headers(): HeaderEntry[];
  readonly contentType: string | undefined;
  readonly body: Buffer;
}

/** Where a request came from: the socket's word, never a header's. */
export interface SignalSource {
  readonly transport: string;
  readonly address: string;
  readonly port: number;
}

export interface Content {
  readonly contentType?: string | undefined;
  readonly body?: Buffer | undefined;
}

export interface ResponseSpec extends Content {
  readonly reason?: string | undefined;
  readonly headers?: readonly HeaderEntry[] | undefined;
  /**
   * To the caller's first INVITE: its early dialog that this belongs to, by a name of the application's, where callees have
   * forked (RFC 3261 §12.1). Absent: the first. Without meaning where the signalling plane has one To tag for all.
   */
  readonly fork?: string | undefined;
}

/** A provisional response of ours. */
export interface ProgressSpec extends ResponseSpec {
  /**
   * Send it reliably (RFC 3262), and call this with its PRACK, which is to be answered; not called for a PRACK that never
   * comes. Only for callers whose INVITE supports 100rel. Absent: sent reliably, its PRACK answered by the adapter, where
   * the caller requires that.
   */
  readonly reliable?: ((prack: InDialogRequest) => void) | undefined;
}

export interface InDialogSpec extends Content {
  readonly method: string;
  readonly headers?: readonly HeaderEntry[] | undefined;
  /** Before an answer, the early dialog: the application's name for the caller's, the peer's tag for a callee's. */
  readonly fork?: string | undefined;
}

/** Why a leg is over. */
export type LegEnd =
  | { readonly kind: 'remote_bye'; readonly message: SignalMessage }
  | { readonly kind: 'local_bye' }
  | { readonly kind: 'cancelled'; readonly message: SignalMessage | undefined }
  | { readonly kind: 'rejected' }
  /** Our 2xx was never acknowledged; the adapter has sent BYE. */
  | { readonly kind: 'ack_timeout' }
  /** The peer no longer knows the dialog (481, 408 to a request within it) or its connection is gone. */
  | { readonly kind: 'dialog_lost'; readonly status: number | undefined }
  /** The signalling plane itself went away. */
  | { readonly kind: 'engine_lost' };

/** A request within a dialog other than INVITE, BYE, CANCEL, ACK: answer it exactly once. */
export interface InDialogRequest {
  readonly message: SignalMessage;
  /** As in InDialogSpec, where there are several; undefined: the first of the caller's, the only one of a callee's. */
  readonly fork?: string | undefined;
  respond(status: number, spec?: ResponseSpec): void;
}

/** A re-INVITE from the peer: answer with any number of provisionals and one final. */
export interface IncomingReinvite {
  readonly message: SignalMessage;
  respond(status: number, spec?: ResponseSpec): void;
}

export interface LegEvents {
  onRequest(leg: Leg, request: InDialogRequest): void;
  onReinvite(leg: Leg, reinvite: IncomingReinvite): void;
  /** The ACK of our 2xx, to the first INVITE (`reinvite` undefined) or to a re-INVITE. Carries SDP in a late offer. */
  onAck(leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void;
  /** The peer withdrew a re-INVITE; 487 has been sent. */
  onReinviteCancelled(leg: Leg, reinvite: IncomingReinvite): void;
  /** Exactly once; nothing follows. */
  onEnded(leg: Leg, end: LegEnd): void;
}

/** Final outcome of a request that we sent within a dialog. Exactly one per request. */
export type RequestOutcome =
  | { readonly kind: 'response'; readonly message: SignalMessage }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'transport_error'; readonly code: string }
  | { readonly kind: 'leg_ended' };

export type ReinviteOutcome =
  /** 2xx: acknowledge it with `ack`, once. */
  { readonly kind: 'answered'; readonly message: SignalMessage; ack(content?: Content): void } | RequestOutcome;

export interface Leg {
  /** Unique within the process; for logs. */
  readonly id: string;
  readonly callId: string;
  /** Empty until known. `remoteTag` of a callee's leg is, before an answer, that of the response that is reported. */
  readonly localTag: string;
  readonly remoteTag: string;
  /** Sends a request within the dialog (INFO, UPDATE, MESSAGE, NOTIFY, REFER ...). */
  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void;
  /** Sends a re-INVITE. Glare (491) is reported, not retried: the offer's owner decides. */
  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void;
  /** Ends an answered leg. */
  bye(headers?: readonly HeaderEntry[]): void;
  dump(): object;
}

/** The caller's leg: we are the server. */
export interface IncomingLeg extends Leg {
  readonly message: SignalMessage;
  readonly source: SignalSource;
  /** 101-199. 100 Trying is the adapter's business. */
  progress(status: number, spec?: ProgressSpec): void;
  answer(spec: ResponseSpec): void;
  /**
   * The caller is behind NAT: what we send within the dialog goes to where its own requests come from, whatever its Contact
   * says. Before any answer. Absent where the signalling plane cannot be told.
   */
  behindNat?(): void;
  /** 300-699. No `onEnded` follows. */
  reject(status: number, spec?: ResponseSpec): void;
}

/** Why an attempt to reach somebody failed. */
export type InviteFailure =
  | { readonly kind: 'response'; readonly status: number; readonly message: SignalMessage }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'transport_error'; readonly code: string }
  | { readonly kind: 'unresolved_host'; readonly code: string }
  /** The request could not be formed or sent: a bad URI, an unserved transport. */
  | { readonly kind: 'invalid_request'; readonly detail: string }
  /** `cancel` was called. */
  | { readonly kind: 'cancelled' };

export interface OutgoingEvents extends LegEvents {
  /** The peer is there (100 Trying). Only where capabilities.reportsTrying. */
  onTrying(leg: OutgoingLeg): void;
  /** 101-199, each once, forks included. */
  onProgress(leg: OutgoingLeg, message: SignalMessage): void;
  /** 2xx: acknowledge it with `leg.ack`, once. Further 2xx of forks are released by the adapter. */
  onAnswered(leg: OutgoingLeg, message: SignalMessage): void;
  onFailed(leg: OutgoingLeg, failure: InviteFailure): void;
}

export interface OutgoingLeg extends Leg {
  ack(content?: Content): void;
  /**
   * Acknowledges a reliable provisional (RFC 3262) once, where `InviteSpec.ownPrack` has left that to the application.
   * @param progress as `onProgress` gave it
   */
  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void;
  /**
   * Withdraws the INVITE. `onFailed({kind: 'cancelled'})` is delivered when the peer has confirmed, or, at the latest,
   * after a bounded time; a 2xx that crosses is acknowledged and released by the adapter.
   */
  cancel(headers?: readonly HeaderEntry[]): void;
  /** Before an answer: whether the callee has an early dialog of this tag. Absent where `remoteTag` is the only one. */
  hasEarly?(remoteTag: string): boolean;
}

/** For digest challenges (RFC 7616, RFC 3261 §22) of whoever is next on the way, and nobody behind. */
export interface Credentials {
  readonly userName: string;
  readonly password: string;
  /** The only realm that is answered; default: the Request-URI's host, or a domain that it is in. */
  readonly realm?: string | undefined;
}

/** One of the places that a SIP URI leads to (RFC 3263). */
export interface SignalTarget {
  readonly transport: 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';
  /** Numeric. */
  readonly address: string;
  readonly port: number;
  /** The name that was looked up: a certificate must hold it. */
  readonly serverName: string;
}

export interface InviteSpec extends Content {
  /** Request-URI. */
  readonly uri: string;
  /** Next hop, when it is not the Request-URI: `sip:host:port;transport=...`. */
  readonly nextHop?: string | undefined;
  /** Where exactly: one of those that `locate` gave. Absent: the adapter finds them, and goes from one to the next. */
  readonly target?: SignalTarget | undefined;
  /** A flow that `OutOfDialogRequest.keepFlow` has named: the INVITE, and what follows, takes it whatever the URI says. */
  readonly flow?: string | undefined;
  /** Route fields, in order (RFC 3327: the path that a registered contact is reached by). */
  readonly route?: readonly string[] | undefined;
  /** The callee is behind NAT, as in `IncomingLeg.behindNat`. */
  readonly behindNat?: boolean | undefined;
  /** From field without a tag: name-addr or addr-spec. The host part `localhost` stands for our own address. */
  readonly from: string;
  readonly to: string;
  /**
   * Max-Forwards among them replaces the adapter's own. In P-Asserted-Identity, too, the host `localhost` is our own
   * address.
   */
  readonly headers?: readonly HeaderEntry[] | undefined;
  /**
   * Answers a 401 or 407 of the next hop's with one more INVITE; each nonce is answered once. A challenge that is not for
   * these credentials is a failure like any other.
   */
  readonly credentials?: Credentials | undefined;
  /** The application acknowledges reliable provisionals, by `prack`. Absent: the adapter does, at once, without a body. */
  readonly ownPrack?: boolean | undefined;
}

/** A request of ours outside dialogs, other than INVITE, ACK, CANCEL. */
export interface AskSpec {
  readonly method: string;
  /** Request-URI, and where it goes. */
  readonly uri: string;
  readonly headers?: readonly HeaderEntry[] | undefined;
  /** Next hop, when it is not the Request-URI. */
  readonly nextHop?: string | undefined;
  /** As in InviteSpec. */
  readonly target?: SignalTarget | undefined;
  /** As in InviteSpec. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** Name-addr or addr-spec; the host `localhost` stands for our own address. */
  readonly contact?: string | undefined;
  readonly callId?: string | undefined;
  readonly cseq?: number | undefined;
}

/** A request outside dialogs, other than INVITE: OPTIONS, REGISTER, MESSAGE ... Answer it exactly once. */
export interface OutOfDialogRequest {
  readonly message: SignalMessage;
  readonly source: SignalSource;
  /**
   * Names the way back to the sender, which may be behind NAT or have no address at all (RFC 7118). Absent where the
   * engine keeps its connections to itself.
   */
  keepFlow?(): string;
  /** The Route by which other nodes reach what a flow of this one leads to; undefined, or absent, without a cluster. */
  nodeRoute?(flow: string): string | undefined;
  respond(status: number, spec?: ResponseSpec): void;
}

export interface SignalHandlers {
  /** Returns the sink of the leg's events. */
  onInvite(leg: IncomingLeg): LegEvents;
  onRequest(request: OutOfDialogRequest): void;
  /** The way to the signalling plane came up or went down. */
  onAvailability(up: boolean, detail: string): void;
  /**
   * A connection that was kept as a flow is closed; or, by its `nodeRoute`, one that another node has kept, as that node
   * says (430, RFC 5626 §5.3).
   */
  onFlowClosed?(flow: string): void;
}

export interface SignalCapabilities {
  /** True when `onTrying` is delivered; a drachtio-server keeps 100 Trying to itself. */
  readonly reportsTrying: boolean;
}

export interface SignalPort {
  readonly capabilities: SignalCapabilities;
  /** Resolves when calls can come in: to the addresses listened on, as `udp/127.0.0.1:5060`. */
  start(handlers: SignalHandlers): Promise<readonly string[]>;
  invite(spec: InviteSpec, events: OutgoingEvents): OutgoingLeg;
  /**
   * Where a SIP URI leads, in the order in which to try it; empty: nowhere. `located` is called once, within this call
   * when nothing has to be looked up, and not at all where the port is stopped before. Absent: nobody but the signalling
   * plane can tell.
   */
  readonly locate?: ((uri: string, located: (targets: readonly SignalTarget[]) => void) => void) | undefined;
  /**
   * `done` is called once, never within this call, and at the latest when the transaction times out (64*T1, RFC 3261
   * §17.1.2.2), unless the port is stopped before.
   */
  ask(spec: AskSpec, done: (outcome: RequestOutcome) => void): void;
  stop(): Promise<void>;
  dump(): object;
}
