/** A trunk sends a call: caller ID -> carrier -> network group -> gateways. */
import type { CallRequest, DecideContext, Decision } from './decision.js';
import { readCalledNumber } from './calledNumber.js';
import { type Draft, kept } from './draft.js';
import { checkLimits, destinationsOf } from './finish.js';
import { trunkText } from './nearestMiss.js';
import { type NumberFormat, normaliseNumber } from './numbers.js';
import type { CarrierRecord, NumberRoute, RoutingTable, TrunkRecord } from './table.js';

export interface Call {
  readonly table: RoutingTable;
  readonly request: CallRequest;
  readonly draft: Draft;
  readonly context: DecideContext;
}

/** The caller's identity as it will be sent. */
interface CallerId {
  readonly e164: string;
  readonly from: 'From' | 'P-Asserted-Identity' | 'alias';
  readonly route: NumberRoute | undefined;
}

/** @param trunkIds the trunks that list the source; several may share an address */
export function decideOutbound(call: Call, trunkIds: readonly string[]): Decision {
  const { draft, table } = call;
  const chosen = chooseTrunk(call, trunkIds);
  const trunk = chosen?.trunk;
  if (trunk === undefined) {
    draft.fail(
      'trunk',
      { trunks: trunkIds.length },
      (d) => `the caller is on none of the ${d.trunks} trunks of the source`,
    );
    return draft.reject('caller_id_not_mapped', {
      nearestMiss: nearestCaller(call, `one of ${trunkIds.length} trunks`),
    });
  }
  const { trunk_sid: trunkSid, trunk_name: name, account_sid: accountSid, status } = trunk.trunk;
  draft.trunkSid = trunkSid;
  draft.accountSid = accountSid;
  draft.mode = 'pstn';
  if (status === 'inactive') {
    draft.fail('trunk', { trunk: trunkSid, name }, (d) => `trunk ${d.trunk} (${d.name}) is inactive`);
    return draft.reject('trunk_inactive');
  }
  draft.pass('trunk', { trunk: trunkSid, name }, (d) => `trunk ${d.trunk} (${d.name}) is active`);
  const callerId = chosen?.callerId ?? alias(call, trunk);
  draft.callerE164 = receivedCaller(call, trunk.format);
  if (callerId === undefined) {
    draft.fail(
      'caller_id',
      { received: kept(call.request.callerNumber), trunk: trunkSid },
      (d) => `'${d.received}' is not mapped to trunk ${d.trunk}, and no alias replaces it`,
    );
    return draft.reject('caller_id_not_mapped', { nearestMiss: nearestCaller(call, trunkText(table, trunkSid)) });
  }
  draft.callerSent = callerId.e164;
  draft.pass('caller_id', { sent: callerId.e164, from: callerId.from }, (d) => `${d.sent} is sent (${d.from})`);
  return toCarrier(call, trunk, callerId);
}

function toCarrier({ table, request, draft, context }: Call, trunk: TrunkRecord, callerId: CallerId): Decision {
  const called = readCalledNumber(draft, request, trunk.format);
  if (called === undefined) return draft.reject('number_invalid');
  const wanted = callerId.route?.carrier;
  const carrier = wanted === undefined ? table.soleCarrier() : table.carrier(wanted);
  if (carrier === undefined) {
    draft.fail('carrier', { number: callerId.e164, carrier: wanted ?? '' }, (d) =>
      d.carrier === ''
        ? `${d.number} names no carrier, and there is not just one`
        : `carrier ${d.carrier} does not exist`,
    );
    return draft.reject('carrier_not_found');
  }
  draft.carrierId = carrier.carrier.id;
  draft.pass('carrier', { carrier: carrier.carrier.id, by: wanted === undefined ? 'only' : 'number' }, (d) =>
    d.by === 'only' ? `${d.carrier} is the only carrier` : `${d.carrier} is the carrier of the calling number`,
  );
  draft.failover = carrier.failover ?? trunk.failover;
  if (!destinationEnabled(table, draft, carrier, called)) {
    return draft.reject('destination_not_enabled');
  }
  if (carrier.targets.length === 0) {
    draft.fail('destinations', { carrier: carrier.carrier.id }, (d) => `carrier ${d.carrier} has no gateway`);
    return draft.reject('carrier_has_no_gateway');
  }
  draft.destinations = destinationsOf(carrier.targets, called, context.random, draft);
  return checkLimits(draft, context, [trunk.claim, carrier.claim]);
}

