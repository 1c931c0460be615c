import type { SipRequest } from '../message/message.js';
import type { Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { DialogParts } from './dialog.js';
import { routeSetOf } from './routeSet.js';

/**
 * RFC 3261 §12.1.1: the dialog that our answer to a request makes.
 * @param tag our tag, that of the answer's To
 * @param peerWay of a peer behind NAT: where its messages come from
 */
export const servedParts = (request: SipRequest, arrival: Arrival, tag: string, peerWay?: Way): DialogParts => ({
  id: `${request.callId};from-tag=${request.fromTag ?? ''}`,
  callId: request.callId,
  localTag: tag,
  remoteTag: request.fromTag ?? '',
  localField: `${request.header('To') ?? ''};tag=${tag}`,
  remoteField: request.header('From') ?? '',
  remoteTarget: request.contact?.uri ?? request.from.uri,
  routeSet: routeSetOf(request, false),
  localSeq: 0,
  remoteSeq: request.cseq.seq,
  listener: arrival.listener,
  peerAddress: arrival.address,
  peerWay,
  hop: arrival.hop,
});
