/** Which carriers may take an outbound call, in which order, at what price. */
import type { CarrierCandidate, DecideContext, Decision, Destination, LimitClaim, ReasonCode } from './decision.js';
import { dialString } from './dialFormat.js';
import type { Draft } from './draft.js';
import { type LimitCode, checkLimits, exceeded, rejectLimit, settleDestinations } from './finish.js';
import { orderTargets } from './order.js';
import { amountOf } from '../record/rating.js';
import type { Quote, SpendCap } from './outboundPrice.js';
import type { AccountRecord, CarrierRecord, GroupRecord, RoutingTable, TrunkRecord } from './table.js';

/** A call whose caller and callee are known. */
export interface Leaving {
  readonly table: RoutingTable;
  readonly draft: Draft;
  readonly context: DecideContext;
  readonly trunk: TrunkRecord;
  readonly account: AccountRecord | undefined;
  /** E.164. */
  readonly called: string;
  readonly callerId: string;
  /** Carrier that the calling number names. */
  readonly named: string | undefined;
}

/** A carrier while it is weighed. */
interface Weighing {
  readonly record: CarrierRecord;
  readonly priority: number;
  readonly weight: number;
  reasonCode: ReasonCode;
  prefix: string | undefined;
  group: GroupRecord | undefined;
  quote: Quote;
  maxSeconds: number | undefined;
  /** Place in the order by cost: lower first. */
  rank: number;
}

export function decideCarriers(call: Leaving): Decision {
  const records = recordsFor(call);
  if (records === undefined) return call.draft.reject('carrier_not_found');
  const weighed = records.map((record) => weigh(call, record));
  const fit = weighed.filter((one) => one.reasonCode === 'routed' || isLimit(one.reasonCode));
  const free = fit.filter((one) => one.reasonCode === 'routed');
  if (free.length === 0) return refuse(call, weighed);
  const ordered = order(call, free);
  // Who is full now may have room by the time that the others have failed.
  const all = free.length === fit.length ? ordered : [...ordered, ...fit.filter((one) => one.reasonCode !== 'routed')];
  const left = weighed.length === fit.length ? all : [...all, ...weighed.filter((one) => !fit.includes(one))];
  const { draft, trunk, account } = call;
  draft.carriers = left.map(candidate);
  draft.carrierId = all[0]?.record.carrier.id;
  draft.failover = trunk.failover;
  const destinations: Destination[] = [];
  for (const one of all) addDestinations(call, one, destinations);
  draft.destinations = settleDestinations(destinations, call.context, draft);
  return checkLimits(draft, call.context, baseClaims(trunk, account));
}

/** What a call takes for its whole length. */
export function baseClaims(trunk: TrunkRecord, account: AccountRecord | undefined): LimitClaim[] {
  return account === undefined ? [trunk.claim] : [trunk.claim, account.claim];
}

/** The carrier of the number; else those of the account's list; else the only one, or all that are open to the account. */
function recordsFor(call: Leaving): readonly CarrierRecord[] | undefined {
  const { table, draft, account, named, callerId } = call;
  const sid = draft.accountSid ?? '';
  if (named !== undefined) {
    const record = table.carrier(named);
    if (record !== undefined && mayUse(record, sid)) {
      draft.pass('carrier', { carrier: named }, (d) => `${d.carrier} is the carrier of the calling number`);
      return [record];
    }
    const data = { number: callerId, carrier: named, exists: record !== undefined };
    draft.fail('carrier', data, (d) =>
      d.exists ? `carrier ${d.carrier} belongs to another account` : `carrier ${d.carrier} does not exist`,
    );
    return undefined;
  }
  const list = account?.account.carriers ?? [];
  const records = list.length > 0 ? listed(table, list, sid) : table.openCarriers(sid);
  if (records.length === 0) {
    draft.fail('carrier', { number: callerId, listed: list.length }, (d) =>
      d.listed > 0
        ? `${d.number} names no carrier, and none that the account lists exists`
        : `${d.number} names no carrier, and there is none`,
    );
    return undefined;
  }
  const first = records[0] as CarrierRecord;
  const data = { carrier: first.carrier.id, count: records.length, by: list.length > 0 ? 'account' : 'all' };
  draft.pass('carrier', data, (d) => {
    const whose = d.by === 'account' ? "of the account's list" : 'open to the account';
    return d.count === 1 ? `${d.carrier} is the only carrier ${whose}` : `${d.count} carriers ${whose}`;
  });
  return records;
}

