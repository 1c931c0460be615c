import type { HeaderField } from '../face.js';
import { SipRequest } from '../message/message.js';
import { addUserFields } from './fields.js';

/** RFC 3261 §9.1: the INVITE's Request-URI, Via, From, To, Call-ID, CSeq number and Route. */
export const cancelOf = (
  invite: SipRequest,
  headers: readonly HeaderField[] | undefined,
  sentBy: string,
): SipRequest => {
  const cancel = new SipRequest('CANCEL', invite.uri);
  const via = invite.header('Via');
  if (via !== undefined) cancel.add('Via', via);
  for (const route of invite.headerAll('Route')) cancel.add('Route', route);
  cancel.add('Max-Forwards', '70');
  cancel.add('From', invite.header('From') ?? '');
  cancel.add('To', invite.header('To') ?? '');
  cancel.add('Call-ID', invite.callId);
  cancel.add('CSeq', `${invite.cseq.seq} CANCEL`);
  addUserFields(cancel, headers, sentBy);
  return cancel;
};
