import { type SipRequest, SipResponse } from './message.js';

/** Methods whose requests establish dialogs: RFC 3261 §12, RFC 6665, RFC 3515. */
const DIALOG_FORMING = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'NOTIFY']);

/**
 * A response as RFC 3261 §8.2.6.2 builds it: every Via, From, To, Call-ID and CSeq of the request; Timestamp for 100
 * (§8.2.6.1), Record-Route where a dialog may come of it (§12.1.1). The To tag is the caller's business.
 * @param reason phrase as a byte string; the registered one by default
 */
export function responseTo(request: SipRequest, status: number, reason?: string): SipResponse {
  const recordRoutes = status > 100 && status < 300 && DIALOG_FORMING.has(request.method);
  const names: string[] = [];
  const values: string[] = [];
  for (let i = 0; i < request.size; i++) {
    const name = request.nameAt(i);
    switch (name) {
      case 'Record-Route':
        if (!recordRoutes) continue;
        break;
      case 'Timestamp':
        if (status !== 100) continue;
        break;
      case 'From':
      case 'To':
      case 'Call-ID':
      case 'CSeq':
        // Once, even where a refused request repeats them.
        if (names.includes(name)) continue;
        break;
      case 'Via':
        break;
      default:
        continue;
    }
    names.push(name);
    values.push(request.valueAt(i));
  }
  return new SipResponse(status, reason, names, values);
}
