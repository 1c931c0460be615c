/** Which addresses are on our side of a NAT. */
import { canonicalAddress } from './hop.js';

interface Net {
  readonly octets: readonly number[];
  readonly bits: number;
}

/** Octets of an address; undefined when it is none. */
const octetsOf = (address: string): readonly number[] | undefined => {
  if (!address.includes(':')) return quadOf(address);
  if (address.toLowerCase().startsWith('::ffff:') && address.includes('.')) return quadOf(address.slice(7));
  const [head = '', tail] = canonicalAddress(address).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  if (left.length + right.length > 8) return undefined;
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  const numbers = groups.map((group) => Number.parseInt(group, 16));
  if (numbers.some((number) => !(number >= 0 && number <= 0xffff))) return undefined;
  return numbers.flatMap((number) => [number >> 8, number & 0xff]);
};

const quadOf = (address: string): readonly number[] | undefined => {
  const octets: number[] = [];
  let value = -1;
  for (let i = 0; i <= address.length; i++) {
    const code = i === address.length ? 46 : address.charCodeAt(i);
    if (code === 46) {
      if (value < 0 || value > 255) return undefined;
      octets.push(value);
      value = -1;
    } else if (code >= 48 && code <= 57) value = Math.max(0, value) * 10 + code - 48;
    else return undefined;
  }
  return octets.length === 4 ? octets : undefined;
};

const holds = ({ octets, bits }: Net, address: readonly number[]): boolean => {
  if (address.length !== octets.length) return false;
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== octets[i]) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((address[whole] ?? 0) & mask) === ((octets[whole] ?? 0) & mask);
};

/** Reads `10.0.0.0/8`, `192.0.2.7`, `fd00::/8`; undefined when it is no network. */
const parseNet = (text: string): Net | undefined => {
  const slash = text.indexOf('/');
  const octets = octetsOf(slash < 0 ? text : text.slice(0, slash));
  if (octets === undefined) return undefined;
  const bits = slash < 0 ? octets.length * 8 : Number(text.slice(slash + 1));
  return Number.isInteger(bits) && bits >= 0 && bits <= octets.length * 8 ? { octets, bits } : undefined;
};

/** Whether an address is in one of the networks; texts that are none hold nothing. */
export const netsHold = (texts: readonly string[]): ((address: string) => boolean) => {
  const nets = texts.flatMap((text) => parseNet(text) ?? []);
  return (address) => {
    const octets = octetsOf(address);
    return octets !== undefined && nets.some((net) => holds(net, octets));
  };
};
