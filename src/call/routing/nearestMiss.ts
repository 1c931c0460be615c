/** What was nearly right: read by people who ask why a call was refused, never sent to the caller. */
import type { CallRequest } from './decision.js';
import { normaliseNumber } from './numbers.js';
import type { RoutingTable } from './table.js';

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
