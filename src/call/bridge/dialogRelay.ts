/** Carries requests within the call from one leg to the other, and their outcomes back: INFO, UPDATE, re-INVITE ... */
import type { Random } from '../../kernel/index.js';
import type {
  Content,
  HeaderEntry,
  InDialogRequest,
  IncomingReinvite,
  Leg,
  ProgressSpec,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
  SignalMessage,
} from '../../signal/port.js';
import { Described } from './described.js';
import type { Attempt } from './attempt.js';
import { allowOf } from './allow.js';
import { type Exchange, type ExchangeKind, verdictOf } from './exchanges.js';
import { Forks } from './forks.js';
import type { HeaderPolicy, MessageKind } from './headerPolicy.js';
import { cleanText } from './headerText.js';
import { contentOf } from './legHeaders.js';
import { isReliable, listsOption } from './reliability.js';
import { relayedFields } from './sessionFields.js';
import type { SessionWatch } from './sessionWatch.js';

/** What we, as a user agent, take: RFC 3261 §20.1, §20.5, §20.37. */
export const CAPABILITY_HEADERS: readonly HeaderEntry[] = [
  ['Allow', 'INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, MESSAGE, NOTIFY, SUBSCRIBE, REFER'],
  ['Accept', 'application/sdp'],
];

const ALLOWED = CAPABILITY_HEADERS.slice(0, 1);

/** Methods that mean at the other end what they mean here, their bodies byte by byte. */
const CROSSING: ReadonlySet<string> = new Set(['INFO', 'MESSAGE', 'NOTIFY', 'SUBSCRIBE', 'UPDATE']);

/** Methods that end at this leg. */
const LOCAL_ANSWERS: { readonly [method: string]: readonly [status: number, headers: readonly HeaderEntry[]] } = {
  // A ping of this dialog, not of the other (RFC 3261 §11).
  OPTIONS: [200, CAPABILITY_HEADERS],
  // Reliability of provisional responses is each leg's own (RFC 3262).
  PRACK: [200, []],
  // Of calls that cannot be transferred: there is no third leg to make (RFC 3515 §2.4.2).
  REFER: [603, []],
  // Known, and of no use within a call (RFC 3261 §21.4.6).
  PUBLISH: [405, ALLOWED],
  REGISTER: [405, ALLOWED],
};

/** What nobody here knows is not handed on unread (RFC 3261 §21.5.2). */
const UNKNOWN = [501, ALLOWED] as const;

/** A re-INVITE on its way across. At most one per call: RFC 3261 §14.1. */
interface Renegotiation {
  readonly exchange: Exchange<Leg>;
  readonly from: Leg;
  readonly to: Leg;
  readonly incoming: IncomingReinvite;
  /** `asked`: the other leg has not answered; `answered`: our 2xx awaits its ACK; `withdrawn`: by its sender. */
  phase: 'asked' | 'answered' | 'withdrawn';
  /** The other leg's ACK, owed until the sender's ACK brings its body (late offer). */
  acknowledge: ((content?: Content) => void) | undefined;
}

/** Outcomes that are not the caller's business as they are. */
const statusOf = (outcome: Exclude<RequestOutcome, { kind: 'response' }>): number => {
  if (outcome.kind === 'timeout') return 504;
  // RFC 3261 §14.1: a request of that dialog's own is under way.
  if (outcome.kind === 'transport_error' && outcome.code === 'request_pending') return 491;
  // RFC 3261 §15.1.2: what was pending when the dialog ended is answered 487.
  return outcome.kind === 'leg_ended' ? 487 : 502;
};

/** The status that crosses: a challenge is for us to answer, not for the other side. */
export const crossing = (message: SignalMessage): number => {
  const status = message.status ?? 500;
  return status === 401 || status === 407 ? 403 : status;
};

const REFER_ID = /^refer\s*;\s*id\s*=\s*(\d{1,10})$/i;
const MAX_EVENT_IDS = 16;

/** Whether a provisional's PRACK is the caller's to send. */
export const isRelayed = (attempt: Attempt, progress: SignalMessage): boolean =>
  attempt.relaysPrack && isReliable(progress);

