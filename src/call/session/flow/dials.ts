/** The callees of one flow call: dials by their ids, whose audio is joined with the caller's, and how. */
import type { Timer } from '../../../kernel/index.js';
import type { MediaQuality } from '../../../media/port.js';
import type { InDialogRequest, IncomingReinvite, Leg, LegEnd, SignalMessage } from '../../../signal/port.js';
import type { Attempt } from '../../bridge/attempt.js';
import { DialogRelay } from '../../bridge/dialogRelay.js';
import { commonInvite, contentOf } from '../../bridge/legHeaders.js';
import { referRuleOf } from '../../bridge/referRule.js';
import type { DialEffect } from '../../flow/effects.js';
import type { AttemptRecord } from '../../record/cdr.js';
import type { LiveCall } from '../liveCall.js';
import type { Anchor } from './anchor.js';
import { Dial, type DialEnd, type DialSink } from './dial.js';
import { type Described, type Released, releaseMedia } from './directMedia.js';
import { MAX_RETRIES, glareDelayMs } from './glare.js';
import { answerLocally, respondWith } from './localAnswers.js';
import { refuseRefer } from './referRefusal.js';
import type { FlowTalk } from './talk.js';
import { type TalkDials, Talks, type TalksHost } from './talks.js';
import type { FlowWorld } from './world.js';

const SDP = 'application/sdp';

/** The call around the dials. */
export interface DialHost extends TalksHost {
  fault(where: string, error: unknown): void;
}

export class Dials implements DialSink, TalkDials {
  /** How dials ended, the latest last. */
  readonly ends: DialEnd[] = [];
  /** The end that the flow is being told of. */
  telling: DialEnd | undefined;
  readonly talks: Talks;
  readonly #world: FlowWorld;
  readonly #host: DialHost;
  readonly #dials = new Map<string, Dial>();
  readonly #relay: DialogRelay;
  #abandoned = 0;
  readonly #qualities: Promise<MediaQuality | null>[] = [];
  /** Talks with the caller. */
  #joined: Dial | undefined;
  /** The media of caller and callee flow directly: requests within the dialogs cross. */
  #direct = false;
  #releasing = false;
  /** The next try, after an end's own offer was in the way. */
  #retry: Timer | undefined;

  constructor(world: FlowWorld, host: DialHost) {
    this.#world = world;
    this.#host = host;
    this.talks = new Talks(world, host, this);
    this.#relay = new DialogRelay(world.policy, world.random, (error) => host.fault('relay', error));
  }

  /** Legs of callees may still live. */
  get unsettled(): boolean {
    return this.#dials.size > 0 || this.talks.unsettled;
  }

  get abandoned(): number {
    return this.#abandoned + this.talks.abandoned;
  }

  get(dialId: string): Dial | undefined {
    return this.#dials.get(dialId);
  }

  /** The callee's leg that requests of the caller are meant for. */
  get peer(): Leg | undefined {
    return this.#joined?.leg;
  }

