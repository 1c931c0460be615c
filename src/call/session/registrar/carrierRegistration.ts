/** One registration of ours at one carrier: sends what the table of `registration/client.ts` says. */
import type { Clock, Random, Timer } from '../../../kernel/index.js';
import { DigestClient, answerChallenge, hostOfUri, param, parseNameAddr, splitList } from '../../../signal/index.js';
import type { AskSpec, Credentials, HeaderEntry, RequestOutcome, SignalMessage } from '../../../signal/port.js';
import { escapeUser, unescapeUser, userOf } from '../../bridge/headerText.js';
import {
  CLIENT_TABLE,
  type ClientAct,
  type ClientEvent,
  type ClientState,
  refreshDelayMs,
  retryDelayMs,
} from '../../registration/client.js';

/** What is asked of whom. */
export interface CarrierRegistrationPlan {
  readonly carrierId: string;
  /** `host[:port][;transport=x]`: where REGISTERs go. */
  readonly registrar: string;
  /** Of the address of record. */
  readonly domain: string;
  readonly user: string;
  /** User of our Contact: what the carrier calls us by. */
  readonly contactUser: string;
  readonly expiresS: number;
  readonly credentials: Credentials | undefined;
}

export interface CarrierRegistrationView {
  readonly carrierId: string;
  readonly state: ClientState;
  readonly registrar: string;
  readonly aor: string;
  readonly contactUser: string;
  /** How long what the carrier granted last still holds; null: it holds nothing. */
  readonly expiresInS: number | null;
  /** SIP status of its last answer; 0: none came. */
  readonly lastStatus: number;
  /** Why it failed: `403`, `timeout`, `transport_error` ... */
  readonly cause: string | null;
  readonly failures: number;
  /** Until the next REGISTER. */
  readonly nextInS: number | null;
}

export interface CarrierRegistrationWorld {
  readonly ask: (spec: AskSpec, done: (outcome: RequestOutcome) => void) => void;
  readonly clock: Clock;
  readonly random: Random;
  /** Told when it is registered, failed or gone; not when it is prolonged. */
  readonly onChange: (view: CarrierRegistrationView) => void;
}

/** A proxy, the registrar behind it, and a stale nonce. */
const MAX_TRIES = 4;
/** How long what is given back may take to be answered. */
const LEAVE_MS = 2_000;
const MAX_EXPIRES_S = 86_400;

export class CarrierRegistration {
  readonly plan: CarrierRegistrationPlan;
  readonly #world: CarrierRegistrationWorld;
  readonly #callId: string;
  #state: ClientState = 'idle';
  #cseq = 0;
  #askedS: number;
  #heldUntilMs = 0;
  #lastStatus = 0;
  #cause: string | undefined;
  #retryAfterS = 0;
  #failures = 0;
  #timer: Timer | undefined;
  #dueMs = 0;
  /** Counts REGISTERs: an answer to one that was overtaken says nothing. */
  #turn = 0;

  constructor(plan: CarrierRegistrationPlan, world: CarrierRegistrationWorld) {
    this.plan = plan;
    this.#world = world;
    this.#callId = world.random.uuid();
    this.#askedS = plan.expiresS;
  }

  get state(): ClientState {
    return this.#state;
  }

  start(): void {
    this.#on('start');
  }

  /** Gives it back; `onChange` tells when that is over. */
  stop(): void {
    this.#on('stop');
  }

  /** Ends at once, without a word to the carrier. */
  abandon(): void {
    this.#timer?.cancel();
    this.#turn++;
    this.#state = 'gone';
  }

  view(): CarrierRegistrationView {
    const { carrierId, registrar, user, domain, contactUser } = this.plan;
    const now = this.#world.clock.nowMs();
    const left = Math.round((this.#heldUntilMs - now) / 1000);
    return {
      carrierId,
      state: this.#state,
      registrar,
      aor: `sip:${user}@${domain}`,
      contactUser,
      expiresInS: left > 0 ? left : null,
      lastStatus: this.#lastStatus,
      cause: this.#cause ?? null,
      failures: this.#failures,
      nextInS: this.#timer?.active === true ? Math.max(0, Math.round((this.#dueMs - now) / 1000)) : null,
    };
  }

  #on(event: ClientEvent): void {
    const { next, act } = CLIENT_TABLE[this.#state][event];
    const before = this.#state;
    this.#state = next;
    if (act !== undefined) this.#act(act);
    const told = next === 'failed' || next === 'gone' || (next === 'registered' && before !== 'refreshing');
    if (told && next !== before) this.#world.onChange(this.view());
  }

  #act(act: ClientAct): void {
    const { random } = this.#world;
    switch (act) {
      case 'send':
      case 'send_longer':
        return this.#register(this.#askedS);
      case 'refresh_later':
        return this.#wait(refreshDelayMs((this.#heldUntilMs - this.#world.clock.nowMs()) / 1000, random.float()));
      case 'retry_later':
        return this.#wait(retryDelayMs(this.#failures, random.float(), this.#retryAfterS));
      case 'leave':
        this.#wait(LEAVE_MS);
        return this.#register(0);
      case 'finish':
        this.#timer?.cancel();
        this.#turn++;
    }
  }

  #wait(delayMs: number): void {
    this.#timer?.cancel();
    const { clock } = this.#world;
    this.#dueMs = clock.nowMs() + delayMs;
    this.#timer = clock.setTimer('carrier_registration', delayMs, () => this.#on('due'));
  }

