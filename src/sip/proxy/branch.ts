import { NOT_LISTED, type Timer } from '../../kernel/index.js';
import type { Source } from '../face.js';
import { type CoreHost, outboundSource } from '../dialog/host.js';
import { type LaunchUser, findWays, hopOf } from '../dialog/outgoing.js';
import { responseTo } from '../message/build.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { NextHop } from '../locate/nextHop.js';
import { ClientInviteTransaction, type ClientUser } from '../transaction/clientInvite.js';
import type { ClientTransaction } from '../transaction/client.js';
import { patienceMs } from '../transaction/timers.js';
import type { Hop, HopUser, Listener, Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import { cancelOf } from './forward.js';
import { BRANCH, type BranchAction, type BranchEvent, type BranchState, eventOf } from './tables.js';

const IGNORE_ANSWER: ClientUser = { onResponse: () => {}, onTimeout: () => {}, onTransportError: () => {} };

/** What a branch needs of the response context that it belongs to (§16.7). */
export interface BranchOwner {
  readonly core: CoreHost;
  /** Second part of every branch parameter. */
  readonly loopMark: string;
  readonly provisionalTimeoutMs: number | undefined;
  readonly finalTimeoutMs: number | undefined;
  /** Reason fields for CANCELs. */
  readonly reasons: readonly string[];
  /** The copy to send this way, with Record-Route if that is wanted and without our Via. */
  copyFor(branch: ProxyBranch, listener: Listener, hop?: Hop): SipRequest;
  onSent(request: SipRequest, source: Source): void;
  /** A provisional or a 2xx for the caller. */
  forward(response: SipResponse, source: Source): void;
  /** A final answer other than 2xx. `source` undefined: made by ourselves. */
  candidate(response: SipResponse, source: Source | undefined): void;
  /** A 3xx: its contacts become targets, or it is a candidate. */
  redirected(response: SipResponse, source: Source): void;
  stopSearch(): void;
  cancelOthers(than: ProxyBranch): void;
  /** Its state has changed. */
  advance(): void;
}

/** One copy of the request on its way to one target, over one address of it after the other. */
export class ProxyBranch implements ClientUser, LaunchUser {
  readonly target: string;
  readonly next: NextHop;
  state: BranchState = 'calling';
  readonly #owner: BranchOwner;
  readonly #prefer: Listener;
  #request: SipRequest | undefined;
  #transaction: ClientInviteTransaction | ClientTransaction | undefined;
  #ways: readonly Way[] = [];
  #way = 0;
  #answered = false;
  #cancel: 'no' | 'held' | 'sent' = 'no';
  #provisional: Timer | undefined;
  #final: Timer | undefined;
  /** Timer C; after a CANCEL, the wait for its effect. */
  #timer: Timer | undefined;
  #response: SipResponse | undefined;
  #source: Source | undefined;

  readonly #flow: Way | undefined;
  /** Whoever rings over a connection that breaks will never answer: the transaction by itself would wait on. */
  readonly #flowUser: HopUser = { place: NOT_LISTED, onTransportError: () => this.#onFlowLost() };

  constructor(
    owner: BranchOwner,
    target: { readonly uri: string; readonly next: NextHop; readonly flow: Way | undefined },
    prefer: Listener,
  ) {
    this.#owner = owner;
    this.target = target.uri;
    this.next = target.next;
    this.#prefer = prefer;
    this.#flow = target.flow;
  }

  /** No answer can be awaited from it any more. */
  get over(): boolean {
    return this.state === 'done' || this.state === 'abandoned';
  }

  start(): void {
    const { core, provisionalTimeoutMs, finalTimeoutMs } = this.#owner;
    const { clock } = core.layer;
    if (provisionalTimeoutMs !== undefined) {
      this.#provisional = clock.setTimer('proxy_provisional', provisionalTimeoutMs, () =>
        this.handle('no_provisional'),
      );
    }
    if (finalTimeoutMs !== undefined) {
      this.#final = clock.setTimer('proxy_final', finalTimeoutMs, () => this.handle('no_final'));
    }
    if (this.#flow === undefined) findWays(core, this.next, this.#prefer, this);
    else this.onWays([this.#flow]);
  }

  // ------------------------------------------------------------------ launch

  onWays(ways: readonly Way[]): void {
    this.#ways = ways;
    if (this.state === 'calling') this.#launch();
    else this.#fail(487); // withdrawn while its name was looked up
  }

  onUnresolved(): void {
    this.#fail(503, 'DNS Error');
  }

  abandon(): void {
    this.#fail(503);
  }

  #launch(): void {
    const { core } = this.#owner;
    const { layer } = core;
    const hop = hopOf(core, this.#ways[this.#way++] as Way);
    const request = this.#owner.copyFor(this, hop.listener, hop);
    const branch = `${layer.newBranch()}.${this.#owner.loopMark}`;
    request.prepend('Via', layer.viaFor(hop.listener, branch));
    this.#request = request;
    this.#transaction =
      request.method === 'INVITE'
        ? layer.sendInvite(request, branch, hop, this)
        : layer.sendRequest(request, branch, hop, this);
    this.#transaction.relays = true;
    if (hop === this.#flow?.hop && request.method === 'INVITE') hop.waiting.add(this.#flowUser);
    this.#owner.onSent(request, outboundSource(hop.listener, hop, request.body.length));
  }

  // ------------------------------------------------------------------ answers

  onResponse(response: SipResponse, arrival: Arrival): void {
    this.#answered = true;
    this.#response = response;
    this.#source = arrival;
    this.handle(eventOf(response.status));
    this.#response = this.#source = undefined;
  }

  /** §16.8: as if a 408 had come. */
  onTimeout(): void {
    this.#fail(408);
  }

  /** §16.9: as if a 503 had come; RFC 3263 §4.3: the next address first, as long as nobody has answered. */
  onTransportError(): void {
    const more = !this.#answered && this.#way < this.#ways.length && this.state === 'calling';
    if (more && !this.#owner.core.stopped()) this.#launch();
    // RFC 5626 §5.3: what the flow led to cannot be reached in any other way.
    else this.#fail(this.#flow?.hop === undefined ? 503 : 430);
  }

  #onFlowLost(): void {
    if (this.over) return;
    this.#fail(430);
    if (this.#transaction instanceof ClientInviteTransaction) this.#transaction.dispose();
  }

  #fail(status: number, reason?: string): void {
    this.#response = this.#made(status, reason);
    this.handle('failure');
    this.#response = undefined;
  }

  /** An answer of our own in this branch's name. */
  #made(status: number, reason?: string): SipResponse {
    const request = this.#request ?? this.#owner.copyFor(this, this.#prefer);
    const response = responseTo(request, status, reason);
    if (response.toTag === undefined)
      response.set('To', `${response.header('To') ?? ''};tag=${this.#owner.core.newTag()}`);
    // As one from the network would have our Via on top, to be taken off.
    if (this.#request === undefined)
      response.prepend('Via', this.#owner.core.layer.viaFor(this.#prefer, 'z9hG4bKnone'));
    return response;
  }

  // ------------------------------------------------------------------ state

  handle(event: BranchEvent): void {
    const cell = BRANCH[this.state][event];
    if (cell.next !== undefined) this.state = cell.next;
    for (const action of cell.actions) this.#perform(action);
    if (cell.next !== undefined) this.#owner.advance();
  }

  #perform(action: BranchAction): void {
    const response = this.#response;
    switch (action) {
      case 'stop_provisional':
        return this.#provisional?.cancel();
      case 'start_c':
        return this.#startC();
      case 'stop_timers':
        return this.#stopTimers();
      case 'forward':
      case 'forward_success':
        if (response !== undefined && this.#source !== undefined) this.#owner.forward(response, this.#source);
        return;
      case 'recurse':
        if (response !== undefined && this.#source !== undefined) this.#owner.redirected(response, this.#source);
        return;
      case 'candidate':
        if (response !== undefined) this.#owner.candidate(response, this.#source);
        return;
      case 'timeout':
        return this.#owner.candidate(this.#made(408), undefined);
      case 'stop_search':
        return this.#owner.stopSearch();
      case 'cancel_others':
        return this.#owner.cancelOthers(this);
      case 'cancel':
        return this.#wantCancel();
      case 'release_cancel':
        if (this.#cancel === 'held') this.#sendCancel();
    }
  }

  #startC(): void {
    if (!(this.#transaction instanceof ClientInviteTransaction)) return;
    this.#timer?.cancel();
    const { clock, timers } = this.#owner.core.layer;
    this.#timer = clock.setTimer('C', timers.timerCMs, () => this.handle('timer_c'));
  }

  #stopTimers(): void {
    this.#flow?.hop?.waiting.delete(this.#flowUser);
    this.#provisional?.cancel();
    this.#final?.cancel();
    this.#timer?.cancel();
  }

  /** §9.1: held until something has come; only INVITE can be cancelled. */
  #wantCancel(): void {
    if (!(this.#transaction instanceof ClientInviteTransaction)) return;
    this.#cancel = 'held';
    if (this.#answered) this.#sendCancel();
  }

  #sendCancel(): void {
    const { core, reasons } = this.#owner;
    const sent = this.#request;
    const hop: Hop | undefined = this.#transaction?.hop;
    if (sent === undefined || hop === undefined) return;
    this.#cancel = 'sent';
    core.layer.sendRequest(cancelOf(sent, reasons), sent.topVia.branch ?? '', hop, IGNORE_ANSWER);
    const { clock, timers } = core.layer;
    this.#timer = clock.setTimer('proxy_cancelled', patienceMs(timers), () => this.#onPatience());
  }

  /** The transaction of a branch that never ends would otherwise wait for ever (§9.1). */
  #onPatience(): void {
    this.handle('patience');
    if (this.#transaction instanceof ClientInviteTransaction) this.#transaction.dispose();
  }
}
