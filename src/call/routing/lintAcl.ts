/** Networks that meet: the same address on two trunks, or on a trunk and a carrier. */
import type { Report } from './finding.js';
import { type Network, formatNetwork, parseNetwork, wordMask } from './ipAddress.js';
import type { IpRange } from './resources.js';
import type { RoutingDocument } from './shapes.js';

interface Listed {
  readonly network: Network;
  readonly kind: 'carrier' | 'trunk';
  readonly id: string;
  readonly path: string;
}

/** Whether one of the ranges holds an address. */
export function coversAddress(ranges: readonly IpRange[], address: string): boolean {
  const wanted = parseNetwork(address);
  if (wanted === undefined) return false;
  return ranges.some((range) => {
    const network = parseNetwork(range.ip, range.mask);
    return network !== undefined && contains(network, wanted);
  });
}

/** Whether every address of `inner` is in `outer` too. */
export function contains(outer: Network, inner: Network): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  return outer.words.every((word, i) => word === maskedWord(inner, outer, i));
}

function maskedWord(network: Network, by: Network, index: number): number {
  const word = network.words[index] as number;
  if (network.family === 6) return (word & wordMask(by.length, index)) >>> 0;
  return index === 3 ? (word & wordMask(by.length, 0)) >>> 0 : 0;
}

/**
 * Networks are nested or apart, so a pass in order of address with a stack of those still open meets every pair that
 * overlaps at its innermost: one finding for each network, against its nearest cover of another owner.
 */
export function checkOverlaps(document: RoutingDocument, report: Report): void {
  const open: Listed[] = [];
  for (const listed of inOrder(document)) {
    while (open.length > 0 && !contains((open[open.length - 1] as Listed).network, listed.network)) open.pop();
    const cover = nearestForeign(open, listed);
    open.push(listed);
    if (cover === undefined) continue;
    const same = cover.network.length === listed.network.length;
    const relation = same ? 'is also' : `lies in ${formatNetwork(cover.network)}`;
    const message = `${formatNetwork(listed.network)} of ${listed.kind} ${listed.id} ${relation} of ${cover.kind} ${cover.id} (${cover.path})`;
    if (cover.kind !== listed.kind) {
      const remedy = 'Give carrier and trunk addresses of their own: direction is guessed from the called number here.';
      report('warning', 'acl_carrier_and_trunk', listed.path, [message, remedy]);
    } else if (cover.kind === 'trunk') {
      const remedy = same
        ? 'Calls from here belong to the trunk that has the calling number; make sure that each number is right.'
        : 'The longer prefix wins, so the outer trunk does not see these calls; make the networks disjoint.';
      report('warning', 'acl_overlap', listed.path, [message, remedy]);
    } else {
      report('warning', 'acl_overlap', listed.path, [
        message,
        'Set the carrier of each number, or make the networks disjoint.',
      ]);
    }
  }
}

/** Looked at from the inside out; a long run of one owner's own nested networks is not searched to its end. */
const MAX_DEPTH = 129;

function nearestForeign(open: readonly Listed[], listed: Listed): Listed | undefined {
  for (let i = open.length - 1, seen = 0; i >= 0 && seen < MAX_DEPTH; i--, seen++) {
    const other = open[i] as Listed;
    if (other.kind !== listed.kind || other.id !== listed.id) return other;
  }
  return undefined;
}

function inOrder(document: RoutingDocument): Listed[] {
  const all: Listed[] = [];
  const collect = (kind: Listed['kind'], id: string, path: string, ranges: readonly IpRange[]): void => {
    ranges.forEach((range, i) => {
      const network = parseNetwork(range.ip, range.mask);
      if (network !== undefined) all.push({ network, kind, id, path: `${path}[${i}]` });
    });
  };
  document.carriers.forEach((carrier, i) =>
    collect('carrier', carrier.id, `carriers[${i}].source_acl`, carrier.source_acl),
  );
  document.trunks.forEach((trunk, i) =>
    collect('trunk', trunk.trunk_sid, `trunks[${i}].whitelisted_ips`, trunk.whitelisted_ips),
  );
  return all.sort(byAddress);
}

function byAddress({ network: a }: Listed, { network: b }: Listed): number {
  if (a.family !== b.family) return a.family - b.family;
  for (let i = 0; i < 4; i++) {
    const difference = (a.words[i] as number) - (b.words[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
