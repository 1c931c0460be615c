import ipaddr from 'ipaddr.js';

/** @returns 4 or 6, or 0 when the text is no numeric address in its usual form. */
export const addressFamily = (text: string): 0 | 4 | 6 => {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return 4;
  return text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text) ? 6 : 0;
};

/** RFC 3264 §8.4: the old way to put a peer on hold. */
export const isUnspecified = (address: string): boolean => {
  const family = addressFamily(address);
  if (family === 4) return address === '0.0.0.0';
  return family === 6 && ipaddr.IPv6.parse(address).range() === 'unspecified';
};

/** Multicast and broadcast are nobody's telephone: audio sent there would serve a flood. */
export const isUnicast = (address: string): boolean => {
  const range = addressFamily(address) === 0 ? undefined : ipaddr.parse(address).range();
  return range !== undefined && range !== 'multicast' && range !== 'broadcast' && range !== 'unspecified';
};

/** One spelling for one address, so that two can be compared as text. */
export const plainAddress = (address: string): string =>
  addressFamily(address) === 6 ? ipaddr.IPv6.parse(address).toString() : address;
