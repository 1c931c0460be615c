/**
 * A signal port whose legs the test drives. What comes from a peer is a method of the leg (`cancels`, `rings` ...);
 * what Tandem sends is a line of the ladder: `A <- 180`, `B1 <- INVITE`, `B1 -> 200`. Breaches of the port's rules by
 * the application are collected in `breaches`.
 */
import type {
  AskSpec,
  Content,
  HeaderEntry,
  InDialogRequest,
  InDialogSpec,
  IncomingLeg,
  IncomingReinvite,
  InviteFailure,
  InviteSpec,
  Leg,
  LegEnd,
  LegEvents,
  ProgressSpec,
  OutgoingEvents,
  OutgoingLeg,
  OutOfDialogRequest,
  ReinviteOutcome,
  RequestOutcome,
  ResponseSpec,
  SignalHandlers,
  SignalMessage,
  SignalPort,
  SignalSource,
} from '../../src/signal/port.js';

export interface MessageSpec {
  readonly method?: string;
  readonly uri?: string;
  readonly status?: number;
  readonly reason?: string;
  readonly callId?: string;
  readonly headers?: readonly HeaderEntry[];
  readonly body?: string | Buffer;
  readonly contentType?: string;
}

export class FakeMessage implements SignalMessage {
  readonly method: string;
  readonly uri: string | undefined;
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly callId: string;
  readonly contentType: string | undefined;
  readonly body: Buffer;
  readonly #headers: readonly HeaderEntry[];

  constructor(spec: MessageSpec) {
    this.method = spec.method ?? 'INVITE';
    this.uri = spec.uri;
    this.status = spec.status;
    this.reason = spec.reason;
    this.callId = spec.callId ?? 'a-call';
    this.body = Buffer.isBuffer(spec.body) ? spec.body : Buffer.from(spec.body ?? '');
    this.contentType = spec.contentType ?? (this.body.length > 0 ? 'application/sdp' : undefined);
    this.#headers = spec.headers ?? [];
  }

  header(name: string): string | undefined {
    return this.#headers.find(([field]) => field.toLowerCase() === name.toLowerCase())?.[1];
  }

  headers(): HeaderEntry[] {
    return [...this.#headers];
  }
}

const text = (content: Content | undefined): string =>
  content?.body === undefined || content.body.length === 0 ? '' : ` [${content.body.toString('latin1')}]`;

const inFork = ({ fork }: { readonly fork?: string | undefined }): string => (fork === undefined ? '' : ` in ${fork}`);

const reasonText = (headers: readonly HeaderEntry[] | undefined): string => {
  const reasons = (headers ?? []).filter(([name]) => name === 'Reason').map(([, value]) => value);
  return reasons.length === 0 ? '' : ` {${reasons.join(' | ')}}`;
};

/** An answer that the application owes, or gave. */
class Owed {
  readonly answers: { readonly status: number; readonly spec: ResponseSpec }[] = [];
  closed = false;
  readonly #say: (status: number, spec: ResponseSpec) => void;

  constructor(say: (status: number, spec: ResponseSpec) => void) {
    this.#say = say;
  }

  give(status: number, spec: ResponseSpec): boolean {
    if (this.closed) return false;
    if (status >= 200) this.closed = true;
    this.answers.push({ status, spec });
    this.#say(status, spec);
    return true;
  }
}

abstract class FakeLeg implements Leg {
  readonly id: string;
  readonly callId: string;
  readonly localTag = 'lt';
  /** Of a callee that forks: set before each of its messages. */
  remoteTag = 'rt';
  ended = false;
  byeSent = false;
  byeHeaders: readonly HeaderEntry[] | undefined;
  /** Requests that the application sent within the dialog and that were not answered yet. */
  readonly pending: { readonly spec: InDialogSpec; readonly done: (outcome: RequestOutcome) => void }[] = [];
  readonly reinvites: { readonly spec: ResponseSpec; readonly done: (outcome: ReinviteOutcome) => void }[] = [];
  protected readonly signal: FakeSignal;

