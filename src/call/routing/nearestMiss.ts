/** What was nearly right: read by people who ask why a call was refused, never sent to the caller. */
import type { CallRequest } from './decision.js';
import { normaliseNumber } from './numbers.js';
import { nearest } from './problems.js';
import type { RoutingTable } from './table.js';

/** Flows that a wrong name is compared with; a table may have thousands, and this runs for every such call. */
const MAX_FLOWS_COMPARED = 200;

export function trunkText(table: RoutingTable, trunkSid: string): string {
  const name = table.trunk(trunkSid)?.trunk.trunk_name;
  return name === undefined ? `trunk ${trunkSid}` : `trunk ${trunkSid} (${name})`;
}

/** For a source that nobody listed: who owns the numbers it uses. */
export function nearestSource(table: RoutingTable, request: CallRequest): string | undefined {
  const caller = normaliseNumber(request.callerNumber, table.format);
  const from = caller.ok ? table.number(caller.value) : undefined;
  if (caller.ok && from !== undefined) {
    return `${caller.value} is mapped to ${trunkText(table, from.trunkSid)}, whose whitelisted_ips do not hold the source`;
  }
  const called = normaliseNumber(request.calledNumber, table.format);
  const to = called.ok ? table.number(called.value) : undefined;
  if (!called.ok || to?.carrier === undefined) return undefined;
  return `${called.value} is delivered by carrier ${to.carrier}, whose source_acl does not hold the source`;
}

/** A mapped number that differs by a doubled or lost digit at either end. */
export function nearestNumber(table: RoutingTable, e164: string): string | undefined {
  const digits = e164.slice(1);
  const candidates = [digits.slice(0, -1), digits.slice(1), digits.slice(2), digits.slice(3)];
  for (let digit = 0; digit < 10; digit++) candidates.push(digits + String(digit));
  for (const candidate of candidates) {
    const route = table.number(`+${candidate}`);
    if (route !== undefined) return `+${candidate} is mapped to ${trunkText(table, route.trunkSid)}`;
  }
  return undefined;
}

/** A flow whose id is nearly the one that the number names. */
export function nearestFlow(table: RoutingTable, id: string): string | undefined {
  const ids: string[] = [];
  for (const flow of table.flows()) if (ids.push(flow.id) >= MAX_FLOWS_COMPARED) break;
  const near = nearest(id, ids);
  return near === undefined ? undefined : `there is a flow ${near}`;
}
