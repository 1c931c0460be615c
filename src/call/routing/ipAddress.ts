/**
 * IP addresses as numbers, read by character codes. Strict on purpose: no octal, hexadecimal or shortened IPv4 forms,
 * because two readers that disagree about an address are a way around an access list.
 */

/** Reused by callers on the packet path; `words[3]` alone holds an IPv4 address. Unsigned 32-bit values. */
export interface AddressWords {
  family: 0 | 4 | 6;
  readonly words: Uint32Array;
}

export const newAddressWords = (): AddressWords => ({ family: 0, words: new Uint32Array(4) });

/** Longest text of an IPv6 address, the embedded IPv4 tail included. */
const MAX_TEXT = 45;

/**
 * Reads dotted IPv4 into one number.
 * @returns 0..2^32-1, or -1 when `text` from `start` on is no IPv4 address.
 */
export function parseIpv4(text: string, start = 0): number {
  let address = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0 || ++dots > 3) return -1;
      address = address * 256 + octet;
      octet = 0;
      digits = 0;
      continue;
    }
    if (code < 0x30 || code > 0x39) return -1;
    if (digits > 0 && octet === 0) return -1; // a leading zero would be octal to some readers
    octet = octet * 10 + code - 0x30;
    if (++digits > 3 || octet > 255) return -1;
  }
  return digits === 0 || dots !== 3 ? -1 : address * 256 + octet;
}

function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const groups = new Uint16Array(8);

/** Fills `groups` from text; returns the position of `::` (-1 none, -2 malformed) and the count through `groupCount`. */
let groupCount = 0;
function readGroups(text: string): number {
  groupCount = 0;
  let gap = -1;
  let value = 0;
  let digits = 0;
  let groupStart = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x3a) {
      if (digits > 0) {
        if (groupCount === 8) return -2;
        groups[groupCount++] = value;
        value = 0;
        digits = 0;
        if (i === text.length - 1) return -2;
      } else if (i === 0) {
        if (text.charCodeAt(1) !== 0x3a) return -2;
      } else {
        if (gap >= 0) return -2;
        gap = groupCount;
      }
      groupStart = i + 1;
      continue;
    }
    if (code === 0x2e) {
      const tail = parseIpv4(text, groupStart);
      if (tail < 0 || groupCount > 6) return -2;
      groups[groupCount++] = tail >>> 16;
      groups[groupCount++] = tail & 0xffff;
      return gap;
    }
    const hex = hexValue(code);
    if (hex < 0 || ++digits > 4) return -2;
    value = value * 16 + hex;
  }
  if (digits > 0) {
    if (groupCount === 8) return -2;
    groups[groupCount++] = value;
  }
  return gap;
}

/**
 * Reads an IPv4 or IPv6 address. IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is IPv4: a dual-stack socket must not be a second
 * name for the same peer. A zone (`fe80::1%eth0`) is left out.
 * @returns false when `text` is no address; `into` is then undefined in content.
 */
export function parseAddress(text: string, into: AddressWords): boolean {
  into.family = 0;
  const words = into.words;
  const v4 = parseIpv4(text);
  if (v4 >= 0) {
    into.family = 4;
    words[0] = words[1] = words[2] = 0;
    words[3] = v4;
    return true;
  }
  const zone = text.indexOf('%');
  const bare = zone < 0 ? text : text.slice(0, zone);
  if (bare.length < 2 || bare.length > MAX_TEXT) return false;
  const gap = readGroups(bare);
  if (gap === -2) return false;
  if (gap < 0 ? groupCount !== 8 : groupCount > 7) return false;
  if (gap >= 0) {
    const moved = groupCount - gap;
    groups.copyWithin(8 - moved, gap, groupCount);
    groups.fill(0, gap, 8 - moved);
  }
  for (let i = 0; i < 4; i++) words[i] = ((groups[2 * i] as number) << 16) | (groups[2 * i + 1] as number);
  into.family = words[0] === 0 && words[1] === 0 && words[2] === 0xffff ? 4 : 6;
  return true;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** RFC 5952 text: lower case, the longest run of zero groups (two or more) written `::`. */
export function formatIpv6(words: ArrayLike<number>): string {
  const parts: number[] = [];
  for (let i = 0; i < 4; i++) parts.push((words[i] as number) >>> 16, (words[i] as number) & 0xffff);
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && parts[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const hex = (from: number, to: number) =>
    parts
      .slice(from, to)
      .map((part) => part.toString(16))
      .join(':');
  return best < 0 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`;
}

/** A network: address bits below the prefix length are zero. `length` counts in the family's own bits. */
export interface Network {
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];
  readonly length: number;
}

/** The part of word `index` that a prefix of `length` bits covers (128-bit numbering; IPv4 sits in the last word). */
export function wordMask(length: number, index: number): number {
  const bits = length - 32 * index;
  if (bits >= 32) return 0xffffffff;
  return bits <= 0 ? 0 : (-1 << (32 - bits)) >>> 0;
}

const parsed = newAddressWords();

/**
 * @param ip address without a prefix length
 * @param mask prefix length; undefined = the whole address
 * @returns undefined when the address is malformed or the mask does not fit it
 */
export function parseNetwork(ip: string, mask?: number): Network | undefined {
  if (ip.includes('%') || !parseAddress(ip, parsed)) return undefined;
  const w = parsed.words;
  if (parsed.family === 4) {
    const mapped = ip.includes(':');
    const length = mask === undefined ? 32 : mapped ? mask - 96 : mask;
    if (!Number.isInteger(length) || length < 0 || length > 32) return undefined;
    return { family: 4, words: [0, 0, 0, ((w[3] as number) & wordMask(length, 0)) >>> 0], length };
  }
  const length = mask ?? 128;
  if (!Number.isInteger(length) || length < 0 || length > 128) return undefined;
  const at = (i: number) => ((w[i] as number) & wordMask(length, i)) >>> 0;
  return { family: 6, words: [at(0), at(1), at(2), at(3)], length };
}

/** `192.0.2.0/24`, `2001:db8::/32`. */
export function formatNetwork(network: Network): string {
  const text = network.family === 4 ? formatIpv4(network.words[3]) : formatIpv6(network.words);
  return `${text}/${network.length}`;
}
