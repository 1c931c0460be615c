/** What the document says of a call that a carrier delivers: its price, and where that stands. */
import type { Priced } from './decision.js';
import type { NetworkGroup, Rate } from './resources.js';
import { resourceKey } from './schema.js';
import type { CarrierRecord, RoutingTable } from './table.js';

const UNPRICED: Priced = Object.freeze({});

const RATE_KEYS = [
  'inbound_price',
  'outbound_price',
  'currency',
  'setup_fee',
  'minimum_charge',
  'first_seconds',
  'next_seconds',
] as const satisfies readonly (keyof Rate)[];

/** A group lives as long as its table; what is read of it for a call is made once. */
const rates = new WeakMap<NetworkGroup, { readonly rate: Rate; readonly networkGroup: string }>();

const pricedGroup = (group: NetworkGroup): { readonly rate: Rate; readonly networkGroup: string } => {
  const known = rates.get(group);
  if (known !== undefined) return known;
  // Decisions and records keep the rate, not the group: it may name thousands of prefixes.
  const rate: Rate = Object.fromEntries(
    RATE_KEYS.flatMap((key) => (group[key] === undefined ? [] : [[key, group[key]]])),
  );
  const made = { rate, networkGroup: resourceKey({ type: 'network_group', value: group }).id };
  rates.set(group, made);
  return made;
};

/** As the table holds it: bare, or in a record of its own. */
const groupOf = (entry: NetworkGroup | { readonly group: NetworkGroup }): NetworkGroup =>
  'group' in entry ? entry.group : entry;

/**
 * The network group with the longest prefix of the number; the flat rate of a carrier that has no groups.
 * @param e164 `+` and digits: the number called
 * @returns an empty object where nothing names a price
 */
export function pricedBy(table: RoutingTable, { carrier }: CarrierRecord, e164: string): Priced {
  if (!table.hasNetworkGroups(carrier.id)) {
    return carrier.flat_rate === undefined ? UNPRICED : { rate: carrier.flat_rate };
  }
  const match = table.networkGroups(carrier.id, e164);
  const groups = (match?.value ?? []).map(groupOf);
  const group = groups.find((one) => one.enabled) ?? groups[0];
  return match === undefined || group === undefined ? UNPRICED : { ...pricedGroup(group), prefix: match.prefix };
}