const mayUse = (record: CarrierRecord, accountSid: string): boolean => {
  const owner = record.carrier.account_sid;
  return owner === undefined || owner === accountSid;
};

function listed(table: RoutingTable, ids: readonly string[], accountSid: string): readonly CarrierRecord[] {
  const records: CarrierRecord[] = [];
  for (const id of ids) {
    const record = table.carrier(id);
    if (record !== undefined && mayUse(record, accountSid)) records.push(record);
  }
  return records;
}

const isLimit = (code: ReasonCode): code is LimitCode =>
  code === 'carrier_concurrent_calls' || code === 'carrier_calls_per_second';

/** Asks one carrier's rules in turn; the first that says no is its reason. */
function weigh(call: Leaving, record: CarrierRecord): Weighing {
  const one: Weighing = {
    record,
    priority: record.priority,
    weight: record.weight,
    reasonCode: 'routed',
    prefix: undefined,
    group: undefined,
    quote: record.flat,
    maxSeconds: undefined,
    rank: 0,
  };
  one.reasonCode =
    broughtAlong(call, record) ??
    groupRule(call, one) ??
    (record.targets.length === 0 ? 'carrier_has_no_gateway' : undefined) ??
    spendRule(call, one) ??
    exceeded(record.claim, call.context) ??
    'routed';
  return one;
}

function broughtAlong({ account, draft }: Leaving, { carrier }: CarrierRecord): ReasonCode | undefined {
  if (carrier.kind !== 'byo' || carrier.account_sid === undefined) return undefined;
  if (account?.account.byo_enabled !== false) return undefined;
  draft.fail('carrier', { carrier: carrier.id }, (d) => `${d.carrier} is brought along, and byo_enabled is false`);
  return 'byo_disabled';
}

/**
 * The longest prefix decides. Destinations that no group of the carrier names are open, unless the account says otherwise;
 * carriers without groups are.
 */
function groupRule({ table, draft, account, called }: Leaving, one: Weighing): ReasonCode | undefined {
  const { id } = one.record.carrier;
  const match = table.networkGroups(id, called);
  if (match === undefined) {
    if (!table.hasNetworkGroups(id)) return undefined;
    const data = { carrier: id, number: called };
    const say = (d: typeof data) => `no network group of ${d.carrier} names ${d.number}`;
    if (account?.account.prefix_mode === 'allow_only_listed' && one.record.carrier.account_sid === undefined) {
      draft.fail('network_group', data, say);
      return 'destination_not_listed';
    }
    draft.info('network_group', data, say);
    return undefined;
  }
  const off = account?.disabledGroups;
  let blocked: GroupRecord | undefined;
  for (const record of match.value) if (!record.group.enabled || off?.has(record.id) === true) blocked ??= record;
  const chosen = blocked ?? (match.value[0] as GroupRecord);
  one.prefix = match.prefix;
  one.group = chosen;
  // A group without a price of its own has the carrier's.
  if (chosen.quote.price !== undefined || one.quote.price === undefined) one.quote = chosen.quote;
  const { name: group, country_iso: country } = chosen.group;
  const data = { carrier: id, prefix: match.prefix, group, country };
  if (blocked === undefined) {
    draft.pass(
      'network_group',
      data,
      (d) => `prefix ${d.prefix}: ${d.group} (${d.country}) of ${d.carrier} is enabled`,
    );
    return undefined;
  }
  const by = blocked.group.enabled ? `disabled for account ${draft.accountSid ?? ''}` : 'disabled';
  draft.fail(
    'network_group',
    { ...data, by },
    (d) => `prefix ${d.prefix}: ${d.group} (${d.country}) of ${d.carrier} is ${d.by}`,
  );
  return 'destination_not_enabled';
}

