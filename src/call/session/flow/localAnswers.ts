/** Requests within a dialog that end at this leg. */
import type { Content, InDialogRequest, ResponseSpec } from '../../../signal/port.js';
import { CAPABILITY_HEADERS } from '../../bridge/dialogRelay.js';

/** To an offer: the media plane's answer, or that there is none. */
export function respondWith(
  request: { respond(status: number, spec?: ResponseSpec): void },
  content: Content | undefined,
): void {
  if (content === undefined) request.respond(488);
  else request.respond(200, content);
}

/** What a leg that ends here is answered: RFC 3261 §11, RFC 6086 §4.2.2. */
export function answerLocally(request: InDialogRequest): void {
  switch (request.message.method) {
    case 'OPTIONS':
      return request.respond(200, { headers: CAPABILITY_HEADERS });
    case 'INFO':
    case 'NOTIFY':
    case 'PRACK':
    case 'UPDATE':
      return request.respond(200);
    default:
      return request.respond(405, { headers: CAPABILITY_HEADERS.slice(0, 1) });
  }
}
