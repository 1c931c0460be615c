/**
 * Who calls, whom, may they, and where does it go: the one function that the call path, `explain` and the console run.
 * Pure; a request of any content gets a Decision, nothing throws.
 */
import type { AclMatch, AclOwner } from './acl.js';
import { contactUserOf, decideInbound } from './decideInbound.js';
import { decideOutbound } from './decideOutbound.js';
import type { CallRequest, DecideContext, Decision, LimitsView, ReasonCode } from './decision.js';

import { Draft, kept } from './draft.js';
import { nearestSource } from './nearestMiss.js';
import { normaliseNumber } from './numbers.js';
import { sayInbound, sayListed, sayOutbound } from './sentences.js';
import type { RoutingTable } from './table.js';

/** Limits that never refuse: for `explain` away from a running node. */
export const NO_LIMITS: LimitsView = { concurrent: () => 0, rateAllows: () => true };

/** Decides one call by one table. Reads the limits, takes none: the limiter claims `Decision.limits`. */
export function decide(table: RoutingTable, request: CallRequest, context: DecideContext): Decision {
  const draft = new Draft(table.revision, request);
  if (!table.loaded) return draft.reject('table_not_loaded');
  const match = table.matchSource(request.sourceAddress);
  if (match === undefined) {
    const proved = trunksWithoutList(table, request);
    if (proved.length > 0) {
      const data = { address: request.sourceAddress, user: request.userName ?? '' };
      draft.pass('source', data, (d) => `${d.address} has proved the password of ${d.user}`);
      draft.direction = 'outbound';
      return decideOutbound({ table, request, draft, context }, proved);
    }
    draft.fail('source', { address: kept(request.sourceAddress) }, (d) => `${d.address} is in no access list`);
    return draft.reject('source_not_allowed', { nearestMiss: nearestSource(table, request) });
  }
  draft.pass(
    'source',
    { address: request.sourceAddress, cidr: match.cidr, owners: ownersText(match.owners) },
    sayListed,
  );
  const carrierId = inboundCarrier(table, request, match);
  if (carrierId !== undefined) {
    draft.direction = 'inbound';
    draft.carrierId = carrierId;
    draft.info('direction', { carrier: carrierId }, sayInbound);
    return decideInbound(table, request, draft, context);
  }
  draft.direction = 'outbound';
  draft.info('direction', {}, sayOutbound);
  // A network within another trunk's network takes nothing away from that trunk: the calling number tells them apart.
  const listed = trunkIds(table.ownersOf(request.sourceAddress));
  const trunks = [...listed.filter((id) => mayCall(table, request, id)), ...trunksWithoutList(table, request)];
  if (trunks.length === 0) {
    draft.trunkSid = listed.length === 1 ? listed[0] : undefined;
    draft.accountSid = table.trunk(draft.trunkSid ?? '')?.trunk.account_sid;
    draft.fail('credentials', { trunks: listed.length }, () => 'no password of the trunk was proved');
    return draft.reject('credentials_required');
  }
  return decideOutbound({ table, request, draft, context }, trunks);
}

/** A trunk with credentials wants both, the address and a password. */
function mayCall(table: RoutingTable, { provedTrunks }: CallRequest, id: string): boolean {
  return (table.trunk(id)?.trunk.credentials?.length ?? 0) === 0 || provedTrunks?.includes(id) === true;
}

/** Trunks that list no address: a password is all that they want. */
function trunksWithoutList(table: RoutingTable, { provedTrunks }: CallRequest): readonly string[] {
  return provedTrunks?.filter((id) => table.trunk(id)?.trunk.whitelisted_ips.length === 0) ?? NO_TRUNKS;
}

const NO_TRUNKS: readonly string[] = [];

/** A refusal that does not come from the table, such as `draining`. */
export function refuse(table: RoutingTable, request: CallRequest, code: Exclude<ReasonCode, 'routed'>): Decision {
  return new Draft(table.revision, request).reject(code);
}

/**
 * The carrier the call comes from, or undefined when a trunk sends it. An address that is both is a carrier when it
 * delivers a number of ours that is its own, or anybody's; else the trunk.
 */
function inboundCarrier(table: RoutingTable, request: CallRequest, match: AclMatch): string | undefined {
  const { owners } = match;
  const first = owners[0] as AclOwner;
  if (owners.length === 1) return first.kind === 'carrier' ? first.id : undefined;
  const carriers = owners.filter((owner) => owner.kind === 'carrier');
  if (carriers.length === 0) return undefined;
  const registered = carriers.find(({ id }) => contactUserOf(table.carrier(id)?.carrier) === request.calledNumber);
  if (registered !== undefined) return registered.id;
  const called = normaliseNumber(request.calledNumber, table.format);
  const route = called.ok ? table.number(called.value) : undefined;
  const own = carriers.find((owner) => owner.id === route?.carrier);
  if (own !== undefined) return own.id;
  const isTrunkToo = carriers.length < owners.length;
  if (isTrunkToo && (route === undefined || route.carrier !== undefined)) return undefined;
  return carriers[0]?.id;
}

function trunkIds(owners: readonly AclOwner[]): string[] {
  const ids: string[] = [];
  for (const owner of owners) if (owner.kind === 'trunk') ids.push(owner.id);
  return ids;
}

const MAX_OWNERS_NAMED = 4;

function ownersText(owners: readonly AclOwner[]): string {
  if (owners.length === 1) return `${(owners[0] as AclOwner).kind} ${(owners[0] as AclOwner).id}`;
  const named = owners.slice(0, MAX_OWNERS_NAMED).map((owner) => `${owner.kind} ${owner.id}`);
  const more = owners.length - named.length;
  return named.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
