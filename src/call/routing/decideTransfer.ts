/** Where somebody who is transferred goes: decided as a call of whoever sends the REFER, by the same rules and limits. */
import { decideInbound } from './decideInbound.js';
import { decideOutbound } from './decideOutbound.js';
import type { CallRequest, DecideContext, Decision } from './decision.js';
import { Draft } from './draft.js';
import type { RoutingTable } from './table.js';

/** A trunk or a carrier, by its id. */
export interface Owner {
  readonly kind: 'trunk' | 'carrier';
  readonly id: string;
}

export interface TransferWish {
  /** User of Refer-To, unescaped. */
  readonly target: string;
  /** Who sent the REFER, and pays. */
  readonly referrer: Owner;
  /** The side of the call that it sits on. */
  readonly side: 'a' | 'b';
  /** What that call was decided on, and what it came with. */
  readonly decision: Decision;
  readonly request: CallRequest;
}

/**
 * A trunk's transfer is a call of the trunk, with all that restricts those; a carrier's goes to the numbers that it
 * could deliver, and nowhere else. Pure. What it costs is charged to the trunk of the decision.
 * @param table of now: who may no longer call may no longer transfer either
 */
export function decideTransfer(table: RoutingTable, wish: TransferWish, context: DecideContext): Decision {
  const { target, referrer } = wish;
  const { sourceAddress, sourcePort, transport } = wish.request;
  const number = shownNumber(table, wish);
  const request: CallRequest = {
    sourceAddress,
    sourcePort,
    transport,
    calledNumber: target,
    callerNumber: number.caller,
    ...(number.diverting === undefined ? {} : { divertingNumber: number.diverting }),
  };
  const draft = new Draft(table.revision, request);
  if (!table.loaded) return draft.reject('table_not_loaded');
  draft.info('referred', { by: referrer.kind, id: referrer.id }, (d) => `a REFER of ${d.by} ${d.id}: as a call of it`);
  if (referrer.kind === 'trunk') {
    draft.direction = 'outbound';
    return decideOutbound({ table, request, draft, context }, [referrer.id]);
  }
  draft.direction = 'inbound';
  draft.carrierId = referrer.id;
  const decision = decideInbound(table, request, draft, context);
  // A flow answers calls of its own; it cannot take the place of an end of this one.
  return decision.mode === 'flow' ? draft.reject('flow_not_available') : decision;
}

/** The number that the call was made from or to is the trunk's; whoever is transferred is shown where its rule is `pass`. */
function shownNumber(
  table: RoutingTable,
  { decision, referrer, side }: TransferWish,
): { readonly caller: string; readonly diverting?: string | undefined } {
  const { callerNumber, calledNumber } = decision;
  if (referrer.kind === 'carrier') {
    const other = side === 'a' ? callerNumber.received : (calledNumber.e164 ?? calledNumber.received);
    return { caller: other };
  }
  const own = (side === 'a' ? (callerNumber.asserted ?? callerNumber.sent) : calledNumber.e164) ?? '';
  if (side === 'a' || table.trunk(referrer.id)?.trunk.settings?.caller_id !== 'pass') return { caller: own };
  return { caller: callerNumber.sent ?? own, diverting: own };
}
