import type { HeaderField } from '../face.js';
import type { SipRequest } from '../message/message.js';
import { sameHopRequest } from '../message/sameHop.js';
import { addUserFields } from './fields.js';

/** RFC 3261 §9.1. @param headers of the user */
export const cancelOf = (
  invite: SipRequest,
  headers: readonly HeaderField[] | undefined,
  sentBy: string,
): SipRequest => {
  const cancel = sameHopRequest('CANCEL', invite);
  addUserFields(cancel, headers, sentBy);
  return cancel;
};
