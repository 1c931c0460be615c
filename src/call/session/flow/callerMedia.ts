/**
 * The caller's audio in the media plane. It is opened with the answer, and opened anew by a re-INVITE when the flow
 * needs it after it was lost or the media had been direct. What is started meanwhile waits.
 */
import type { Timer } from '../../../kernel/index.js';
import type { Described, MediaProblem, MediaQuality } from '../../../media/port.js';
import type { IncomingReinvite, ReinviteOutcome } from '../../../signal/port.js';
import type { MediaSettings } from '../../routing/resources.js';
import { Anchor, type AnchorSink } from './anchor.js';
import { plainAddress } from '../request.js';
import type { CallerLeg } from './callerLeg.js';
import { endpointSpec } from './endpointSpec.js';
import { MAX_RETRIES, glareDelayMs, isGlare } from './glare.js';
import type { FlowWorld } from './world.js';

const SDP = 'application/sdp';

/** What waits for the audio. `failed` tells why there will be none. */
interface Waiting {
  readonly name: string;
  readonly start: (anchor: Anchor) => void;
  readonly failed: (detail: string) => void;
}

export interface CallerCall {
  readonly callId: string;
  readonly caller: CallerLeg;
  /** Of the trunk or carrier that it comes from. */
  readonly settings: MediaSettings;
}

export class CallerMedia {
  anchor: Anchor | undefined;
  readonly #world: FlowWorld;
  readonly #callId: string;
  readonly #settings: MediaSettings;
  readonly #caller: CallerLeg;
  readonly #sink: AnchorSink;
  /** Endpoints that were replaced or lost; the last one's quality goes into the record. */
  readonly #closed: Promise<MediaQuality | null>[] = [];
  #waiting: Waiting[] = [];
  /** What the INVITE was answered. */
  #first: Promise<Described> | undefined;
  #opening = false;
  /** Our offer met one of the caller's, which is on its way: whatever comes first goes on. */
  #glare: { readonly timer: Timer; readonly over: (served: boolean) => void } | undefined;
  #over = false;

  constructor(world: FlowWorld, call: CallerCall, sink: AnchorSink) {
    this.#world = world;
    this.#callId = call.callId;
    this.#settings = call.settings;
    this.#caller = call.caller;
    this.#sink = sink;
  }

  /** Our answer to the caller's INVITE, or our offer to one that had none: the same in 183 and 200. */
  open(): Promise<Described> {
    const { body } = this.#caller.leg.message;
    return (this.#first ??= this.#open(body.length === 0 ? undefined : body));
  }

  /** Runs `start` with the caller's audio, now or when it is there. */
  use(waiting: Waiting): void {
    const { anchor } = this;
    if (anchor?.endpoint !== undefined && !anchor.closed && !this.#opening) return waiting.start(anchor);
    this.#waiting.push(waiting);
    if (!this.#opening) this.#reopen();
  }

  /** Takes back what waits under this name. @returns whether it did wait */
  withdraw(name: string): boolean {
    const before = this.#waiting.length;
    this.#waiting = this.#waiting.filter((waiting) => waiting.name !== name);
    return this.#waiting.length < before;
  }

  /** The endpoint is of no more use; its audio may be opened anew. */
  drop(): void {
    const { anchor } = this;
    this.anchor = undefined;
    this.#first = undefined;
    if (anchor !== undefined) this.#closed.push(anchor.close());
  }

  /** The caller's re-INVITE: hold, resume, another codec. */
  async onReinvite(reinvite: IncomingReinvite): Promise<void> {
    const { anchor } = this;
    const { body } = reinvite.message;
    const glare = this.#glare;
    if (anchor === undefined || (this.#opening && (glare === undefined || body.length === 0)))
      return reinvite.respond(491);
    const described = body.length === 0 ? await anchor.makeOffer() : await anchor.answerOffer(body);
    if (!described.ok) return reinvite.respond(described.problem.sipStatus);
    reinvite.respond(200, { contentType: SDP, body: described.sdp });
    glare?.over(true);
  }

  /** Ends everything, once its streams have ended or `limit` resolves. @returns the latest endpoint's quality */
  async close(limit: Promise<void>): Promise<MediaQuality | null> {
    this.#over = true;
    this.#glare?.over(false);
    this.#fail('the call is over');
    if (this.anchor !== undefined) await Promise.race([this.anchor.endStreams(), limit]);
    this.drop();
    const qualities = await Promise.all(this.#closed);
    return qualities.findLast((quality) => quality !== null) ?? null;
  }

  async #open(offer: Buffer | undefined): Promise<Described> {
    const anchor = new Anchor(this.#sink);
    this.anchor = anchor;
    const { media, settings } = this.#world.plane;
    const peerAddresses = [plainAddress(this.#caller.leg.source.address)];
    const leg = { callId: this.#callId, leg: 'a', offer, peerAddresses } as const;
    const described = await anchor.open(media, endpointSpec(leg, this.#settings, settings.mediaTimeoutMs));
    if (!described.ok && this.anchor === anchor) this.anchor = undefined;
    return described;
  }

  #reopen(): void {
    if (this.#over || !this.#caller.up) return this.#fail('the caller has no media');
    this.#opening = true;
    this.drop();
    this.#renegotiate().then(
      (problem) => this.#opened(problem?.message),
      (error: unknown) => this.#opened(error instanceof Error ? error.message : String(error)),
    );
  }

  /** @returns what went wrong */
  async #renegotiate(): Promise<MediaProblem | undefined> {
    const offered = await this.#open(undefined);
    if (!offered.ok) return offered.problem;
    let outcome = await this.#reinvite(offered.sdp);
    for (let retries = MAX_RETRIES; isGlare(outcome) && retries > 0; retries--) {
      if ((await this.#waitOut()) || this.#over) return undefined;
      outcome = await this.#reinvite(offered.sdp);
    }
    if (outcome.kind !== 'answered') {
      return { code: 'engine_down', message: `the caller refused new media (${outcome.kind})`, sipStatus: 488 };
    }
    const accepted = await (this.anchor as Anchor | undefined)?.acceptAnswer(outcome.message.body);
    return accepted?.ok === false ? accepted.problem : undefined;
  }

  #reinvite(body: Buffer): Promise<ReinviteOutcome> {
    return new Promise((resolve) => {
      this.#caller.leg.reinvite({ contentType: SDP, body }, (outcome) => {
        if (outcome.kind === 'answered') outcome.ack();
        resolve(outcome);
      });
    });
  }

  /** @returns true: the caller's own offer has come, and settled the media */
  async #waitOut(): Promise<boolean> {
    const { clock, random } = this.#world;
    const served = await new Promise<boolean>((over) => {
      const timer = clock.setTimer('flow.glare', glareDelayMs(false, random), () => over(false));
      this.#glare = { timer, over };
    });
    this.#glare?.timer.cancel();
    this.#glare = undefined;
    return served;
  }

  #opened(problem: string | undefined): void {
    this.#opening = false;
    const { anchor } = this;
    if (problem !== undefined || anchor === undefined || this.#over) {
      this.drop();
      return this.#fail(problem ?? 'the media were lost');
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { start } of waiting) start(anchor);
  }

  #fail(detail: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { failed } of waiting) failed(detail);
  }
}
