import type { Clock } from '../../kernel/index.js';
import type { Screening, SipRequest, Source } from '../../sip/index.js';
import type { HeaderEntry, IncomingLeg, LegEvents, ResponseSpec, SignalMessage, SignalSource } from '../port.js';
import { DirectMessage } from './message.js';

/** What the application says of sources, before any state is made for their requests. */
export interface SourceGate {
  /** Whether any trunk or carrier lists this address. One map look-up. */
  isListed(address: string): boolean;
  /** Whether some trunk or carrier lists both addresses. Absent: each address stands for itself. */
  sameParty?(address: string, known: string): boolean;
  /** What the others get: one stateless answer, or silence. */
  readonly unlisted: 'reject' | 'drop';
  /** Whether an INVITE from such an address is worth a decision and a call record: rate-limited. */
  isWorthARecord(address: string, nowMs: number): boolean;
  /**
   * What an INVITE or REGISTER from such an address has proved. Absent: nobody can prove anything. `undefined`: it is a stranger's; an
   * array: ask for a password with these fields of a 401. Keeps nothing.
   */
  stranger?(invite: SignalMessage, address: string): 'proved' | readonly HeaderEntry[] | undefined;
  /** Whether a REGISTER by datagram from such an address may get a challenge that is longer than itself: rate-limited. */
  mayChallenge?(address: string, nowMs: number): boolean;
}

const ACCEPT: Screening = { action: 'accept' };
const DROP: Screening = { action: 'drop' };
const REFUSE: Screening = {
  action: 'reject',
  status: 403,
  reason: 'Forbidden',
  headers: [['Reason', 'SIP;cause=403;text="source_not_allowed"']],
};

/** Requests of unlisted sources that were recorded lately, so that a repeated datagram makes no second record. */
const REMEMBERED = 1000;

/**
 * The caller's leg of a call that is refused without a transaction: it takes the application's refusal and becomes
 * the one stateless answer (RFC 3261 §8.2.7). Whoever forged the source of the request cannot make us repeat it.
 */
class RefusedLeg implements IncomingLeg {
  readonly id: string;
  readonly callId: string;
  readonly localTag = '';
  readonly remoteTag: string;
  readonly message: SignalMessage;
  readonly source: SignalSource;
  outcome: Screening = REFUSE;

  constructor(request: SipRequest, source: Source, id: string) {
    this.id = id;
    this.callId = request.callId;
    this.remoteTag = request.fromTag ?? '';
    this.message = new DirectMessage(request);
    this.source = source;
  }

  reject(status: number, spec: ResponseSpec = {}): void {
    const headers: HeaderEntry[] = [...(spec.headers ?? [])];
    this.outcome = { action: 'reject', status, reason: spec.reason, headers };
  }

  request(...[, done]: Parameters<IncomingLeg['request']>): void {
    done({ kind: 'leg_ended' });
  }

  reinvite(...[, done]: Parameters<IncomingLeg['reinvite']>): void {
    done({ kind: 'leg_ended' });
  }

  progress(): void {}
  answer(): void {}
  bye(): void {}

  dump(): object {
    return { id: this.id, callId: this.callId, refused: true };
  }
}

/** Stands before the engine's transactions. */
export class UnlistedSources {
  readonly #gate: SourceGate;
  readonly #clock: Clock;
  readonly #recorded = new Set<string>();
  /** Requests answered or dropped here. */
  refused = 0;

  constructor(gate: SourceGate, clock: Clock) {
    this.#gate = gate;
    this.#clock = clock;
  }

  /** @param onInvite the application: told of an INVITE that is worth a record, it refuses it. */
  screen(request: SipRequest, source: Source, onInvite: (leg: IncomingLeg) => LegEvents): Screening {
    if (this.#gate.isListed(source.address)) return ACCEPT;
    const login =
      request.method === 'INVITE' || request.method === 'REGISTER'
        ? this.#gate.stranger?.(new DirectMessage(request), source.address)
        : undefined;
    if (login === 'proved') return ACCEPT;
    this.refused++;
    if (login !== undefined) return this.#challenge(request.method, source.address, [...login]);
    const drop = this.#gate.unlisted === 'drop';
    if (request.method !== 'INVITE' || !this.#isNew(request, source)) return drop ? DROP : REFUSE;
    const leg = new RefusedLeg(request, source, `refused-${this.refused.toString(36)}`);
    onInvite(leg);
    return drop ? DROP : leg.outcome;
  }

  /**
   * A forged source must not get more from us than was sent in its name: a challenge that is longer than its request stays
   * unsent. Some telephones' REGISTERs are that short: few of them are challenged, the others, being repeated, later.
   */
  #challenge(method: string, address: string, headers: HeaderEntry[]): Screening {
    const challenge = { action: 'reject', status: 401, headers } as const;
    if (method !== 'REGISTER') return challenge;
    return { ...challenge, mayExceed: () => this.#gate.mayChallenge?.(address, this.#clock.nowMs()) === true };
  }

  #isNew(request: SipRequest, source: Source): boolean {
    const key = `${request.callId}|${request.topVia.branch ?? ''}`;
    if (this.#recorded.has(key) || !this.#gate.isWorthARecord(source.address, this.#clock.nowMs())) return false;
    this.#recorded.add(key);
    if (this.#recorded.size > REMEMBERED) {
      const oldest = this.#recorded.values().next().value;
      if (oldest !== undefined) this.#recorded.delete(oldest);
    }
    return true;
  }
}