/** What is left of today's money must pay for the call's first pulse; a call that cannot be priced is not let at it. */
function spendRule(call: Leaving, one: Weighing): ReasonCode | undefined {
  let code: ReasonCode | undefined;
  for (const cap of [call.trunk.cap, call.account?.cap]) {
    if (cap === undefined || code !== undefined) continue;
    code = underCap(call, one, cap);
  }
  return code;
}

function underCap({ draft, context }: Leaving, one: Weighing, cap: SpendCap): ReasonCode | undefined {
  const { price } = one.quote;
  const { key, currency, limitMicros } = cap;
  const carrier = one.record.carrier.id;
  if (price?.currency !== currency) {
    const data = { carrier, key, currency };
    draft.fail('spend', data, (d) => `${d.carrier} has no price in ${d.currency}, and ${d.key} may spend only so much`);
    return 'price_unknown';
  }
  const spent = context.spend?.committedMicros(key, currency) ?? 0;
  const first = price.firstMicros;
  const left = limitMicros - spent;
  const data = { carrier, key, currency, limitMicros, spentMicros: spent, firstMicros: first };
  if (left < first) {
    draft.fail('spend', data, (d) => `${spentText(d)}: the call through ${d.carrier} needs ${amountOf(d.firstMicros)}`);
    return 'spend_cap_reached';
  }
  if (price.perMinuteMicros > 0) {
    const seconds = Math.floor(((left - price.setupMicros) * 60) / price.perMinuteMicros);
    one.maxSeconds = Math.min(one.maxSeconds ?? Infinity, seconds);
  }
  draft.pass('spend', data, spentText);
  return undefined;
}

interface Spent {
  readonly key: string;
  readonly currency: string;
  readonly limitMicros: number;
  readonly spentMicros: number;
}

const spentText = ({ key, currency, limitMicros, spentMicros }: Spent): string =>
  `${key} has spent ${amountOf(spentMicros)} of ${amountOf(limitMicros)} ${currency} today`;

/**
 * By priority, drawn by weight among equals; or by price. Of an account's list, equals without a weight of their own stay
 * in the order of the list.
 */
function order(call: Leaving, free: Weighing[]): readonly Weighing[] {
  if (free.length < 2) return free;
  const { account, context } = call;
  const byCost = account?.account.carrier_order === 'least_cost';
  if (byCost) rank(call, free);
  free.sort((a, b) => a.rank - b.rank || a.priority - b.priority);
  const inList = (account?.account.carriers?.length ?? 0) > 0 && call.named === undefined;
  const keepsPlace = inList && free.every((one) => one.record.carrier.weight === undefined);
  const ordered = keepsPlace ? free : orderTargets(free, context.random, (a, b) => samePlace(a, b));
  noteOrder(call, ordered, byCost);
  return ordered;
}

const samePlace = (a: Weighing, b: Weighing): boolean => a.rank === b.rank && a.priority === b.priority;

/** Micros a minute, in the currency of the account; without a rate of exchange, other currencies come after, then no price. */
function rank({ account, trunk }: Leaving, free: readonly Weighing[]): void {
  const currency =
    account?.cap?.currency ?? trunk.cap?.currency ?? free.find((one) => one.quote.price)?.quote.price?.currency;
  for (const one of free) {
    const { price } = one.quote;
    if (price === undefined) one.rank = UNPRICED;
    else one.rank = price.currency === currency ? price.perMinuteMicros : FOREIGN;
  }
}

/** Above every price: nine digits of major units are 10^15 micros. */
const FOREIGN = 2 ** 51;
const UNPRICED = 2 ** 52;

