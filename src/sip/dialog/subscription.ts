/** Dialogs that SUBSCRIBE makes, RFC 6665 §4. Their ends are their user's business: nothing here knows of expiry. */
import type { DialogListener } from '../face.js';
import { isSipUri } from '../locate/nextHop.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import type { CoreHost } from './host.js';
import { routeSetOf } from './routeSet.js';
import { servedParts } from './servedParts.js';

const keyOf = (callId: string, localTag: string): string => `${callId};${localTag}`;

/** A subscription that we ask for, until its dialog is there. */
export class WantedDialog {
  readonly #core: CoreHost;
  readonly #request: SipRequest;
  readonly #listener: DialogListener;
  readonly #owner: Subscriptions;
  dialog: InviteDialog | undefined;

  constructor(core: CoreHost, request: SipRequest, listener: DialogListener, owner: Subscriptions) {
    this.#core = core;
    this.#request = request;
    this.#listener = listener;
    this.#owner = owner;
  }

  get key(): string {
    return keyOf(this.#request.callId, this.#request.fromTag ?? '');
  }

  /** A final answer. The dialog may be there already: a NOTIFY can overtake it (§4.1.2.2). */
  answered(response: SipResponse, arrival: Arrival): void {
    this.#owner.forget(this);
    if (response.status >= 300 || this.dialog !== undefined || response.toTag === undefined) return;
    this.#establish(response, { arrival, tag: response.toTag, field: response.header('To') ?? '', reversed: true });
  }

  /** No answer came. */
  failed(): void {
    this.#owner.forget(this);
  }

  /** §4.4.1: the first NOTIFY makes the dialog as much as the answer does; others are of other branches. */
  notified(notify: SipRequest, arrival: Arrival): InviteDialog | undefined {
    if (this.dialog !== undefined || notify.fromTag === undefined) return undefined;
    const from = notify.header('From') ?? '';
    return this.#establish(notify, { arrival, tag: notify.fromTag, field: from, reversed: false });
  }

  #establish(
    message: SipRequest | SipResponse,
    peer: { readonly arrival: Arrival; readonly tag: string; readonly field: string; readonly reversed: boolean },
  ): InviteDialog {
    const request = this.#request;
    const { contact } = message;
    const dialog = this.#core.newDialog({
      id: `${request.callId};from-tag=${request.fromTag ?? ''}`,
      callId: request.callId,
      localTag: request.fromTag ?? '',
      remoteTag: peer.tag,
      localField: request.header('From') ?? '',
      remoteField: peer.field,
      remoteTarget: contact !== undefined && isSipUri(contact.uri) ? contact.uri : request.uri,
      routeSet: routeSetOf(message, peer.reversed),
      localSeq: request.cseq.seq,
      remoteSeq: undefined,
      listener: peer.arrival.listener,
      peerAddress: peer.arrival.address,
      hop: peer.arrival.hop,
    });
    return (this.dialog = begun(this.#core, dialog, this.#listener));
  }
}

/** Subscriptions that we ask for, by Call-ID and our tag. */
export class Subscriptions {
  readonly #wanted = new Map<string, WantedDialog>();

  want(core: CoreHost, request: SipRequest, listener: DialogListener): WantedDialog {
    const wanted = new WantedDialog(core, request, listener, this);
    this.#wanted.set(wanted.key, wanted);
    return wanted;
  }

  /** The dialog that this NOTIFY makes; undefined when nobody has subscribed to it. */
  notified(notify: SipRequest, arrival: Arrival): InviteDialog | undefined {
    return this.#wanted.get(keyOf(notify.callId, notify.toTag ?? ''))?.notified(notify, arrival);
  }

  forget(wanted: WantedDialog): void {
    if (this.#wanted.get(wanted.key) === wanted) this.#wanted.delete(wanted.key);
  }
}

/** The dialog of a SUBSCRIBE that we accept with this tag. */
export const subscribedBy = (
  core: CoreHost,
  request: SipRequest,
  context: { readonly arrival: Arrival; readonly tag: string },
  listener: DialogListener,
): InviteDialog => begun(core, core.newDialog(servedParts(request, context.arrival, context.tag)), listener);

const begun = (core: CoreHost, dialog: InviteDialog, listener: DialogListener): InviteDialog => {
  dialog.confirm();
  dialog.listener = listener;
  core.guard(() => listener.onEstablished?.(dialog));
  return dialog;
};
