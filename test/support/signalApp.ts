/** An application on a SignalPort, for tests: it records every event and does only what the test says. */
import type {
  IncomingLeg,
  IncomingReinvite,
  InDialogRequest,
  InviteFailure,
  InviteSpec,
  Leg,
  LegEnd,
  LegEvents,
  OutgoingEvents,
  OutgoingLeg,
  OutOfDialogRequest,
  SignalHandlers,
  SignalMessage,
  SignalPort,
} from '../../src/signal/port.js';

/** What a leg reported, in the order of its reports. */
export interface Report {
  readonly type:
    'trying' | 'progress' | 'answered' | 'failed' | 'request' | 'reinvite' | 'ack' | 'reinviteCancelled' | 'ended';
  readonly message?: SignalMessage;
  readonly failure?: InviteFailure;
  readonly end?: LegEnd;
  readonly request?: InDialogRequest;
  readonly reinvite?: IncomingReinvite | undefined;
}

/** Values that arrive one by one; awaiting them never races. */
export class Inbox<T> {
  readonly all: T[] = [];
  readonly #unread: T[] = [];
  readonly #waiting: { matches: (value: T) => boolean; resolve: (value: T) => void }[] = [];
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  push(value: T): void {
    this.all.push(value);
    const at = this.#waiting.findIndex((waiter) => waiter.matches(value));
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.resolve(value);
    else this.#unread.push(value);
  }

  /** First value not taken yet that matches. Rejects after `timeoutMs`. */
  take(what: string, matches: (value: T) => boolean = () => true, timeoutMs = 5000): Promise<T> {
    const at = this.#unread.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.#unread.splice(at, 1)[0] as T);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.#name}: no ${what} within ${timeoutMs} ms`)), timeoutMs);
      this.#waiting.push({
        matches,
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
      });
    });
  }
}

export class LegProbe implements OutgoingEvents {
  readonly reports = new Inbox<Report>('leg');
  readonly direction: 'incoming' | 'outgoing';
  /** False until `invite()` or `onInvite` has returned. */
  returned = false;
  /** What broke the rules of the port, for the check at the end of a test. */
  readonly breaches: string[] = [];
  rejected = false;

  constructor(direction: 'incoming' | 'outgoing') {
    this.direction = direction;
  }

  async expect<K extends Report['type']>(type: K, timeoutMs?: number): Promise<Report> {
    try {
      return await this.reports.take(type, (report) => report.type === type, timeoutMs);
    } catch (error) {
      throw new Error(`${String(error)}; reported: ${this.reports.all.map((r) => r.type).join(' ')}`, { cause: error });
    }
  }
  /** Message of the next report of that type. */
  async message(type: Report['type']): Promise<SignalMessage> {
    return (await this.expect(type)).message as SignalMessage;
  }
  async end(timeoutMs?: number): Promise<LegEnd> {
    return (await this.expect('ended', timeoutMs)).end as LegEnd;
  }
  async failure(timeoutMs?: number): Promise<InviteFailure> {
    return (await this.expect('failed', timeoutMs)).failure as InviteFailure;
  }
  count(type: Report['type']): number {
    return this.reports.all.filter((report) => report.type === type).length;
  }

  /** Breaches of "exactly one outcome", to be asked when the leg is over. */
  verdict(): string[] {
    const breaches = [...this.breaches];
    const [answered, failed, ended] = [this.count('answered'), this.count('failed'), this.count('ended')];
    if (this.direction === 'outgoing') {
      if (answered + failed !== 1) breaches.push(`answered ${answered} times and failed ${failed} times`);
      if (ended !== answered) breaches.push(`answered ${answered} times but ended ${ended} times`);
    } else if (ended !== (this.rejected ? 0 : 1)) {
      breaches.push(`ended ${ended} times${this.rejected ? ' after reject' : ''}`);
    }
    return breaches;
  }

  onTrying(_leg: OutgoingLeg): void {
    this.#record({ type: 'trying' });
  }
  onProgress(_leg: OutgoingLeg, message: SignalMessage): void {
    this.#record({ type: 'progress', message });
  }
  onAnswered(_leg: OutgoingLeg, message: SignalMessage): void {
    this.#record({ type: 'answered', message });
  }
  onFailed(_leg: OutgoingLeg, failure: InviteFailure): void {
    this.#record({ type: 'failed', failure });
  }
  onRequest(_leg: Leg, request: InDialogRequest): void {
    this.#record({ type: 'request', message: request.message, request });
  }
  onReinvite(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#record({ type: 'reinvite', message: reinvite.message, reinvite });
  }
  onAck(_leg: Leg, message: SignalMessage, reinvite: IncomingReinvite | undefined): void {
    this.#record({ type: 'ack', message, reinvite });
  }
  onReinviteCancelled(_leg: Leg, reinvite: IncomingReinvite): void {
    this.#record({ type: 'reinviteCancelled', reinvite });
  }
  onEnded(_leg: Leg, end: LegEnd): void {
    this.#record({ type: 'ended', end });
  }

  #record(report: Report): void {
    if (!this.returned) this.breaches.push(`${report.type} before the leg was handed over`);
    if (this.count('ended') + this.count('failed') > 0) this.breaches.push(`${report.type} after the end`);
    this.reports.push(report);
  }
}

export interface IncomingCall {
  readonly leg: IncomingLeg;
  readonly probe: LegProbe;
}

export class SignalApp implements SignalHandlers {
  readonly calls = new Inbox<IncomingCall>('application: call');
  readonly requests = new Inbox<OutOfDialogRequest>('application: request');
  readonly availability: boolean[] = [];
  /** Every leg since the last `verdict`. */
  readonly #probes: LegProbe[] = [];
  /** Runs within `onInvite`. */
  onCall: ((leg: IncomingLeg, probe: LegProbe) => void) | undefined;

  onInvite(leg: IncomingLeg): LegEvents {
    const probe = new LegProbe('incoming');
    this.#probes.push(probe);
    this.onCall?.(leg, probe);
    // The handler returns before any microtask runs; adapters may deliver at once after that.
    const events = probe;
    probe.returned = true;
    this.calls.push({ leg, probe });
    return events;
  }
  onRequest(request: OutOfDialogRequest): void {
    this.requests.push(request);
  }
  onAvailability(up: boolean): void {
    this.availability.push(up);
  }

  call(): Promise<IncomingCall> {
    return this.calls.take('incoming call');
  }

  invite(port: SignalPort, spec: InviteSpec): { readonly leg: OutgoingLeg; readonly probe: LegProbe } {
    const probe = new LegProbe('outgoing');
    this.#probes.push(probe);
    const leg = port.invite(spec, probe);
    probe.returned = true;
    return { leg, probe };
  }

  /** Breaches of the port's rules by the legs so far; starts anew. */
  verdict(): string[] {
    return this.#probes.splice(0).flatMap((probe) => probe.verdict());
  }
}
