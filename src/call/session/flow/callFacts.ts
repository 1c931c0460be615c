/** What a flow is told of its call. */
import type { CallFacts } from '../../flow/state.js';
import type { Values } from '../../flow/values.js';
import type { FlowCallStart } from './world.js';

/** Private headers of the INVITE that a flow can read, and how long each may be. */
const MAX_CUSTOM = 16;
const MAX_CUSTOM_TEXT = 256;

export function factsOf({ callId, aLeg, decision, request }: FlowCallStart, startedWallMs: number): CallFacts {
  const { calledNumber, callerNumber } = decision;
  return {
    sid: callId,
    accountSid: decision.accountSid ?? '',
    from: callerNumber.e164 ?? callerNumber.sent ?? '',
    to: calledNumber.e164 ?? calledNumber.received,
    direction: decision.direction ?? 'inbound',
    startedWallMs,
    caller: {
      number: callerNumber.e164 ?? callerNumber.sent ?? null,
      received: request.callerNumber,
      trunk: decision.trunkSid ?? null,
      carrier: decision.carrierId ?? null,
    },
    custom: customOf(aLeg.message.headers()),
  };
}

/** `X-Customer-Id` is `custom.x_customer_id`. Of a field that stands twice the first counts. */
function customOf(headers: readonly (readonly [name: string, value: string])[]): Values {
  const custom: { [name: string]: string } = {};
  let count = 0;
  for (const [name, value] of headers) {
    const key = name.toLowerCase().replaceAll('-', '_');
    if (!/^x_[a-z0-9_]{1,61}$/.test(key) || key.startsWith('x_tandem_') || Object.hasOwn(custom, key)) continue;
    if (++count > MAX_CUSTOM) break;
    // Header text is a byte string; flows and webhooks speak UTF-8.
    custom[key] = Buffer.from(value, 'latin1').toString('utf8').slice(0, MAX_CUSTOM_TEXT);
  }
  return custom;
}
