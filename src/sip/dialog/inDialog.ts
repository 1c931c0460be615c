import type { HeaderField } from '../face.js';
import type { SipRequest } from '../message/message.js';
import type { Arrival } from '../transport/layer.js';
import type { InviteDialog } from './dialog.js';
import type { Admission } from './admission.js';
import type { CoreHost } from './host.js';
import { IncomingInviteCall } from './incomingInvite.js';
import { IncomingRequestCall } from './incomingRequest.js';
import { parseRAck } from './reliable.js';

interface InDialogContext {
  readonly arrival: Arrival;
  readonly key: string;
  readonly admission: Admission;
}

/** A request within a known dialog, RFC 3261 §12.2.2. */
export const receiveInDialog = (
  core: CoreHost,
  dialog: InviteDialog,
  request: SipRequest,
  context: InDialogContext,
): void => {
  dialog.heardFrom(context.arrival);
  // RFC 3261 §8.2.2.3 holds in a dialog too.
  if (request.count('Require') > 0 && !context.admission.requirementsMet(request, context.arrival)) return;
  if (request.method === 'INVITE') return receiveReinvite(core, dialog, request, context);
  const transaction = core.layer.newServer(request, context.arrival, context.key, false);
  const call = new IncomingRequestCall(core, transaction, request, { source: context.arrival, dialog });
  if (!dialog.acceptSeq(request.cseq.seq)) {
    call.respond(500, { reason: 'CSeq out of order' });
    return;
  }
  if (request.method === 'PRACK') {
    if (dialog.pendingIn?.prack(call) === true) return;
    // RFC 3262 §3: its provisional may have been overtaken by the final answer.
    const late = dialog.lateReliable?.acknowledge(parseRAck(request.header('RAck')), true) === true;
    call.respond(late ? 200 : 481);
    return;
  }
  if (request.method === 'BYE') return receiveBye(dialog, call);
  if (request.method === 'UPDATE') {
    // RFC 3311 §5.2: one before the answer to another.
    if (dialog.updateIn?.unanswered === true) return void call.respond(500, { headers: [retryAfter(core)] });
    dialog.updateIn = call;
    dialog.refreshTarget(request); // RFC 3311 §5.2
  }
  const { listener } = dialog;
  if (listener === undefined) call.respond(500);
  else call.offer((offered) => listener.onRequest(offered));
};

/** Between 0 and 10 s: RFC 3261 §14.2, RFC 3311 §5.2. */
const retryAfter = (core: CoreHost): HeaderField => ['Retry-After', String(Math.floor(core.layer.random.float() * 11))];

const receiveBye = (dialog: InviteDialog, call: IncomingRequestCall): void => {
  const { listener, pendingIn } = dialog;
  if (dialog.state === 'early') {
    // RFC 3261 §15.1.2: the caller may end an early dialog by BYE; its INVITE gets 487.
    call.respond(200);
    if (pendingIn !== undefined && !pendingIn.isReinvite) pendingIn.byeInEarly(dialog, call.request);
    return;
  }
  if (listener === undefined) call.respond(200);
  else call.offer((offered) => listener.onRequest(offered));
  dialog.terminate('remote_bye', call.request);
};

/** RFC 3261 §14.2. */
const receiveReinvite = (
  core: CoreHost,
  dialog: InviteDialog,
  request: SipRequest,
  { arrival, key }: InDialogContext,
): void => {
  const transaction = core.layer.newServerInvite(request, arrival, key, false);
  const invite = new IncomingInviteCall(core, transaction, request, { arrival, dialog });
  if (!dialog.acceptSeq(request.cseq.seq)) {
    invite.respond(500, { reason: 'CSeq out of order' });
  } else if (dialog.pendingIn?.unanswered === true) {
    invite.respond(500, { headers: [retryAfter(core)] });
  } else if (dialog.pendingOut !== undefined || dialog.pendingIn !== undefined || dialog.state !== 'confirmed') {
    invite.respond(491);
  } else {
    const { listener } = dialog;
    invite.respond(100);
    dialog.pendingIn = invite;
    if (listener === undefined) invite.respond(488);
    else if (!core.guard(() => listener.onInvite(invite))) invite.respond(500);
    else invite.watch();
  }
};
