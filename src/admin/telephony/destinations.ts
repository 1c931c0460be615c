/** What an account may call by the network groups of the carriers that it may use. */
import { microsOf } from '../../call/record/rating.js';
import type { Account, Carrier, NetworkGroup } from '../../call/routing/resources.js';
import { groupId } from '../../call/routing/semantics.js';
import type { Directory } from '../../control/index.js';

/** The carriers that the account names, else all that are open to it; and those that it brought along. */
export function usableCarriers(directory: Directory, account: Account): Carrier[] {
  const found = new Map<string, Carrier>();
  for (const id of account.carriers ?? []) {
    const carrier = directory.carrier(id);
    if (carrier !== undefined && mayUseCarrier(carrier, account.sid)) found.set(id, carrier);
  }
  if (found.size === 0) {
    for (const carrier of directory.carriers()) if (carrier.account_sid === undefined) found.set(carrier.id, carrier);
  }
  if (account.byo_enabled !== false) {
    for (const carrier of directory.carriersOf(account.sid)) found.set(carrier.id, carrier);
  }
  return [...found.values()];
}

export const mayUseCarrier = (carrier: Carrier, accountSid: string): boolean =>
  carrier.account_sid === undefined || carrier.account_sid === accountSid;

/** One country of those that may be called. */
export interface Allowed {
  readonly iso: string;
  readonly prefixes: string[];
  /** The cheapest group's prices. */
  lowest: Pick<NetworkGroup, 'outbound_price' | 'inbound_price' | 'currency'> | undefined;
}

/** By country, of groups that are enabled, for all and for the account. @param only one carrier's */
export function allowedDestinations(
  directory: Directory,
  account: Account,
  only?: string,
): ReadonlyMap<string, Allowed> {
  const off = new Set(account.disabled_network_groups);
  const allowed = new Map<string, Allowed>();
  for (const { id } of usableCarriers(directory, account)) {
    if (only !== undefined && id !== only) continue;
    for (const group of directory.groupsOf(id)) {
      if (!group.enabled || off.has(groupId(group))) continue;
      const iso = group.country_iso;
      let country = allowed.get(iso);
      if (country === undefined) allowed.set(iso, (country = { iso, prefixes: [], lowest: undefined }));
      for (const prefix of group.prefixes) country.prefixes.push(prefix);
      if (isCheaper(group, country.lowest)) country.lowest = pricesOf(group);
    }
  }
  return new Map([...allowed].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const pricesOf = ({ outbound_price, inbound_price, currency }: NetworkGroup) => ({
  ...(outbound_price === undefined ? {} : { outbound_price }),
  ...(inbound_price === undefined ? {} : { inbound_price }),
  ...(currency === undefined ? {} : { currency }),
});

const isCheaper = (group: NetworkGroup, than: Allowed['lowest']): boolean => {
  const price = group.outbound_price === undefined ? undefined : microsOf(group.outbound_price);
  if (price === undefined) return false;
  const other = than?.outbound_price === undefined ? undefined : microsOf(than.outbound_price);
  return other === undefined || price < other;
};
