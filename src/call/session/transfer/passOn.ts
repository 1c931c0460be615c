/** `sip.refer: relay`: a REFER crosses to the other end, which does what it says; its NOTIFYs cross back by themselves. */
import type { HeaderEntry, InDialogRequest, Leg, SignalMessage } from '../../../signal/port.js';
import { type DialogRelay, crossing, reasonOf } from '../../bridge/dialogRelay.js';
import type { HeaderPolicy } from '../../bridge/headerPolicy.js';
import { hostOf } from '../../bridge/headerText.js';
import { contentOf } from '../../bridge/legHeaders.js';
import type { TransferAccount } from './account.js';
import { readReferTo } from './referTo.js';

/** Who cannot tell is told so in words that leave the dialog alone (RFC 5057 §5). */
const UNREACHED = 603;

/** Fields of a REFER, and of its answer, that mean the same at the other end. */
const CROSSING = new Set(['refer-sub', 'supported']);

export const passOn = (
  { to, policy, relay }: { readonly to: Leg; readonly policy: HeaderPolicy; readonly relay: DialogRelay },
  request: InDialogRequest,
  account: TransferAccount,
): void => {
  const { message } = request;
  account.kind = 'relayed';
  const target = readReferTo(message);
  account.target = target?.uri ?? '';
  if (target === undefined) {
    account.close('refused', 400, 'refer_to_invalid');
    return request.respond(400);
  }
  const headers = [...policy.relay('request', message.headers()), ...referFields(message.headers())];
  headers.push(['Refer-To', `<${rewritten(target.text, message.uri)}>`]);
  to.request({ method: 'REFER', headers, ...contentOf(message) }, (outcome) => {
    const answer = outcome.kind === 'response' ? outcome.message : undefined;
    const status = answer?.status ?? UNREACHED;
    account.close(status < 300 ? 'passed_on' : 'refused', status, 'refer_passed_on');
    if (answer === undefined) return request.respond(UNREACHED);
    relay.nameEvent(cseqOf(answer), cseqOf(message));
    const fields = [...policy.relay('response', answer.headers()), ...referFields(answer.headers())];
    request.respond(crossing(answer), { reason: reasonOf(answer), headers: fields, ...contentOf(answer) });
  });
};

/** Where the target is named by the address by which the sender knows us, the other end is told its own name of us. */
const rewritten = (target: string, requestUri: string | undefined): string => {
  const host = hostOf(target);
  const ours = requestUri === undefined ? '' : hostOf(requestUri);
  if (host === '' || host.toLowerCase() !== ours.toLowerCase()) return target;
  const at = target.indexOf('@');
  const from = (at < 0 ? target.indexOf(':') : at) + 1;
  const rest = target.slice(from + host.length);
  const end = rest.search(/[;?]/);
  return `${target.slice(0, from)}localhost${end < 0 ? '' : rest.slice(end)}`;
};

const cseqOf = (message: SignalMessage): string => message.header('CSeq')?.trim().split(' ')[0] ?? '';

const referFields = (headers: readonly HeaderEntry[]): HeaderEntry[] =>
  headers.filter(([name]) => CROSSING.has(name.toLowerCase()));
