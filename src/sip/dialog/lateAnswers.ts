import { hostPort } from '../../kernel/index.js';
import type { ResponseFields } from '../face.js';
import { isSipUri } from '../locate/nextHop.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import { byteString, detach } from '../message/text.js';
import type { ClientRemains } from '../transaction/lingering.js';
import type { Hop, Listener, Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import type { CoreHost } from './host.js';
import { type InviteOrigin, hopOf, stampOutgoingVia } from './outgoing.js';
import { routeSetOf } from './routeSet.js';
import { wayBack } from './wayBack.js';

/** An ACK as it went out, to be repeated; without a hop while that is still being looked up. */
interface SentAck {
  /** A byte string: a buffer of its size would keep the 8 kB that Node cut it from. */
  text: string;
  hop: Hop | undefined;
}

/** Branches of one fork that are remembered; a callee that invents more of them is not served further. */
export const MAX_FORKS = 32;

/**
 * The 2xx answers to one INVITE, for as long as they may come (Timer M): who was answered gets its ACK again, forks that
 * answer later or in vain get ACK and BYE (RFC 3261 §13.2.2.4). It outlives the INVITE and keeps little of it.
 */
export class LateAnswers implements ClientRemains {
  readonly hop: Hop;
  readonly #core: CoreHost;
  readonly #origin: InviteOrigin;
  /** Where the dialogs of forks live. */
  readonly #listener: Listener;
  /** `Call-ID;from-tag=...` of the INVITE. */
  readonly #id: string;
  /** The To tag that was answered, with its ACK. */
  #tag: string | undefined;
  #ack: SentAck | undefined;
  /** Of each 2xx that nobody waited for. */
  #released: Map<string, SentAck> | undefined;

  /** @param way where the INVITE went, and whose its dialogs are */
  constructor(
    core: CoreHost,
    origin: InviteOrigin,
    id: string,
    way: { readonly hop: Hop; readonly listener: Listener },
  ) {
    this.#core = core;
    this.#origin = origin;
    this.#id = id;
    this.hop = way.hop;
    this.#listener = way.listener;
  }

  get relays(): boolean {
    return false;
  }

  /** Sends the ACK of the 2xx that was awaited. */
  acknowledge(dialog: InviteDialog, seq: number, fields: ResponseFields): SipRequest {
    this.#tag = dialog.remoteTag;
    this.#ack = { text: '', hop: undefined };
    return this.#send(dialog, seq, fields, this.#ack);
  }

  receive(response: SipResponse, arrival: Arrival): void {
    if (response.status >= 200 && response.status < 300) this.release(response, arrival, undefined);
  }

  /**
   * A 2xx that nobody waits for, or not any more: ACK, and BYE once.
   * @param early its early dialog, if there was one
   */
  release(response: SipResponse, arrival: Arrival, early: InviteDialog | undefined): void {
    const tag = response.toTag ?? '';
    if (tag === this.#tag) return this.#repeat(this.#ack);
    const known = this.#released?.get(tag);
    if (known !== undefined) return this.#repeat(known);
    this.#released ??= new Map();
    if (this.#released.size >= MAX_FORKS) return;
    const seq = response.cseq.seq;
    const ack: SentAck = { text: '', hop: undefined };
    if (this.#origin.dialog !== undefined) {
      // Of a dialog that has ended: its BYE is on the way or has come.
      this.#released.set(detach(tag), ack);
      this.#send(this.#origin.dialog, seq, {}, ack);
      return;
    }
    const dialog = early ?? this.#forkOf(response, arrival);
    if (dialog === undefined) return;
    this.#released.set(detach(tag), ack);
    dialog.adoptAnswer(response);
    this.#send(dialog, seq, {}, ack);
    dialog.confirm();
    dialog.bye('local_bye', 'answered elsewhere');
  }

  /** Sends an ACK as soon as its way is known, and notes in `sent` what went where. */
  #send(dialog: InviteDialog, seq: number, fields: ResponseFields, sent: SentAck): SipRequest {
    const { request, next } = dialog.buildAck(seq, fields);
    if (next === undefined) return request;
    dialog.findWaysFor(next, {
      onWays: (ways) => {
        const hop = hopOf(this.#core, ways[0] as Way);
        stampOutgoingVia(this.#core, request, hop);
        const data = request.toBuffer();
        sent.text = byteString(data, 0, data.length);
        sent.hop = hop;
        this.#core.layer.counters.requestsOut++;
        this.#core.layer.transport.send(hop, data, false);
      },
      onUnresolved: () => {},
      abandon: () => {},
    });
    return request;
  }

  /** RFC 3261 §13.2.2.4: each repeated 2xx gets the same ACK again. */
  #repeat(ack: SentAck | undefined): void {
    if (ack?.hop !== undefined) this.#core.layer.resend(ack.hop, Buffer.from(ack.text, 'latin1'), false);
  }

  /** @returns undefined for an answer whose Call-ID or From tag are another call's: such a dialog might take its place */
  #forkOf(response: SipResponse, arrival: Arrival): InviteDialog | undefined {
    const { callId, contact } = response;
    const localTag = response.fromTag ?? '';
    if (`${callId};from-tag=${localTag}` !== this.#id) return undefined;
    return this.#core.newDialog({
      id: this.#id,
      callId,
      localTag,
      remoteTag: response.toTag ?? '',
      localField: response.header('From') ?? '',
      remoteField: response.header('To') ?? '',
      remoteTarget:
        contact !== undefined && isSipUri(contact.uri) ? contact.uri : `sip:${hostPort(arrival.address, arrival.port)}`,
      routeSet: routeSetOf(response, true),
      localSeq: response.cseq.seq,
      remoteSeq: undefined,
      listener: this.#listener,
      peerAddress: arrival.address,
      peerWay: this.#origin.symmetric === true ? wayBack(arrival) : undefined,
      hop: arrival.hop,
      flow: this.#origin.flow,
    });
  }
}
