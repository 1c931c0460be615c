import { SipRequest } from './message.js';

/**
 * A request that follows one of ours on the way that it went: CANCEL (RFC 3261 §9.1), or the ACK of a failure
 * (§17.1.1.3). It has the Request-URI, top Via (where there is one yet), Route, From, Call-ID and CSeq number of the
 * first.
 * @param to its To field; default: that of the first
 */
export const sameHopRequest = (
  method: 'ACK' | 'CANCEL',
  sent: SipRequest,
  to: string | undefined = sent.header('To'),
): SipRequest => {
  const request = new SipRequest(method, sent.uri);
  const via = sent.header('Via');
  if (via !== undefined) request.add('Via', via);
  for (const route of sent.headerAll('Route')) request.add('Route', route);
  request.add('Max-Forwards', '70');
  request.add('From', sent.header('From') ?? '');
  request.add('To', to ?? '');
  request.add('Call-ID', sent.callId);
  request.add('CSeq', `${sent.cseq.seq} ${method}`);
  return request;
};
