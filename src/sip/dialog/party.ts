/**
 * Who may speak within a dialog. Ids and tags can be learnt (a log, a trace, a proxy on the way), so that they alone prove
 * nothing: a request also has to come from where the dialog's peer is.
 */
import { nextHopOfText, isNumericHost } from '../locate/nextHop.js';
import { canonicalAddress, sameAddress } from '../transport/hop.js';
import type { CoreHost } from './host.js';
import { routeUri } from './routeSet.js';

/** What is asked of a dialog to know its peer again. */
export interface PeerPlaces {
  /** Where the message came from that made the dialog. */
  readonly peerAddress: string;
  /** The peer's Contact. */
  readonly remoteTarget: string;
  /** The proxies that stay on the way, first ours. */
  readonly routeSet: readonly string[];
}

/** Whether two addresses are of one party: `known` has proved to be the dialog's peer, `address` says it is. */
export type SameParty = (address: string, known: string) => boolean;

/** Host names looked up for one request: a peer writes as many Record-Routes as it likes. */
const MOST_NAMES = 3;

/** The ordinary case: the very address that the dialog was made with; or nobody asks. */
export const isPeerHost = (core: CoreHost, { peerAddress }: PeerPlaces, address: string): boolean =>
  core.sameParty === undefined || sameAddress(peerAddress, address);

/**
 * Whether a request from `address` is the dialog's peer's: it comes from the peer's own address, or from one that the
 * peer has named in Contact or Record-Route, or from another address of the same party.
 * @param verdict called once; within the call unless a host name has to be looked up
 */
export const askParty = (
  core: CoreHost,
  places: PeerPlaces,
  address: string,
  verdict: (isPeer: boolean) => void,
): void => {
  const { sameParty } = core;
  if (sameParty === undefined || isPeerHost(core, places, address)) return verdict(true);
  const source = plain(address);
  const names = namedHosts(places, source);
  if (names === true || sameParty(source, plain(places.peerAddress))) return verdict(true);
  lookUp(core, names, source, verdict);
};

/** IPv4 as IPv4, and one way to write IPv6. */
const plain = (address: string): string =>
  /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : canonicalAddress(address);

/** @returns true where one of the peer's places is this very address; else the names among them */
const namedHosts = ({ remoteTarget, routeSet }: PeerPlaces, source: string): readonly string[] | true => {
  const names: string[] = [];
  for (const uri of [remoteTarget, ...routeSet.map(routeUri)]) {
    const host = nextHopOfText(uri)?.host;
    if (host === undefined) continue;
    if (!isNumericHost(host)) names.push(host);
    else if (plain(host) === source) return true;
  }
  return names.slice(0, MOST_NAMES);
};

const lookUp = (core: CoreHost, names: readonly string[], source: string, verdict: (isPeer: boolean) => void): void => {
  const [name, ...others] = names;
  if (name === undefined) return verdict(false);
  core.resolver.resolve(name, (outcome) => {
    if (core.stopped()) return;
    if (outcome.ok && outcome.addresses.some((one) => plain(one) === source)) verdict(true);
    else lookUp(core, others, source, verdict);
  });
};
