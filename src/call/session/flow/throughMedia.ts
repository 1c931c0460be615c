/**
 * A caller whose audio is in the media plane, as those see it who take the callee's place in a transfer: a leg whose
 * descriptions are those of an endpoint of ours. The caller itself is offered nothing: only its endpoint is joined anew.
 */
import type { MediaPort, Described } from '../../../media/port.js';
import type { Leg, InDialogSpec, ReinviteOutcome, RequestOutcome, ResponseSpec } from '../../../signal/port.js';
import type { MediaSettings } from '../../routing/resources.js';
import { ImaginedResponse } from '../imaginedResponse.js';
import { Anchor, type AnchorSink } from './anchor.js';
import { endpointSpec } from './endpointSpec.js';

const SDP = 'application/sdp';
const REFUSED = 488;
/** Methods that are the caller's telephone's to answer; what is left concerns the audio, or ends here. */
const CALLERS_OWN: ReadonlySet<string> = new Set(['MESSAGE', 'NOTIFY', 'REFER', 'SUBSCRIBE']);

/** How the newcomer's audio is to be had: the words of its trunk or carrier, and where it may come from. */
export interface NewcomersAudio {
  readonly settings: MediaSettings;
  readonly peerAddresses: readonly string[] | undefined;
}

export interface ThroughMediaPorts {
  readonly media: MediaPort;
  readonly callId: string;
  /** The newcomer's audio is to be joined with the caller's, in place of the callee's. */
  join(anchor: Anchor): void;
  /** An endpoint is of no more use: it is closed, and what it was like kept. */
  dispose(anchor: Anchor): void;
  /** Nothing is heard of the newcomer any more, or its endpoint is gone. */
  lost(): void;
  /** A REFER went to the caller: its NOTIFYs are for the other end. */
  passedOn(): void;
}

export class ThroughMedia implements Leg {
  /** The caller's own. */
  readonly real: Leg;
  readonly #ports: ThroughMediaPorts;
  /** Joined with the caller. */
  #current: Anchor | undefined;
  /** Of a newcomer that is not there yet. */
  #coming: Anchor | undefined;
  #audio: NewcomersAudio | undefined;
  /** `#coming` has made an offer, which is not answered. */
  #offered = false;

  constructor(real: Leg, ports: ThroughMediaPorts) {
    this.real = real;
    this.#ports = ports;
  }

  get id(): string {
    return this.real.id;
  }

  get callId(): string {
    return this.real.callId;
  }

  get localTag(): string {
    return this.real.localTag;
  }

  get remoteTag(): string {
    return this.real.remoteTag;
  }

  /** Somebody has taken the callee's place. */
  get moved(): boolean {
    return this.#current !== undefined;
  }

  /** Somebody may take the other end's place: what is negotiated from here on is with the newcomer. */
  expect(audio: NewcomersAudio): void {
    this.#audio = audio;
  }

  /** @returns an offer for the newcomer; undefined where there are no media to be had */
  async offer(): Promise<string | undefined> {
    const described = await this.#open(undefined);
    if (!described.ok) return undefined;
    this.#offered = true;
    return described.sdp.toString('latin1');
  }

  /** The newcomer is there. */
  commit(): void {
    const coming = this.#coming;
    this.#audio = undefined;
    if (coming === undefined) return;
    const before = this.#current;
    this.#coming = undefined;
    this.#current = coming;
    this.#ports.join(coming);
    if (before !== undefined) this.#ports.dispose(before);
  }

  /** It does not come: all is as before. */
  discard(): void {
    const coming = this.#coming;
    this.#audio = undefined;
    this.#coming = undefined;
    this.#offered = false;
    if (coming !== undefined) this.#ports.dispose(coming);
  }

  close(): void {
    this.discard();
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) this.#ports.dispose(current);
  }

  // The leg, as others have it.

  request(spec: InDialogSpec, done: (outcome: RequestOutcome) => void): void {
    const { method, body } = spec;
    if (method === 'REFER') this.#ports.passedOn();
    if (CALLERS_OWN.has(method)) return this.real.request(spec, done);
    if (method === 'UPDATE' && body !== undefined && body.length > 0) {
      return this.reinvite({ body }, (outcome) =>
        done(outcome.kind === 'answered' ? { kind: 'response', message: outcome.message } : outcome),
      );
    }
    done({ kind: 'response', message: new ImaginedResponse(method, 200) });
  }

  reinvite({ body }: Pick<ResponseSpec, 'body'>, done: (outcome: ReinviteOutcome) => void): void {
    this.#negotiate(body === undefined || body.length === 0 ? undefined : body).then(done, () => done(refused()));
  }

  bye(): void {
    // Who ends the caller's leg is the flow.
  }

  dump(): object {
    return { ...this.real.dump(), moved: this.moved, coming: this.#coming !== undefined };
  }

  async #negotiate(body: Buffer | undefined): Promise<ReinviteOutcome> {
    const anchor = this.#audio === undefined ? this.#current : this.#coming;
    if (anchor === undefined) {
      if (this.#audio === undefined) return refused();
      return this.#answered(await this.#open(body), body === undefined);
    }
    if (body === undefined) return this.#answered(await anchor.makeOffer(), true);
    if (!this.#offered || anchor !== this.#coming) return this.#answered(await anchor.answerOffer(body), false);
    this.#offered = false;
    const accepted = await anchor.acceptAnswer(body);
    return accepted.ok ? answeredWith(anchor.localSdp, () => {}) : refused();
  }

  /** @param offer ours, whose answer comes with the ACK */
  #answered(described: Described, offer: boolean): ReinviteOutcome {
    if (!described.ok) return refused();
    const anchor = this.#coming ?? this.#current;
    return answeredWith(described.sdp, (answer) => {
      if (offer && answer !== undefined && answer.length > 0) void anchor?.acceptAnswer(answer);
    });
  }

  async #open(offer: Buffer | undefined): Promise<Described> {
    const { settings = {}, peerAddresses } = this.#audio ?? {};
    const { callId, media } = this.#ports;
    const anchor: Anchor = new Anchor(this.#sink(() => this.#current === anchor));
    this.#coming = anchor;
    const described = await anchor.open(media, endpointSpec({ callId, leg: 'b', offer, peerAddresses }, settings, 0));
    if (!described.ok && this.#coming === anchor) this.#coming = undefined;
    return described;
  }

  /** Nothing is played or recorded in it: it is there to be joined with the caller's. */
  #sink(joined: () => boolean): AnchorSink {
    return {
      onKey: () => {},
      onPlayEnded: () => {},
      onRecordEnded: () => {},
      onStreamStarted: () => {},
      onStreamEnded: () => {},
      onMediaLost: () => {
        if (joined()) this.#ports.lost();
      },
    };
  }
}

const refused = (): ReinviteOutcome => ({ kind: 'response', message: new ImaginedResponse('INVITE', REFUSED) });

const answeredWith = (sdp: Buffer, acked: (answer: Buffer | undefined) => void): ReinviteOutcome => ({
  kind: 'answered',
  message: new ImaginedResponse('INVITE', 200, { contentType: SDP, body: sdp }),
  ack: (content) => acked(content?.body),
});
