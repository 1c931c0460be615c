import ipaddr from 'ipaddr.js';
import { TandemError } from '../../kernel/index.js';

type Address = ReturnType<typeof ipaddr.parse>;
type Block = readonly [Address, number];

/**
 * Public by its range, yet it answers only to the machines of one cloud: the host agent that hands out certificates and
 * settings.
 */
const NEVER: ReadonlySet<string> = new Set(['168.63.129.16']);

/** RFC 6052: an IPv4 address behind the well-known NAT64 prefix 64:ff9b::/96. */
const WELL_KNOWN_NAT64 = [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/**
 * Which addresses may be connected to when a tenant names the host (S15): none of the private, loopback, link-local,
 * multicast and reserved ranges, in whatever notation, but those of `allowed`.
 *
 * @param allowed networks such as `127.0.0.0/8` or single addresses, for bots that live next door;
 *   `*`: every address there is
 * @returns the policy for one numeric address, as BotStreamDeps.mayConnect wants it; anything that is not a plain
 *   numeric address is refused
 * @throws TandemError `bad_network` naming an entry of `allowed` that is no network
 */
export const egressPolicy = (allowed: readonly string[]): ((address: string) => boolean) => {
  if (allowed.includes('*')) return () => true;
  const blocks = allowed.map(readBlock);
  return (text) => {
    const address = readAddress(text);
    if (address === undefined) return false;
    return blocks.some((block) => within(address, block)) || isPublic(address);
  };
};

const readBlock = (text: string): Block => {
  const [network = '', length] = text.split(/\/(?=\d{1,3}$)/);
  const address = readAddress(network);
  const most = address?.kind() === 'ipv4' ? 32 : 128;
  if (address === undefined || Number(length ?? most) > most) {
    throw new TandemError({ code: 'bad_network', message: `"${text}" is neither a network nor an address` });
  }
  return [address, Number(length ?? most)];
};

/** The address that is really meant: one of IPv4 in the clothes of IPv6 is an address of IPv4. */
const readAddress = (text: string): Address | undefined => {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':') || !ipaddr.IPv6.isValid(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  const bytes = address.toByteArray();
  if (WELL_KNOWN_NAT64.every((byte, at) => bytes[at] === byte)) return new ipaddr.IPv4(bytes.slice(12));
  return address;
};

const within = (address: Address, [network, length]: Block): boolean =>
  address.kind() === network.kind() && address.match(network, length);

const isPublic = (address: Address): boolean => {
  if (address.range() !== 'unicast' || NEVER.has(address.toString())) return false;
  // Of IPv6 only 2000::/3 is in use between networks (RFC 4291 §2.4, IANA); ::/96 would hide addresses of IPv4.
  return address.kind() === 'ipv4' || ((address.toByteArray()[0] as number) & 0xe0) === 0x20;
};
