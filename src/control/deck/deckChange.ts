/** What a price deck changes of a carrier's network groups. */
import { isDeepStrictEqual } from 'node:util';
import { groupId } from '../../call/routing/semantics.js';
import { microsOf } from '../../call/record/rating.js';
import type { NetworkGroup, Rate, Resource, ResourceKey } from '../../call/routing/resources.js';
import type { DeckGroup } from './deck.js';

export interface GroupPrice {
  /** `country/name` */
  readonly group: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly prefixes: number;
}

export interface DeckDifference {
  readonly upserts: readonly Resource[];
  readonly deletes: readonly ResourceKey[];
  readonly groups: Counts;
  readonly prefixes: Counts & { readonly dearer: number; readonly cheaper: number };
  /** Groups that are new, gone, or cost something else. */
  readonly prices: readonly GroupPrice[];
}

interface Counts {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly same: number;
}

/** Members that a deck may leave open: what the group has, stays. */
const KEPT = ['enabled', 'inbound_price', 'date_created'] as const satisfies readonly (keyof NetworkGroup)[];

/**
 * Makes the deck the whole of the carrier's groups. Whether a group is enabled stays as it is, and so does an inbound
 * price that the deck does not name.
 * @param now `date_updated` of what changes
 */
export function deckChange(
  carrier: string,
  groups: readonly DeckGroup[],
  current: Iterable<NetworkGroup>,
  now: string,
): DeckDifference {
  const before = new Map<string, NetworkGroup>();
  for (const group of current) before.set(groupId(group), group);
  const upserts: Resource[] = [];
  const prices: GroupPrice[] = [];
  const counts = { added: 0, removed: 0, changed: 0, same: 0 };
  const left = new Map(before);
  for (const { country_iso, name, prefixes, rate } of groups) {
    const id = groupId({ carrier, country_iso, name });
    const old = left.get(id);
    left.delete(id);
    const plain: NetworkGroup = { carrier, country_iso, name, prefixes, enabled: true, ...rate };
    if (old !== undefined && isSame(old, plain)) {
      counts.same++;
      continue;
    }
    counts[old === undefined ? 'added' : 'changed']++;
    upserts.push({ type: 'network_group', value: dated(plain, old, now) });
    if (priceText(old) !== priceText(rate)) {
      const group = `${country_iso}/${name}`;
      prices.push({ group, before: priceText(old), after: priceText(rate), prefixes: prefixes.length });
    }
  }
  for (const { country_iso, name, prefixes, ...rate } of left.values()) {
    counts.removed++;
    const group = `${country_iso}/${name}`;
    prices.push({ group, before: priceText(rate), after: undefined, prefixes: prefixes.length });
  }
  const deletes = [...left.keys()].map((id) => ({ type: 'network_group' as const, id }));
  return { upserts, deletes, groups: counts, prefixes: prefixDifference(groups, before.values()), prices };
}

const dated = (plain: NetworkGroup, old: NetworkGroup | undefined, now: string): NetworkGroup => {
  if (old === undefined) return { ...plain, date_created: now, date_updated: now };
  const kept = Object.fromEntries(KEPT.flatMap((name) => (old[name] === undefined ? [] : [[name, old[name]]])));
  const own = plain.inbound_price === undefined ? {} : { inbound_price: plain.inbound_price };
  return { ...plain, ...kept, ...own, date_updated: now };
};

/** Whether nothing but what is kept differs; prefixes in whatever order. */
const isSame = (old: NetworkGroup, plain: NetworkGroup): boolean => {
  const { prefixes: oldPrefixes, date_updated: _date, ...before } = old;
  const { prefixes, date_updated: _updated, ...after } = dated(plain, old, '');
  if (prefixes.length !== oldPrefixes.length || !isDeepStrictEqual(canonical(before), canonical(after))) return false;
  const sorted = [...oldPrefixes].sort();
  return prefixes.every((prefix, i) => prefix === sorted[i]);
};

const MONEY = ['inbound_price', 'outbound_price', 'setup_fee', 'minimum_charge'] as const;

/** `0.010` is what `0.01` is. */
const canonical = (group: object): object => {
  const copy: Record<string, unknown> = { ...group };
  for (const name of MONEY) if (typeof copy[name] === 'string') copy[name] = microsOf(copy[name]);
  return copy;
};

const priceText = (rate: Rate | undefined): string | undefined =>
  rate?.outbound_price === undefined
    ? undefined
    : `${rate.outbound_price}${rate.currency === undefined ? '' : ` ${rate.currency}`}`;

const microsOfRate = ({ outbound_price }: Rate): number =>
  outbound_price === undefined ? -1 : (microsOf(outbound_price) ?? -1);

function prefixDifference(groups: readonly DeckGroup[], current: Iterable<NetworkGroup>): DeckDifference['prefixes'] {
  const before = new Map<string, number>();
  for (const group of current) for (const prefix of group.prefixes) before.set(prefix, microsOfRate(group));
  const counts = { added: 0, removed: 0, changed: 0, same: 0, dearer: 0, cheaper: 0 };
  for (const { prefixes, rate } of groups) {
    const price = microsOfRate(rate);
    for (const prefix of prefixes) {
      const old = before.get(prefix);
      if (old === undefined) {
        counts.added++;
        continue;
      }
      before.delete(prefix);
      if (old === price) counts.same++;
      else {
        counts.changed++;
        counts[old < price ? 'dearer' : 'cheaper']++;
      }
    }
  }
  counts.removed = before.size;
  return counts;
}