  constructor(signal: FakeSignal, id: string) {
    this.signal = signal;
    this.id = id;
    this.callId = `${id}@fake`;
  }

  abstract get sink(): LegEvents;
  protected abstract get established(): boolean;

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    if (this.ended) return done({ kind: 'leg_ended' });
    this.sent(`${spec.method}${text(spec)}${inFork(spec)}`);
    this.pending.push({ spec, done });
  }

  reinvite(spec: ResponseSpec, done: (outcome: ReinviteOutcome) => void): void {
    if (this.ended) return done({ kind: 'leg_ended' });
    if (this.reinvites.length > 0) this.signal.breach(`${this.id}: second re-INVITE while one is open`);
    this.sent(`re-INVITE${text(spec)}`);
    this.reinvites.push({ spec, done });
  }

  bye(headers?: readonly HeaderEntry[]): void {
    if (this.ended) return;
    if (!this.established) return this.signal.breach(`${this.id}: BYE before an answer`);
    if (this.byeSent) return this.signal.breach(`${this.id}: second BYE`);
    this.byeSent = true;
    this.byeHeaders = headers;
    this.sent(`BYE${reasonText(headers)}`);
    if (this.signal.confirmAtOnce) this.confirms();
  }

  dump(): object {
    return { id: this.id };
  }

  // ------------------------------------------------------------------ the peer

  /** 200 to the BYE that we sent. */
  confirms(): void {
    this.got('200 (BYE)');
    this.ends({ kind: 'local_bye' });
  }

  byes(headers: readonly HeaderEntry[] = []): void {
    this.got('BYE');
    this.ends({ kind: 'remote_bye', message: new FakeMessage({ method: 'BYE', headers }) });
  }

  ends(end: LegEnd): void {
    if (this.ended) return;
    this.ended = true;
    for (const { done } of this.pending.splice(0)) done({ kind: 'leg_ended' });
    for (const { done } of this.reinvites.splice(0)) done({ kind: 'leg_ended' });
    this.sink.onEnded(this, end);
  }

  /** Sends a request within the dialog; the application's answers gather in the result. */
  asks(method: string, spec: MessageSpec = {}, fork?: string): Owed {
    this.got(`${method}${spec.body === undefined ? '' : ` [${String(spec.body)}]`}`);
    const owed = new Owed((status, given) => this.sent(`${status} (${method})${text(given)}`));
    const request: InDialogRequest = {
      message: new FakeMessage({ ...spec, method }),
      fork,
      respond: (status, given = {}) => {
        if (!owed.give(status, given) && !this.ended) this.signal.breach(`${this.id}: second answer to ${method}`);
      },
    };
    this.sink.onRequest(this, request);
    return owed;
  }

  reinvitesWith(body = '', headers: readonly HeaderEntry[] = []): FakeReinvite {
    this.got(`re-INVITE${body === '' ? '' : ` [${body}]`}`);
    const reinvite = new FakeReinvite(this, body, headers);
    this.sink.onReinvite(this, reinvite);
    return reinvite;
  }

  /** Answers the oldest request that we sent. */
  responds(status: number, spec: MessageSpec = {}): void {
    const asked = this.pending.shift();
    if (asked === undefined) throw new Error(`${this.id}: nothing was asked`);
    this.got(`${status} (${asked.spec.method})`);
    const message = new FakeMessage({ ...spec, method: asked.spec.method, status });
    asked.done({ kind: 'response', message });
  }

  /** Answers the re-INVITE that we sent. */
  respondsReinvite(outcome: number | RequestOutcome, body = ''): void {
    const asked = this.reinvites.shift();
    if (asked === undefined) throw new Error(`${this.id}: no re-INVITE was sent`);
    if (typeof outcome !== 'number') return asked.done(outcome);
    this.got(`${outcome} (re-INVITE)${body === '' ? '' : ` [${body}]`}`);
    const message = new FakeMessage({ status: outcome, body });
    if (outcome >= 300) return asked.done({ kind: 'response', message });
    let acked = false;
    asked.done({
      kind: 'answered',
      message,
      ack: (content) => {
        if (acked) return this.signal.breach(`${this.id}: second ACK to a re-INVITE`);
        acked = true;
        if (!this.ended) this.sent(`ACK (re-INVITE)${text(content)}`);
      },
    });
  }