export class DialogRelay {
  /** Kept up to date where somebody may want the legs' descriptions. */
  described: Described | undefined;
  /** Where the ends agree on a session timer between themselves: its fields cross. */
  watch: SessionWatch | undefined;
  readonly #policy: HeaderPolicy | (() => HeaderPolicy);
  readonly #random: Random;
  readonly #onError: (error: unknown) => void;
  /** Before an answer, once more than ringing was heard. */
  #forks: Forks | undefined;
  #renegotiation: Renegotiation | undefined;
  /** What is open between the legs, the renegotiation included. */
  #exchanges: Set<Exchange<Leg>> | undefined;
  /** RFC 3515 §2.4.6: the ids of subscriptions made by REFERs that crossed, as their senders know them. */
  #eventIds: Map<string, string> | undefined;

  /**
   * @param policy a function where it depends on the destination that is tried
   * @param onError told of exceptions in callbacks of the port, which must not see them.
   */
  constructor(policy: HeaderPolicy | (() => HeaderPolicy), random: Random, onError: (error: unknown) => void) {
    this.#policy = policy;
    this.#random = random;
    this.#onError = onError;
  }

  /** Of the two ends that speak. */
  get policy(): HeaderPolicy {
    return typeof this.#policy === 'function' ? this.#policy() : this.#policy;
  }

  /** The ends that had agreed on a session timer are no longer each other's. */
  unwatch(): void {
    this.watch?.stop();
    this.watch = undefined;
  }