function noteOrder({ draft }: Leaving, ordered: readonly Weighing[], byCost: boolean): void {
  const first = ordered[0] as Weighing;
  const { price } = first.quote;
  const data = {
    by: byCost ? 'least_cost' : 'priority',
    first: first.record.carrier.id,
    perMinuteMicros: price?.perMinuteMicros ?? null,
    currency: price?.currency ?? null,
    count: ordered.length,
  };
  draft.info('order', data, (d) => {
    if (d.by !== 'least_cost') return `by priority and weight: ${d.first} first of ${d.count}`;
    if (d.perMinuteMicros === null) return `by price: no carrier has one, ${d.first} first`;
    return `by price: ${d.first} first, ${amountOf(d.perMinuteMicros)} ${d.currency ?? ''} a minute`;
  });
}

/** Every candidate failed: the reason that passes soonest is told. */
const RANKED: readonly ReasonCode[] = [
  'carrier_calls_per_second',
  'carrier_concurrent_calls',
  'spend_cap_reached',
  'price_unknown',
  'destination_not_enabled',
  'destination_not_listed',
  'carrier_has_no_gateway',
  'byo_disabled',
];

function refuse(call: Leaving, weighed: readonly Weighing[]): Decision {
  const { draft } = call;
  draft.carriers = weighed.map(candidate);
  const code = RANKED.find((one) => weighed.some(({ reasonCode }) => reasonCode === one)) ?? 'carrier_not_found';
  const one = weighed.find(({ reasonCode }) => reasonCode === code) as Weighing;
  const { carrier, claim } = one.record;
  draft.carrierId = carrier.id;
  if (isLimit(code)) return rejectLimit(draft, claim, code);
  if (code === 'carrier_has_no_gateway')
    draft.fail('destinations', { carrier: carrier.id }, (d) => `carrier ${d.carrier} has no gateway`);
  return draft.reject(code, { nearestMiss: code === 'destination_not_enabled' ? nearestGroup(call, one) : undefined });
}

/** The group that is off, and the one that would hold the number without it. */
function nearestGroup({ table, account }: Leaving, { record, group, prefix = '' }: Weighing): string | undefined {
  if (group === undefined) return undefined;
  const { id } = record.carrier;
  const where = group.group.enabled ? `for account ${account?.account.sid ?? ''}` : 'for everybody';
  const text = `prefix ${prefix} of ${id} is ${group.group.name} (${group.group.country_iso}), disabled ${where}`;
  const shorter = prefix.length < 2 ? undefined : table.networkGroups(id, `+${prefix.slice(0, -1)}`);
  const wider = shorter?.value[0]?.group;
  if (shorter === undefined || wider === undefined) return text;
  return `${text}; prefix ${shorter.prefix}, ${wider.name}, is ${wider.enabled ? 'enabled' : 'disabled, too'}`;
}

/** One shape for all, whatever is known: half the time of a decision is spent on making objects. */
function candidate({ record, reasonCode, prefix, quote }: Weighing): CarrierCandidate {
  const { rate, networkGroup } = quote.priced;
  const { priority, weight, claim } = record;
  return { carrierId: record.carrier.id, reasonCode, rate, networkGroup, prefix, priority, weight, claim };
}

function addDestinations({ called, context }: Leaving, one: Weighing, into: Destination[]): void {
  const { record, quote, prefix, maxSeconds } = one;
  const { id: carrierId, identity, sip } = record.carrier;
  for (const { text, priority, weight, dial } of orderTargets(record.targets, context.random)) {
    const uri = `sip:${dialString(called, dial)}@${text}`;
    const { failover } = record;
    const { rate, networkGroup } = quote.priced;
    // prettier-ignore
    into.push({ uri, gateway: text, priority, weight, carrierId, rate, networkGroup, prefix, failover, identity, sip, maxSeconds });
  }
}