  sent(line: string): void {
    this.signal.ladder.push(`${this.id} <- ${line}`);
  }

  got(line: string): void {
    this.signal.ladder.push(`${this.id} -> ${line}`);
  }
}

export class FakeReinvite implements IncomingReinvite {
  readonly message: SignalMessage;
  readonly owed: Owed;
  readonly #leg: FakeLeg;

  constructor(leg: FakeLeg, body: string, headers: readonly HeaderEntry[]) {
    this.#leg = leg;
    this.message = new FakeMessage({ body, headers });
    this.owed = new Owed((status, spec) => leg.sent(`${status} (re-INVITE)${text(spec)}`));
  }

  respond(status: number, spec: ResponseSpec = {}): void {
    this.owed.give(status, spec);
  }

  acks(body = ''): void {
    this.#leg.got(`ACK (re-INVITE)${body === '' ? '' : ` [${body}]`}`);
    this.#leg.sink.onAck(this.#leg, new FakeMessage({ method: 'ACK', body }), this);
  }

  cancels(): void {
    this.#leg.got('CANCEL (re-INVITE)');
    this.owed.closed = true;
    this.#leg.sink.onReinviteCancelled(this.#leg, this);
  }
}

export class FakeIncomingLeg extends FakeLeg implements IncomingLeg {
  readonly message: SignalMessage;
  readonly source: SignalSource;
  readonly sent1xx: { readonly status: number; readonly spec: ProgressSpec }[] = [];
  answered: ResponseSpec | undefined;
  rejected: { readonly status: number; readonly spec: ResponseSpec } | undefined;
  acked = false;
  #sink: LegEvents | undefined;

  constructor(signal: FakeSignal, id: string, invite: { message: SignalMessage; source: SignalSource }) {
    super(signal, id);
    this.message = invite.message;
    this.source = invite.source;
  }

  get sink(): LegEvents {
    if (this.#sink === undefined) throw new Error('an event before onInvite returned');
    return this.#sink;
  }

  set sink(sink: LegEvents) {
    this.#sink = sink;
  }

  protected get established(): boolean {
    return this.answered !== undefined;
  }

  progress(status: number, spec: ProgressSpec = {}): void {
    if (this.ended) return;
    if (this.answered !== undefined) return this.signal.breach(`${this.id}: ${status} after an answer`);
    this.sent1xx.push({ status, spec });
    this.sent(`${status}${text(spec)}${spec.reliable === undefined ? '' : ' reliably'}${inFork(spec)}`);
  }

  /** Acknowledges the oldest reliable provisional that has not been; the application's answers gather in the result. */
  pracks(body = ''): Owed {
    const at = this.sent1xx.findIndex(({ spec }) => spec.reliable !== undefined);
    const [progress] = this.sent1xx.splice(at, at < 0 ? 0 : 1);
    if (progress?.spec.reliable === undefined) throw new Error(`${this.id}: nothing to acknowledge`);
    this.got(`PRACK${body === '' ? '' : ` [${body}]`}`);
    const owed = new Owed((status, given) => this.sent(`${status} (PRACK)${text(given)}`));
    progress.spec.reliable({
      message: new FakeMessage({ method: 'PRACK', body }),
      respond: (status, given = {}) => {
        if (!owed.give(status, given) && !this.ended) this.signal.breach(`${this.id}: second answer to PRACK`);
      },
    });
    return owed;
  }

  answer(spec: ResponseSpec): void {
    if (this.ended) return;
    if (this.answered !== undefined) return this.signal.breach(`${this.id}: second 200`);
    this.answered = spec;
    this.sent(`200${text(spec)}${inFork(spec)}`);
  }

  reject(status: number, spec: ResponseSpec = {}): void {
    if (this.ended) return;
    if (this.answered !== undefined) return this.signal.breach(`${this.id}: ${status} after an answer`);
    this.ended = true;
    this.rejected = { status, spec };
    this.sent(`${status}${reasonText(spec.headers)}`);
  }

  override bye(headers?: readonly HeaderEntry[]): void {
    if (!this.ended && this.answered !== undefined && !this.acked) this.signal.breach(`${this.id}: BYE before the ACK`);
    super.bye(headers);
  }

  acks(body = ''): void {
    if (this.ended || this.acked) return;
    this.acked = true;
    this.got(`ACK${body === '' ? '' : ` [${body}]`}`);
    this.sink.onAck(this, new FakeMessage({ method: 'ACK', body }), undefined);
  }

  cancels(headers: readonly HeaderEntry[] = []): void {
    this.got('CANCEL');
    this.ends({ kind: 'cancelled', message: new FakeMessage({ method: 'CANCEL', headers }) });
  }
}

export class FakeOutgoingLeg extends FakeLeg implements OutgoingLeg {
  readonly spec: InviteSpec;
  readonly sink: OutgoingEvents;
  answeredByPeer = false;
  acks = 0;
  readonly #acknowledged = new Set<SignalMessage>();
  cancelSent = false;
  cancelHeaders: readonly HeaderEntry[] | undefined;