  /** @param expiresS 0: takes our contact off */
  #register(expiresS: number): void {
    const { credentials, registrar } = this.plan;
    const turn = ++this.#turn;
    const digest =
      credentials === undefined
        ? undefined
        : new DigestClient(credentials, hostOfUri(`sip:${registrar}`), this.#world.random);
    const uri = `sip:${this.plan.domain}`;
    const send = (proofs: readonly HeaderEntry[], tries: number): void => {
      this.#world.ask(this.#request(uri, expiresS, proofs), (outcome) => {
        if (turn !== this.#turn) return;
        if (outcome.kind === 'response' && digest !== undefined && tries < MAX_TRIES) {
          const challenge = { status: outcome.message.status ?? 0, headers: outcome.message.headers() };
          const answer = answerChallenge(digest, challenge, { method: 'REGISTER', uri });
          if (answer !== undefined) return send(answer, tries + 1);
        }
        this.#heard(outcome);
      });
    };
    send([], 1);
  }

  #request(uri: string, expiresS: number, proofs: readonly HeaderEntry[]): AskSpec {
    const { user, domain, contactUser, registrar } = this.plan;
    const address = `<sip:${escapeUser(user)}@${domain}>`;
    const transport = /;transport=(\w+)/i.exec(registrar)?.[1];
    const via = transport === undefined || transport === 'udp' ? '' : `;transport=${transport.toLowerCase()}`;
    return {
      method: 'REGISTER',
      uri,
      nextHop: `sip:${registrar}`,
      // RFC 3261 §10.2: our own address of record in both; the Call-ID is ours for good, and CSeq counts.
      from: address,
      to: address,
      callId: this.#callId,
      cseq: ++this.#cseq,
      contact: `<sip:${escapeUser(contactUser)}@localhost${via}>;expires=${expiresS}`,
      headers: [['Expires', String(expiresS)], ...proofs],
    };
  }

  #heard(outcome: RequestOutcome): void {
    const status = outcome.kind === 'response' ? (outcome.message.status ?? 0) : 0;
    this.#lastStatus = status;
    if (outcome.kind === 'response' && status >= 200 && status < 300) {
      this.#failures = 0;
      this.#cause = undefined;
      this.#retryAfterS = 0;
      const held = this.#state === 'leaving' ? 0 : this.#grantedS(outcome.message);
      this.#heldUntilMs = this.#world.clock.nowMs() + held * 1000;
      return this.#on('granted');
    }
    if (outcome.kind === 'response' && status === 423 && this.#mayAskLonger(outcome.message)) {
      return this.#on('too_brief');
    }
    this.#failures++;
    this.#cause = outcome.kind === 'response' ? String(status) : outcome.kind;
    const after = outcome.kind === 'response' ? outcome.message.header('Retry-After') : undefined;
    this.#retryAfterS = Number.parseInt(after ?? '', 10) || 0;
    this.#on('refused');
  }

  /** RFC 3261 §10.2.8: as long as the registrar wants at least; one that never has enough is refused. */
  #mayAskLonger(message: SignalMessage): boolean {
    const least = Number.parseInt(message.header('Min-Expires') ?? '', 10);
    if (!(least > this.#askedS && least <= MAX_EXPIRES_S)) return false;
    this.#askedS = least;
    return true;
  }

  /** RFC 3261 §10.2.4: what the answer says of our contact; else of all; else what was asked for. */
  #grantedS(message: SignalMessage): number {
    let least: number | undefined;
    for (const [name, value] of message.headers()) {
      if (name.toLowerCase() !== 'contact') continue;
      for (const text of splitList(value)) {
        const address = parseNameAddr(text);
        if (address === undefined || unescapeUser(userOf(address.uri)) !== this.plan.contactUser) continue;
        const seconds = Number.parseInt(param(address.params, 'expires') ?? '', 10);
        if (seconds > 0) least = Math.min(seconds, least ?? seconds);
      }
    }
    const all = Number.parseInt(message.header('Expires') ?? '', 10);
    return Math.min(least ?? (all > 0 ? all : this.#askedS), MAX_EXPIRES_S);
  }
}