  /**
   * A request other than INVITE, to be carried to `to`.
   * @param attempt that it came from, where a callee sends it before its answer
   */
  request(to: Leg, request: InDialogRequest, attempt?: Attempt): void {
    const { message } = request;
    if (!CROSSING.has(message.method)) {
      const local = Object.hasOwn(LOCAL_ANSWERS, message.method) ? LOCAL_ANSWERS[message.method] : undefined;
      const [status, headers] = local ?? UNKNOWN;
      request.respond(status, { headers });
      return;
    }
    const kind: ExchangeKind = message.body.length > 0 ? 'update_offer' : 'update';
    const forks = this.#forks?.several === true ? this.#forks : undefined;
    const callers = attempt === undefined ? request.fork : forks?.towardsCaller(attempt, request.fork);
    const exchange = message.method === 'UPDATE' ? this.#open({ kind, to, fork: callers }, request) : undefined;
    if (exchange === null) return;
    const passed = this.#headers('request', message);
    const headers = message.method === 'NOTIFY' ? passed.map((field) => this.#named(field)) : passed;
    const fork = attempt === undefined ? forks?.towardsCallee(request.fork) : callers;
    const spec = { method: message.method, headers, fork, ...contentOf(message) };
    to.request(spec, (outcome) => {
      this.#guard(() => {
        if (exchange !== undefined) this.#exchanges?.delete(exchange);
        if (outcome.kind !== 'response') request.respond(statusOf(outcome));
        else request.respond(crossing(outcome.message), this.response('response', outcome.message));
      });
    });
  }

  /** @returns null when it must not cross now, and its sender has been told so */
  #open(exchange: Exchange<Leg>, request: InDialogRequest | IncomingReinvite): Exchange<Leg> | null {
    const exchanges = (this.#exchanges ??= new Set());
    const verdict = verdictOf(exchanges, exchange);
    if (verdict === 'glare') request.respond(491);
    else if (verdict === 'later') this.defer(request);
    if (verdict !== 'cross') return null;
    exchanges.add(exchange);
    return exchange;
  }

  /**
   * A provisional as the caller gets it: reliably where somebody is there to answer the PRACK.
   * @param required the caller wants all of them so, whatever the callee does (RFC 3262 §3)
   */
  progress(attempt: Attempt, message: SignalMessage, required: boolean): ProgressSpec {
    const spec = this.response('progress', message);
    const across = isRelayed(attempt, message);
    const reliably = across || required;
    const described = message.body.length > 0;
    const binds = described || reliably;
    if (binds) this.#forks ??= new Forks();
    const fork = this.#forks?.take(attempt, binds, described);
    if (fork !== undefined && described) this.#forks?.keep(fork, reliably ? {} : contentOf(message));
    if (!reliably) return fork === undefined ? spec : { ...spec, fork };
    const tag = attempt.leg?.remoteTag;
    const reliable = (prack: InDialogRequest): void =>
      across ? this.#prack(attempt, message, prack) : this.#prackOfOurs(attempt, tag, prack);
    return { ...spec, fork, reliable };
  }

  /**
   * The callee's answer as the caller gets it: in the early dialog that is the callee's own, and with it the others end.
   * @param early a session description that came before, in the caller's first early dialog
   */
  answer(attempt: Attempt, message: SignalMessage, early: Content): ResponseSpec {
    const forks = this.#forks;
    const fork = forks?.take(attempt, true, true);
    this.#forks = undefined;
    let content = contentOf(message);
    // RFC 3261 §13.2.1: an answer that was only in an unreliable 18x must be in the 2xx, too.
    if (content.body === undefined) content = fork === undefined ? early : (forks?.contentOf(fork) ?? content);
    const spec = this.response('answer', message, content);
    return fork === undefined ? spec : { ...spec, fork };
  }

  /**
   * RFC 6228: 199 says that a fork of the callee's side has ended. Of use to a caller that knows it by itself and says so;
   * to any other, whose only leg lives on, it would be news of nobody.
   */
  tellsEnd(attempt: Attempt, invite: SignalMessage): boolean {
    const forks = this.#forks;
    return forks?.several === true && forks.knows(attempt) && listsOption(invite, 'Supported', '199');
  }

  /** The caller's PRACK of a provisional that `attempt` sent reliably: RFC 3262 §5, with offer or answer as it came. */
  #prack(attempt: Attempt, progress: SignalMessage, prack: InDialogRequest): void {
    const { message } = prack;
    const spec = { headers: this.#headers('request', message), ...contentOf(message) };
    const { leg } = attempt;
    const asked = { kind: 'prack_offer', to: leg as Leg, fork: prack.fork } as const;
    const exchange = message.body.length > 0 && leg !== undefined ? this.#open(asked, prack) : null;
    this.#pracked(attempt, progress, spec, (outcome) => {
      if (exchange !== null) this.#exchanges?.delete(exchange);
      if (outcome.kind === 'response')
        prack.respond(crossing(outcome.message), this.response('response', outcome.message));
      // RFC 3262 §3: whatever has become of the callee, the caller's provisional was acknowledged.
      else prack.respond(message.body.length === 0 ? 200 : statusOf(outcome));
    });
  }

  /** A provisional that no caller will acknowledge. */
  acknowledge(attempt: Attempt, progress: SignalMessage): void {
    if (isRelayed(attempt, progress)) this.#pracked(attempt, progress, {}, () => {});
  }

  /**
   * The caller's PRACK of a provisional that the callee did not send reliably. An offer in it is news to the callee, which
   * learns it by UPDATE (RFC 3311 §5.1), and where that cannot be the session stays as it is.
   */
  #prackOfOurs(attempt: Attempt, tag: string | undefined, prack: InDialogRequest): void {
    const { message } = prack;
    if (message.body.length === 0 || attempt.leg === undefined) return prack.respond(200);
    const fork = this.#forks?.several === true ? tag : undefined;
    const spec = { method: 'UPDATE', headers: this.#headers('request', message), fork, ...contentOf(message) };
    attempt.leg.request(spec, (outcome) => {
      this.#guard(() => {
        const accepted = outcome.kind === 'response' && (outcome.message.status ?? 500) < 300;
        if (accepted) prack.respond(200, this.response('response', outcome.message));
        else prack.respond(488);
      });
    });
  }

  #pracked(
    { leg }: Attempt,
    progress: SignalMessage,
    spec: ResponseSpec,
    done: (outcome: RequestOutcome) => void,
  ): void {
    leg?.prack(progress, spec, (outcome) => this.#guard(() => done(outcome)));
  }

  /** A re-INVITE of `from`, to be carried to `to`. */
  reinvite(from: Leg, to: Leg, incoming: IncomingReinvite): void {
    const exchange = this.#open({ kind: 'invite', to }, incoming);
    if (exchange === null) return;
    const renegotiation: Renegotiation = { exchange, from, to, incoming, phase: 'asked', acknowledge: undefined };
    this.#renegotiation = renegotiation;
    const { message } = incoming;
    to.reinvite({ headers: this.#headers('invite', message), ...contentOf(message) }, (outcome) => {
      this.#guard(() => {
        this.#reinviteOutcome(renegotiation, outcome);
      });
    });
  }

  #renegotiated(): void {
    const open = this.#renegotiation;
    this.#renegotiation = undefined;
    if (open !== undefined) this.#exchanges?.delete(open.exchange);
  }

  /** The ACK of a re-INVITE that we answered. */
  acked(message: SignalMessage, incoming: IncomingReinvite): void {
    const open = this.#renegotiation;
    if (open?.incoming !== incoming) return;
    this.#renegotiated();
    this.described?.keep(open.from, message.body);
    open.acknowledge?.(contentOf(message));
  }

  /**
   * The re-INVITE's sender withdrew it. The other leg cannot be asked to forget an offer, so its answer is awaited and
   * acknowledged; until then no other offer crosses.
   */
  cancelled(incoming: IncomingReinvite): void {
    const open = this.#renegotiation;
    if (open?.incoming === incoming && open.phase === 'asked') open.phase = 'withdrawn';
  }

  /** The subscription of a REFER has the CSeq of the request for its id, which is another one on each leg. */
  nameEvent(theirs: string, ours: string): void {
    this.#eventIds ??= new Map();
    if (this.#eventIds.size < MAX_EVENT_IDS) this.#eventIds.set(theirs, ours);
  }

  /** From here on the descriptions of the legs are kept. */
  remember(leg: Leg, body: Buffer | undefined): void {
    this.described = new Described();
    this.described.keep(leg, body);
  }

  /** Answers a request that cannot be served now: 500 with Retry-After of 0 to 10 s (RFC 3261 §14.2). */
  defer(request: InDialogRequest | IncomingReinvite): void {
    request.respond(500, { headers: [['Retry-After', String(Math.floor(this.#random.float() * 11))]] });
  }

  /** The call is over: whoever waits for an answer or an ACK gets it. */
  close(): void {
    this.watch?.stop();
    const open = this.#renegotiation;
    if (open === undefined) return;
    this.#renegotiated();
    if (open.phase === 'asked') open.incoming.respond(487);
    open.acknowledge?.();
  }

  dump(): object {
    const open = this.#renegotiation;
    return open === undefined ? {} : { renegotiation: { from: open.from.id, phase: open.phase } };
  }

  #reinviteOutcome(renegotiation: Renegotiation, outcome: ReinviteOutcome): void {
    const { incoming } = renegotiation;
    if (this.#renegotiation !== renegotiation || renegotiation.phase === 'withdrawn') {
      if (outcome.kind === 'answered') outcome.ack();
      if (this.#renegotiation === renegotiation) this.#renegotiated();
      return;
    }
    if (outcome.kind !== 'answered') {
      this.#renegotiated();
      if (outcome.kind !== 'response') incoming.respond(statusOf(outcome));
      else incoming.respond(crossing(outcome.message), this.response('failure', outcome.message));
      return;
    }
    renegotiation.phase = 'answered';
    this.described?.keep(renegotiation.to, outcome.message.body);
    this.described?.keep(renegotiation.from, incoming.message.body);
    // With an offer in the re-INVITE its answer is in the 2xx, and the ACK carries nothing: no reason to wait.
    if (incoming.message.body.length > 0) outcome.ack();
    else {
      renegotiation.acknowledge = (content) => {
        outcome.ack(content);
      };
    }
    incoming.respond(200, this.response('answer', outcome.message));
  }

  #named(field: HeaderEntry): HeaderEntry {
    const [name, value] = field;
    const id = name.toLowerCase() === 'event' ? REFER_ID.exec(value)?.[1] : undefined;
    if (id === undefined) return field;
    const ours = this.#eventIds?.get(id);
    return [name, ours === undefined ? 'refer' : `refer;id=${ours}`];
  }

  #headers(kind: MessageKind, message: SignalMessage): HeaderEntry[] {
    const headers = this.policy.relay(kind, message.headers());
    const allow = allowOf(message);
    if (allow !== undefined) headers.push(allow);
    if (this.watch !== undefined) headers.push(...relayedFields(message));
    return headers;
  }

  /** An answer as it crosses. */
  response(kind: MessageKind, message: SignalMessage, content: Content = contentOf(message)): ResponseSpec {
    this.watch?.heard(message);
    return { reason: reasonOf(message), headers: this.#headers(kind, message), ...content };
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#onError(error);
    }
  }
}

/** Reason phrase that crosses; undefined (the standard one) for none and for rewritten codes. */
export const reasonOf = (message: SignalMessage): string | undefined =>
  message.reason === undefined || message.reason === '' || crossing(message) !== message.status
    ? undefined
    : cleanText(message.reason).slice(0, 256);