  /** Of the two that talk to each other; empty where they do not. */
  get legs(): readonly Leg[] {
    const { peer } = this;
    return this.talks.legs ?? (peer === undefined ? [] : [this.#host.caller.leg, peer]);
  }

  dial(effect: DialEffect): void {
    const { start } = this.#host;
    const { target, callerId, dialId, media } = effect;
    const admitted = start.flows.dial({ target, callerId });
    const common = commonInvite(start.aLeg.message, admitted.decision, this.#world.policy);
    if (common === undefined) {
      admitted.release();
      return this.#host.deliver({ type: 'dialEnded', dialId, outcome: 'failed', sipStatus: 483 });
    }
    const { contentType: _type, body: _body, ...bare } = common;
    const invite = media === 'direct' ? common : bare;
    const dial = new Dial(this.#world, { dialId, callId: start.callId, media, admitted, invite }, this);
    this.#dials.set(dialId, dial);
    if (admitted.decision.accepted) this.#host.observer.onDialStarted(dialId, admitted.decision);
    void dial.begin();
  }

  /** Callee and caller are one call from here on, with direct media. */
  joinDirect(dial: Dial): void {
    this.#joined = dial;
    this.#direct = true;
    const { body } = dial.content;
    if (body !== undefined) this.#remember(dial, { a: this.#host.caller.leg.message.body, b: body });
  }

  /** Caller and callee where they talk to each other; undefined where they do not, or their media are on the move. */
  talk(call: LiveCall): FlowTalk | undefined {
    const dial = this.#joined;
    return dial === undefined || this.#releasing ? undefined : this.talks.of(call, dial, this.#relay, this.#direct);
  }

  /** Descriptions that somebody else may have to be offered: where a REFER of either end would be ours to carry out. */
  #remember(dial: Dial, { a, b }: Described): void {
    const { caller, start } = this.#host;
    const { decision } = dial.order.admitted;
    const rules = [referRuleOf(start.decision, {}, 'a'), referRuleOf(decision, dial.attempt?.destination ?? {}, 'b')];
    if (dial.leg === undefined || !rules.includes('terminate')) return;
    this.#relay.remember(caller.leg, a);
    this.#relay.described?.keep(dial.leg, b);
  }

  bridge(dialId: string): void {
    const dial = this.#dials.get(dialId);
    if (dial?.anchor === undefined || dial.over) return;
    this.#joined = dial;
    this.#host.media.use({
      name: `bridge ${dialId}`,
      start: (anchor) => {
        const callee = dial.anchor?.endpoint;
        if (callee !== undefined && !dial.over) anchor.endpoint?.bridge(callee);
      },
      failed: (detail) => this.#host.fault('bridge', new Error(detail)),
    });
  }

  /** Where an end refuses, all stays as it is; where its own offer was in the way, it is asked again. */
  release(dialId: string, retries = MAX_RETRIES): void {
    const dial = this.#dials.get(dialId);
    const { caller, media } = this.#host;
    const { anchor } = media;
    if (dial?.leg === undefined || anchor === undefined || !caller.up || this.#releasing || this.talks.lasts) return;
    this.#releasing = true;
    releaseMedia(
      { a: caller.leg, b: dial.leg, anchor },
      (released, described) => {
        if (!this.#releasing) return;
        this.#releasing = false;
        if (dial.over || !caller.up) return;
        if (released !== 'direct') return this.#releaseLater(dialId, released, retries);
        this.#direct = true;
        if (described !== undefined) this.#remember(dial, described);
        anchor.endpoint?.unbridge();
        media.drop();
        this.#close(dial);
      },
      (error) => this.#host.fault('release', error),
    );
  }

  #releaseLater(dialId: string, released: Released, retries: number): void {
    if (released === 'refused' || retries === 0) return;
    const { clock, random } = this.#world;
    const delayMs = glareDelayMs(released === 'glare_b', random);
    this.#retry = clock.setTimer('flow.release_retry', delayMs, () => this.release(dialId, retries - 1));
  }

  stopPlay(playId: string): void {
    for (const dial of this.#dials.values()) dial.anchor?.stopPlay(playId);
  }

  /** @param headers for the callee, where the caller's word is to reach it */
  hangUp(dialId: string, cause: number, headers: Parameters<Dial['hangUp']>[1]): void {
    const dial = this.#dials.get(dialId);
    if (this.talks.lasts && this.talks.isNamed(dialId)) this.talks.hangUp(cause);
    else dial?.hangUp(cause, headers);
  }

  hangUpAll(cause: number): void {
    this.talks.hangUp(cause);
    for (const dial of [...this.#dials.values()]) dial.hangUp(cause);
  }

  abandonAll(): void {
    this.talks.abandon();
    for (const dial of [...this.#dials.values()]) dial.abandon();
  }

  /** @returns the quality of the latest callee's audio, once all of it is closed */
  async close(): Promise<MediaQuality | null> {
    this.#retry?.cancel();
    this.#relay.close();
    this.talks.close();
    for (const dial of this.#dials.values()) this.#close(dial);
    const qualities = await Promise.all(this.#qualities);
    return qualities.findLast((quality) => quality !== null) ?? null;
  }

  /** The ACK of the caller's 2xx: in a late offer with direct media it brings the callee's answer. */
  callerAcked(message: SignalMessage): void {
    this.#joined?.ack(contentOf(message));
    if (this.#direct) this.#relay.described?.keep(this.#host.caller.leg, message.body);
  }

  /** @returns false when it is not for a callee */
  callerRequest(request: InDialogRequest): boolean {
    if (this.talks.request('a', request)) return true;
    const peer = this.#direct || this.talks.notifies(request) ? this.peer : undefined;
    if (peer === undefined) return false;
    this.#relay.request(peer, request);
    return true;
  }

  /** The caller is gone. @returns false when that is for the flow to deal with */
  callerEnded(end: LegEnd): boolean {
    return this.talks.callerEnded(end);
  }

  /** A REFER of an end: where the two talk it is for whoever keeps the books. @returns false when they do not */
  refer(side: 'a' | 'b', request: InDialogRequest): boolean {
    if (this.talks.request(side, request)) return true;
    if (this.#joined === undefined) return false;
    this.#host.observer.onRefer(side, request);
    return true;
  }

  /** @returns false when the media plane is to answer */
  callerReinvite(reinvite: IncomingReinvite): boolean {
    if (this.talks.reinvite('a', reinvite)) return true;
    if (this.#releasing) reinvite.respond(491);
    else if (this.#direct && this.peer !== undefined) {
      this.#relay.reinvite(this.#host.caller.leg, this.peer, reinvite);
    } else return false;
    return true;
  }

  acked(message: SignalMessage, reinvite: IncomingReinvite): void {
    this.#relay.acked(message, reinvite);
    this.talks.acked(message, reinvite);
  }

  cancelled(reinvite: IncomingReinvite): void {
    this.#relay.cancelled(reinvite);
    this.talks.cancelled(reinvite);
  }

  dump(): object {
    const dials = [...this.#dials.values()].map((dial) => dial.dump());
    const { size } = this.#dials;
    return {
      size,
      direct: this.#direct,
      releasing: this.#releasing,
      dials,
      ...this.talks.dump(),
      ...this.#relay.dump(),
    };
  }

  // What the dials say.

  onAttemptStarted(attempt: Attempt): void {
    this.#host.observer.onAttemptStarted(attempt);
  }

  onAttemptEnded(attempt: Attempt, record: AttemptRecord): void {
    this.#host.observer.onAttemptEnded(attempt, record);
  }

  dialProgress(dial: Dial, message: SignalMessage): void {
    const early = message.body.length > 0;
    this.#host.deliver({ type: 'dialProgress', dialId: dial.id, status: message.status ?? 180, early });
  }

  dialUp(dial: Dial, attempt: Attempt): void {
    this.#host.observer.onDialAnswered(dial.id, attempt);
  }

  dialAnswered(dial: Dial): void {
    this.#host.deliver({ type: 'dialAnswered', dialId: dial.id });
  }

  dialEnded(dial: Dial, end: DialEnd): void {
    this.#host.observer.onDialEnded(dial.id);
    this.#close(dial);
    if (this.talks.isNamed(dial.id)) return this.talks.calleeEnded(end.leg ?? { kind: 'local_bye' });
    this.ends.push(end);
    if (this.#joined === dial) {
      this.#part();
      this.#relay.close();
      this.#host.media.anchor?.endpoint?.unbridge();
    }
    const { outcome, sipStatus } = end;
    this.#host.deliver({ type: 'dialEnded', dialId: dial.id, outcome, sipStatus });
  }

  dialReleased(dial: Dial, abandoned: number): void {
    this.#dials.delete(dial.id);
    this.#abandoned += abandoned;
    this.#host.settle();
  }

  dialRequest(dial: Dial, request: InDialogRequest): void {
    const talks = this.#joined === dial;
    if (request.message.method === 'REFER' && (!talks || !this.refer('b', request))) {
      return refuseRefer(request, 'b', dial.order.admitted.decision, dial.attempt?.destination);
    }
    if (request.message.method === 'REFER' || (talks && this.talks.request('b', request))) return;
    const { caller } = this.#host;
    if (talks && this.#direct && caller.up) return this.#relay.request(caller.leg, request);
    const { method, body } = request.message;
    if (method === 'UPDATE' && body.length > 0 && dial.anchor !== undefined) {
      void this.#answer(dial, request);
    } else answerLocally(request);
  }

  dialReinvite(dial: Dial, reinvite: IncomingReinvite): void {
    const { caller } = this.#host;
    if (this.#releasing) return reinvite.respond(491);
    if (this.#joined === dial && this.talks.reinvite('b', reinvite)) return;
    if (this.#joined === dial && this.#direct) {
      const { leg } = dial;
      if (leg !== undefined && caller.up) this.#relay.reinvite(leg, caller.leg, reinvite);
      else this.#relay.defer(reinvite);
    } else if (dial.anchor === undefined) this.#relay.defer(reinvite);
    else void this.#answer(dial, reinvite);
  }

  dialReinviteAcked(message: SignalMessage, reinvite: IncomingReinvite): void {
    this.acked(message, reinvite);
  }

  dialReinviteCancelled(reinvite: IncomingReinvite): void {
    this.cancelled(reinvite);
  }

  dialPlayEnded(playId: string, end: 'finished' | 'stopped' | 'failed', detail: string): void {
    this.#host.deliver({ type: 'playEnded', playId, end, detail });
  }

  dialFault(error: unknown): void {
    this.#host.fault('dial', error);
  }

  // What a conversation says.

  parted(end: DialEnd | undefined): void {
    const dialId = this.#joined?.id;
    this.#part();
    if (dialId === undefined || end === undefined) return;
    this.ends.push(end);
    this.#host.deliver({ type: 'dialEnded', dialId, outcome: end.outcome, sipStatus: end.sipStatus });
  }

  dispose(anchor: Anchor): void {
    if (!anchor.closed) this.#qualities.push(anchor.close());
  }

  #part(): void {
    this.#joined = undefined;
    this.#direct = false;
    this.#releasing = false;
    this.#retry?.cancel();
  }

  #close(dial: Dial): void {
    if (dial.anchor !== undefined) this.dispose(dial.anchor);
  }

  /** Hold, resume and the like of an anchored callee are the media plane's to answer. */
  async #answer(dial: Dial, request: InDialogRequest | IncomingReinvite): Promise<void> {
    try {
      const { body } = request.message;
      const described = body.length === 0 ? await dial.anchor?.makeOffer() : await dial.anchor?.answerOffer(body);
      respondWith(request, described?.ok === true ? { contentType: SDP, body: described.sdp } : undefined);
    } catch (error) {
      request.respond(500);
      this.#host.fault('dial', error);
    }
  }
}