  constructor(signal: FakeSignal, id: string, call: { spec: InviteSpec; sink: OutgoingEvents }) {
    super(signal, id);
    this.spec = call.spec;
    this.sink = call.sink;
    this.sent(`INVITE${text(call.spec)}`);
  }

  protected get established(): boolean {
    return this.answeredByPeer;
  }

  ack(content?: Content): void {
    if (this.ended) return;
    if (!this.answeredByPeer) return this.signal.breach(`${this.id}: ACK before an answer`);
    if (++this.acks > 1) return this.signal.breach(`${this.id}: second ACK`);
    this.sent(`ACK${text(content)}`);
  }

  /** The peer answers it with `responds`. */
  prack(progress: SignalMessage, spec: ResponseSpec, done: (outcome: RequestOutcome) => void): void {
    if (this.spec.ownPrack !== true) this.signal.breach(`${this.id}: PRACK that the port sends`);
    if (this.#acknowledged.has(progress)) this.signal.breach(`${this.id}: second PRACK`);
    this.#acknowledged.add(progress);
    this.request({ ...spec, method: 'PRACK' }, done);
  }

  override bye(headers?: readonly HeaderEntry[]): void {
    if (!this.ended && this.answeredByPeer && this.acks === 0) this.signal.breach(`${this.id}: BYE without an ACK`);
    super.bye(headers);
  }

  cancel(headers?: readonly HeaderEntry[]): void {
    if (this.ended || this.answeredByPeer) return;
    if (this.cancelSent) return this.signal.breach(`${this.id}: second CANCEL`);
    this.cancelSent = true;
    this.cancelHeaders = headers;
    this.sent(`CANCEL${reasonText(headers)}`);
    if (this.signal.confirmAtOnce) this.confirmsCancel();
  }

  // ------------------------------------------------------------------ the peer

  tries(): void {
    if (this.ended || this.answeredByPeer) return;
    this.got('100');
    this.sink.onTrying(this);
  }

  progresses(status: number, body = '', spec: MessageSpec = {}): void {
    if (this.ended || this.answeredByPeer) return;
    this.got(`${status}${body === '' ? '' : ` [${body}]`}`);
    this.sink.onProgress(this, new FakeMessage({ ...spec, status, body }));
  }

  answers(body = 'answer', spec: MessageSpec = {}): void {
    if (this.ended || this.answeredByPeer) return;
    if (this.cancelSent) return this.confirmsCancel();
    this.got(`200${body === '' ? '' : ` [${body}]`}`);
    this.answeredByPeer = true;
    this.sink.onAnswered(this, new FakeMessage({ reason: 'OK', ...spec, status: 200, body }));
  }

  refuses(status: number, spec: MessageSpec = {}): void {
    if (this.ended || this.answeredByPeer) return;
    if (this.cancelSent) return this.confirmsCancel();
    this.got(String(status));
    this.fails({ kind: 'response', status, message: new FakeMessage({ ...spec, status }) });
  }

  fails(failure: InviteFailure): void {
    if (this.ended || this.answeredByPeer) return;
    this.ended = true;
    this.sink.onFailed(this, failure);
  }

  confirmsCancel(): void {
    this.got('487');
    this.fails({ kind: 'cancelled' });
  }
}

export interface IncomingCall extends MessageSpec {
  readonly from?: string;
  readonly source?: SignalSource;
}

export class FakeSignal implements SignalPort {
  readonly capabilities: { reportsTrying: boolean };
  readonly ladder: string[] = [];
  readonly breaches: string[] = [];
  readonly outgoing: FakeOutgoingLeg[] = [];
  /** Peers answer BYE and CANCEL within the call that sends them: the hardest order. */
  confirmAtOnce = false;
  handlers: SignalHandlers | undefined;
  #incoming = 0;

