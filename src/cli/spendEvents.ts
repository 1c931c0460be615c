/** What a ledger of money hears of calls and of the dials of their flows. */
import type { SpendLedger } from '../call/admission/spend.js';
import type { Decision, Priced } from '../call/routing/decision.js';
import type { CallEvent } from '../call/session/events.js';

/** Calls, and dials, count from their decision on; each is settled once, by its call's record. */
export function observeSpend(ledger: SpendLedger, event: CallEvent): void {
  switch (event.type) {
    case 'call_decided':
    case 'dial_started':
      return count(ledger, 'begin', event, expectedOf(event.decision));
    case 'call_answered':
      return count(ledger, 'answer', event, event.priced);
    case 'dial_answered':
      return count(ledger, 'answer', event, event.priced);
    case 'dial_ended':
      return ledger.endDial(event, event.record?.charge ?? null);
    case 'call_ended': {
      const { callId, trunkSid, accountSid, charge, dials = [] } = event.record;
      const call = { callId, trunkSid: trunkSid ?? undefined, accountSid: accountSid ?? undefined };
      return ledger.end(call, charge, ...dials.map((dial) => dial.charge));
    }
    default:
  }
}

const expectedOf = ({ direction, inbound, destinations }: Decision): Priced | undefined =>
  direction === 'inbound' ? inbound : destinations[0];

interface Counted {
  readonly callId: string;
  readonly dialId?: string;
  readonly decision: Decision | undefined;
}

function count(
  ledger: SpendLedger,
  step: 'begin' | 'answer',
  { callId, dialId, decision }: Counted,
  priced: Priced | undefined,
): void {
  if (decision?.accepted !== true || decision.direction === undefined || priced?.rate === undefined) return;
  const { direction, trunkSid, accountSid } = decision;
  ledger[step]({ callId, dialId, trunkSid, accountSid, direction, priced });
}
