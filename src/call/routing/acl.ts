import { type Network, formatNetwork, newAddressWords, parseAddress, wordMask } from './ipAddress.js';
import { NumberKeyMap } from './shardedMap.js';

/** Who a source address belongs to. */
export interface AclOwner {
  readonly kind: 'carrier' | 'trunk';
  readonly id: string;
}

/** The rule that let a source in: the longest prefix, and everybody who listed it. */
export interface AclMatch {
  readonly cidr: string;
  readonly owners: readonly AclOwner[];
}

/** One IPv6 network. Networks whose hashes collide hang in a chain: the table's answer rests on the words alone. */
interface Ipv6Entry {
  readonly words: Network['words'];
  readonly length: number;
  readonly owners: readonly AclOwner[];
  readonly next: Ipv6Entry | undefined;
}

/** The rule's text is made when it is read: most lookups only ask who the owner is. */
class Match implements AclMatch {
  readonly owners: readonly AclOwner[];
  readonly #length: number;
  readonly #words: Network['words'];
  readonly #family: 4 | 6;

  constructor(owners: readonly AclOwner[], length: number, words: Network['words'], family: 4 | 6 = 4) {
    this.owners = owners;
    this.#length = length;
    this.#words = words;
    this.#family = family;
  }

  get cidr(): string {
    return formatNetwork({ family: this.#family, words: this.#words, length: this.#length });
  }
}

const ipv4Key = (prefix: number, length: number): number => length * 4294967296 + prefix + 1;

function ipv6Key(words: ArrayLike<number>, length: number): number {
  let high = Math.imul(length + 1, 0x9e3779b1);
  let low = length;
  for (let i = 0; i < 4; i++) {
    const word = (words[i] as number) & wordMask(length, i);
    high = Math.imul(high ^ word, 0x85ebca6b);
    high ^= high >>> 15;
    low = Math.imul(low ^ word, 0xc2b2ae35);
    low ^= low >>> 13;
  }
  return (high >>> 0) * 1048576 + (low >>> 12) + 1;
}

function covers(entry: Ipv6Entry, words: ArrayLike<number>, length: number): boolean {
  if (entry.length !== length) return false;
  for (let i = 0; i < 4; i++) {
    if (entry.words[i] !== ((words[i] as number) & wordMask(length, i)) >>> 0) return false;
  }
  return true;
}

/**
 * Longest-prefix match over IPv4 and IPv6 networks: one hash lookup for each prefix length in use, longest first.
 * Written by the table's builder, then frozen.
 */
export class Acl {
  readonly #ipv4: NumberKeyMap<readonly AclOwner[]>;
  readonly #ipv6: NumberKeyMap<Ipv6Entry>;
  /** Networks by prefix length. */
  readonly #counts4: Int32Array;
  readonly #counts6: Int32Array;
  #lengths4: readonly number[];
  #lengths6: readonly number[];
  /** Lists that this version made itself and may extend in place; sorted when it is frozen. */
  #ownLists: Set<AclOwner[]> = new Set();
  #size: number;

  constructor(from?: Acl) {
    this.#ipv4 = from === undefined ? new NumberKeyMap() : from.#ipv4.fork();
    this.#ipv6 = from === undefined ? new NumberKeyMap() : from.#ipv6.fork();
    this.#counts4 = from === undefined ? new Int32Array(33) : from.#counts4.slice();
    this.#counts6 = from === undefined ? new Int32Array(129) : from.#counts6.slice();
    this.#lengths4 = from === undefined ? [] : from.#lengths4;
    this.#lengths6 = from === undefined ? [] : from.#lengths6;
    this.#size = from === undefined ? 0 : from.#size;
  }

  /** Distinct networks. */
  get size(): number {
    return this.#size;
  }

  fork(): Acl {
    return new Acl(this);
  }

  freeze(): this {
    for (const list of this.#ownLists) list.sort(byKindAndId);
    this.#ownLists = new Set();
    this.#lengths4 = lengthsInUse(this.#counts4);
    this.#lengths6 = lengthsInUse(this.#counts6);
    this.#ipv4.freeze();
    this.#ipv6.freeze();
    return this;
  }

  /** @param address a socket's address; text that is none matches nothing. */
  match(address: string): AclMatch | undefined {
    if (!readSource(address)) return undefined;
    return source.family === 4 ? this.#match4(source.words[3] as number) : this.#match6(source.words);
  }

  /** Everybody who lists the address, by whatever length of prefix: those of the longest first, each once. */
  ownersOf(address: string): readonly AclOwner[] {
    if (!readSource(address)) return [];
    let all: readonly AclOwner[] = [];
    for (const length of source.family === 4 ? this.#lengths4 : this.#lengths6) {
      const owners = this.#ownersAt(length);
      if (owners === undefined) continue;
      all = all.length === 0 ? owners : [...all, ...owners.filter((owner) => !all.some((one) => isSame(one, owner)))];
    }
    return all;
  }

  /** @param self a list of one owner, shared by all networks that are this owner's alone. */
  add(network: Network, self: readonly [AclOwner]): void {
    const owners = this.#ownersOf(network);
    if (owners === undefined) {
      this.#put(network, self);
      return;
    }
    const same = (owner: AclOwner | undefined) => owner?.kind === self[0].kind && owner.id === self[0].id;
    const list = owners as AclOwner[];
    if (this.#ownLists.has(list)) {
      // An owner's networks come in one go, so a repeated one finds itself last; a search here would be quadratic.
      if (!same(list[list.length - 1])) list.push(self[0]);
      return;
    }
    if (owners.some(same)) return;
    const extended = [...owners, self[0]];
    this.#ownLists.add(extended);
    this.#put(network, extended);
  }

  remove(network: Network, owner: AclOwner): void {
    const owners = this.#ownersOf(network);
    if (owners === undefined) return;
    const rest = owners.filter((other) => other.kind !== owner.kind || other.id !== owner.id);
    if (rest.length === owners.length) return;
    this.#put(network, rest.length === 0 ? undefined : rest);
  }

  /** Of the network of this length that holds the address just parsed. */
  #ownersAt(length: number): readonly AclOwner[] | undefined {
    if (source.family === 6) return this.#find6(source.words, length)?.owners;
    const prefix = ((source.words[3] as number) & wordMask(length, 0)) >>> 0;
    return this.#ipv4.get(ipv4Key(prefix, length));
  }

  #match4(address: number): AclMatch | undefined {
    for (const length of this.#lengths4) {
      const prefix = (address & wordMask(length, 0)) >>> 0;
      const owners = this.#ipv4.get(ipv4Key(prefix, length));
      if (owners !== undefined) return new Match(owners, length, [0, 0, 0, prefix]);
    }
    return undefined;
  }

  #match6(words: Uint32Array): AclMatch | undefined {
    for (const length of this.#lengths6) {
      const entry = this.#find6(words, length);
      if (entry !== undefined) return new Match(entry.owners, length, entry.words, 6);
    }
    return undefined;
  }