/** The trunk among those of the source that has the caller's number; a source of one trunk is that trunk anyway. */
function chooseTrunk(
  { table, request }: Call,
  trunkIds: readonly string[],
): { readonly trunk: TrunkRecord; readonly callerId: CallerId | undefined } | undefined {
  const given: readonly (readonly [CallerId['from'], string | undefined])[] = [
    ['From', request.callerNumber],
    ['P-Asserted-Identity', request.assertedNumber],
  ];
  for (const [from, text] of given) {
    if (text === undefined || text === '') continue;
    for (const id of trunkIds) {
      const trunk = table.trunk(id);
      if (trunk === undefined) continue;
      const number = normaliseNumber(text, trunk.format);
      const route = number.ok ? table.number(number.value) : undefined;
      if (number.ok && route?.trunkSid === id) return { trunk, callerId: { e164: number.value, from, route } };
    }
  }
  const only = trunkIds.length === 1 ? table.trunk(trunkIds[0] as string) : undefined;
  return only === undefined ? undefined : { trunk: only, callerId: undefined };
}

/** The trunk's alias, unless another trunk has the number: an alias must not speak for somebody else. */
function alias({ table, draft }: Call, trunk: TrunkRecord): CallerId | undefined {
  const number = trunk.trunk.settings?.trunk_external_alias;
  if (number === undefined) return undefined;
  const route = table.number(number);
  if (route === undefined || route.trunkSid === trunk.trunk.trunk_sid) return { e164: number, from: 'alias', route };
  draft.info(
    'caller_id',
    { alias: number, trunk: route.trunkSid },
    (d) => `the alias ${d.alias} is mapped to trunk ${d.trunk}`,
  );
  return undefined;
}

function receivedCaller({ request }: Call, format: NumberFormat): string | undefined {
  const number = normaliseNumber(request.callerNumber, format);
  return number.ok ? number.value : undefined;
}

/** Where the calling number is mapped, if not to the source's trunk. */
function nearestCaller({ table, request }: Call, source: string): string | undefined {
  for (const text of [request.callerNumber, request.assertedNumber]) {
    const number = text === undefined ? undefined : normaliseNumber(text, table.format);
    const route = number?.ok ? table.number(number.value) : undefined;
    if (!number?.ok || route === undefined) continue;
    return `${number.value} is mapped to ${trunkText(table, route.trunkSid)}, the source IP is on ${source}`;
  }
  return undefined;
}

/** The longest prefix decides. Destinations that no group of the carrier names are open. */
function destinationEnabled(table: RoutingTable, draft: Draft, carrier: CarrierRecord, called: string): boolean {
  const { id } = carrier.carrier;
  if (!table.hasNetworkGroups(id)) return true;
  const match = table.networkGroups(id, called);
  if (match === undefined) {
    draft.info(
      'network_group',
      { carrier: id, number: called },
      (d) => `no network group of ${d.carrier} names ${d.number}`,
    );
    return true;
  }
  const disabled = match.value.find((group) => !group.enabled);
  const group = disabled ?? match.value[0];
  const data = { prefix: match.prefix, group: group?.name ?? '', country: group?.country_iso ?? '' };
  if (disabled === undefined) {
    draft.pass('network_group', data, (d) => `prefix ${d.prefix}: ${d.group} (${d.country}) is enabled`);
    return true;
  }
  draft.fail('network_group', data, (d) => `prefix ${d.prefix}: ${d.group} (${d.country}) is disabled`);
  return false;
}