  constructor(options: { reportsTrying?: boolean } = {}) {
    this.capabilities = { reportsTrying: options.reportsTrying ?? true };
  }

  start(handlers: SignalHandlers): Promise<readonly string[]> {
    this.handlers = handlers;
    return Promise.resolve(['fake/0']);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  dump(): object {
    return {};
  }

  invite(spec: InviteSpec, sink: OutgoingEvents): OutgoingLeg {
    const leg = new FakeOutgoingLeg(this, `B${this.outgoing.length + 1}`, { spec, sink });
    this.outgoing.push(leg);
    return leg;
  }

  /** What was asked outside dialogs, and is not answered until the test says so. */
  readonly asked: { readonly spec: AskSpec; readonly done: (outcome: RequestOutcome) => void }[] = [];

  ask(spec: AskSpec, done: (outcome: RequestOutcome) => void): void {
    this.asked.push({ spec, done });
  }

  /** The latest INVITE that we sent, or the one of this number. */
  b(number = this.outgoing.length): FakeOutgoingLeg {
    const leg = this.outgoing[number - 1];
    if (leg === undefined) throw new Error(`there is no B${number}`);
    return leg;
  }

  /** A caller's leg, not yet given to anybody. */
  leg(call: IncomingCall = {}): FakeIncomingLeg {
    const id = this.#incoming++ === 0 ? 'A' : `A${this.#incoming}`;
    const body = call.body ?? 'offer';
    const headers: HeaderEntry[] = [
      ['Via', 'SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bK1'],
      ['From', call.from ?? '"Ann" <sip:+919820000000@10.9.8.7>;tag=f1'],
      ['To', '<sip:08040000001@127.0.0.1>'],
      ['Call-ID', 'a-call'],
      ['Contact', '<sip:ann@10.9.8.7:5060>'],
      ...(call.headers ?? [['Max-Forwards', '70'] as const]),
    ];
    const uri = call.uri ?? 'sip:08040000001@127.0.0.1:5060';
    const message = new FakeMessage({ ...call, method: 'INVITE', uri, body, headers });
    this.ladder.push(`${id} -> INVITE${text(message)}`);
    return new FakeIncomingLeg(this, id, { message, source: call.source ?? CALLER });
  }

  /** An INVITE arrives. */
  call(call: IncomingCall = {}): FakeIncomingLeg {
    const leg = this.leg(call);
    leg.sink = (this.handlers as SignalHandlers).onInvite(leg);
    return leg;
  }

  /** A request outside dialogs arrives; returns the answers. */
  asks(method: string, source: SignalSource = CALLER): Owed {
    const owed = new Owed(() => {});
    const request: OutOfDialogRequest = {
      message: new FakeMessage({ method, uri: 'sip:127.0.0.1' }),
      source,
      respond: (status, spec = {}) => {
        if (!owed.give(status, spec)) this.breach(`second answer to ${method}`);
      },
    };
    (this.handlers as SignalHandlers).onRequest(request);
    return owed;
  }

  breach(rule: string): void {
    this.breaches.push(rule);
  }

  /** The lines since the last time this was asked. */
  takeLadder(): string[] {
    return this.ladder.splice(0);
  }
}

export const CALLER: SignalSource = { transport: 'udp', address: '127.0.20.10', port: 5060 };