  #find6(words: ArrayLike<number>, length: number): Ipv6Entry | undefined {
    let entry = this.#ipv6.get(ipv6Key(words, length));
    while (entry !== undefined && !covers(entry, words, length)) entry = entry.next;
    return entry;
  }

  #ownersOf(network: Network): readonly AclOwner[] | undefined {
    return network.family === 4
      ? this.#ipv4.get(ipv4Key(network.words[3], network.length))
      : this.#find6(network.words, network.length)?.owners;
  }

  #put(network: Network, owners: readonly AclOwner[] | undefined): void {
    const had = this.#ownersOf(network) !== undefined;
    const change = (owners === undefined ? 0 : 1) - (had ? 1 : 0);
    this.#size += change;
    const counts = network.family === 4 ? this.#counts4 : this.#counts6;
    counts[network.length] = (counts[network.length] as number) + change;
    if (network.family === 4) {
      const key = ipv4Key(network.words[3], network.length);
      if (owners === undefined) this.#ipv4.delete(key);
      else this.#ipv4.set(key, owners);
      return;
    }
    const key = ipv6Key(network.words, network.length);
    let chain: Ipv6Entry | undefined;
    for (let entry = this.#ipv6.get(key); entry !== undefined; entry = entry.next) {
      if (!covers(entry, network.words, network.length)) chain = { ...entry, next: chain };
    }
    if (owners !== undefined) chain = { words: network.words, length: network.length, owners, next: chain };
    if (chain === undefined) this.#ipv6.delete(key);
    else this.#ipv6.set(key, chain);
  }
}

const source = newAddressWords();
/** The text that `source` was read from: a call asks about its source more than once. */
let sourceText: string | undefined;
let sourceIsAddress = false;

/** Reads an address into `source`. @returns false where it is none */
const readSource = (address: string): boolean => {
  if (address !== sourceText) {
    sourceText = address;
    sourceIsAddress = parseAddress(address, source);
  }
  return sourceIsAddress;
};

const isSame = (a: AclOwner, b: AclOwner): boolean => a.kind === b.kind && a.id === b.id;

function lengthsInUse(counts: Int32Array): number[] {
  const lengths: number[] = [];
  for (let length = counts.length - 1; length >= 0; length--) if ((counts[length] as number) > 0) lengths.push(length);
  return lengths;
}

function byKindAndId(a: AclOwner, b: AclOwner): number {
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
