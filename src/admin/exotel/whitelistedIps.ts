/** `/trunks/{trunk_sid}/whitelisted-ips`: the addresses that a trunk's calls come from. */
import type { FastifyInstance } from 'fastify';
import {
  type Network,
  formatIpv4,
  formatIpv6,
  formatNetwork,
  newAddressWords,
  parseAddress,
  parseNetwork,
} from '../../call/routing/ipAddress.js';
import { contains } from '../../call/routing/lintAcl.js';
import type { IpRange } from '../../call/routing/resources.js';
import { err, ok, Type } from '../../kernel/index.js';
import type { ExotelApi, Outcome } from './api.js';
import { ipData, ipId } from './data.js';
import { duplicateListed, invalid } from './faults.js';
import { friendlyName } from './fields.js';
import { type Surroundings, type TrunkList, createRoute, listRoutes, updateRoutes } from './trunkLists.js';

/** Wider networks are nobody's own: a trunk open to them is open to whoever finds it. */
const WIDEST = { 4: 8, 6: 32 } as const;

const MASK_RULE = 'must be an integer: 8 to 32 for IPv4, 32 to 128 for IPv6';

const ip = Type.String({
  minLength: 2,
  maxLength: 45,
  description: 'IPv4 or IPv6 address',
  rule: 'must be a valid IPv4 or IPv6 address',
});
const mask = Type.Integer({
  description: 'prefix length: IPv4 8 to 32, IPv6 32 to 128; default: the whole address',
  rule: MASK_RULE,
});

const CreateSchema = Type.Object({ ip, mask: Type.Optional(mask), friendly_name: Type.Optional(friendlyName) });
const UpdateSchema = Type.Object({
  ip: Type.Optional(ip),
  mask: Type.Optional(mask),
  friendly_name: Type.Optional(friendlyName),
});

export const whitelistedIps: TrunkList<IpRange> = {
  path: 'whitelisted-ips',
  member: 'whitelisted_ips',
  noun: 'whitelisted ip',
  entries: (trunk) => trunk.whitelisted_ips,
  id: ipId,
  data: ipData,
};

interface Range {
  readonly ip: string;
  readonly mask: number;
  readonly network: Network;
}

const address = newAddressWords();

/** The address in its one canonical form, and its network. */
const readRange = (text: string, bits: number | undefined): Outcome<Range> => {
  if (text.includes('%') || !parseAddress(text, address))
    return err(invalid('ip must be a valid IPv4 or IPv6 address'));
  const canonical = address.family === 4 ? formatIpv4(address.words[3] as number) : formatIpv6(address.words);
  const network = parseNetwork(text, bits);
  if (network === undefined || network.length < WIDEST[network.family]) {
    return err(invalid(`mask ${MASK_RULE}`));
  }
  return ok({ ip: canonical, mask: network.length, network });
};

const networkOf = (entry: IpRange): string => {
  const network = parseNetwork(entry.ip, entry.mask);
  return network === undefined ? '' : formatNetwork(network);
};

const meet = (a: Network, b: Network): boolean => contains(a, b) || contains(b, a);

/** The same network twice on one trunk, and addresses that belong to a carrier. */
const checkRange = (range: Range, { trunk, directory }: Surroundings, except?: IpRange): Outcome<Range> => {
  const text = formatNetwork(range.network);
  const cannot = `Unable to Whitelist-ip with ip ${range.ip} and mask ${range.mask} for TrunkSid ${trunk.trunk_sid}`;
  for (const entry of trunk.whitelisted_ips) {
    if (entry !== except && networkOf(entry) === text) return err(duplicateListed(`${cannot}: it exists already`));
  }
  // Calls from a carrier's address must stay inbound calls: whoever lists it in a trunk would draw them to himself.
  for (const carrier of directory.carriers()) {
    if (carrier.account_sid === trunk.account_sid) continue;
    for (const source of carrier.source_acl) {
      const network = parseNetwork(source.ip, source.mask);
      if (network !== undefined && meet(network, range.network)) return err(invalid(`${cannot}: it is reserved`));
    }
  }
  return ok(range);
};

const rangeFor = (text: string, bits: number | undefined, at: Surroundings, except?: IpRange): Outcome<Range> => {
  const read = readRange(text, bits);
  return read.ok ? checkRange(read.value, at, except) : read;
};

export const whitelistedIpRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  listRoutes(app, api, whitelistedIps);
  createRoute(app, api, whitelistedIps, {
    summary: 'Lets calls from an address into a trunk',
    body: CreateSchema,
    write: (body, fresh, at) => {
      const range = rangeFor(body.ip, body.mask, at);
      if (!range.ok) return range;
      const named = body.friendly_name === undefined ? {} : { friendly_name: body.friendly_name };
      return ok({ ip: range.value.ip, mask: range.value.mask, ...named, ...fresh });
    },
  });
  updateRoutes(app, api, whitelistedIps, {
    summary: 'Changes a whitelisted ip',
    body: UpdateSchema,
    write: (body, entry, at) => {
      // A new address without a mask is one address, as in POST.
      const bits = body.mask ?? (body.ip === undefined ? entry.mask : undefined);
      const range = rangeFor(body.ip ?? entry.ip, bits, at, entry);
      if (!range.ok) return range;
      const named = body.friendly_name === undefined ? {} : { friendly_name: body.friendly_name };
      return ok({ ...entry, ip: range.value.ip, mask: range.value.mask, ...named });
    },
  });
};
