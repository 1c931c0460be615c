/**
 * Destinations that are not a place but users: `registered` (all users of the trunk) and `registered:USER`. They stand where
 * a place does, so that priority, weight and failover mean what they always do; no host name has the second form, and a
 * host of the first can be written `sip:registered`.
 */
import type { ContactWay, ContactsView, DecideContext, Destination, ReachableContact } from './decision.js';
import type { Draft } from './draft.js';
import type { Target } from './table.js';

export interface RegisteredUser {
  /** Undefined: all users of the trunk. */
  readonly userName: string | undefined;
}

const WORD = 'registered';
const MAX_USER = 64;

/** @returns undefined when it is a place, or nothing */
export function parseRegistered(text: string): RegisteredUser | undefined {
  if (text === WORD) return { userName: undefined };
  if (!text.startsWith(`${WORD}:`)) return undefined;
  const userName = text.slice(WORD.length + 1);
  return userName.length > 0 && userName.length <= MAX_USER ? { userName } : undefined;
}

/** The contacts that stand for a target now: the preferred first (RFC 3261 §16.6), one after the other. */
export function contactsOf(
  target: Target,
  trunk: { readonly trunk_sid: string; readonly domain_name?: string },
  { contacts }: DecideContext,
  draft: Draft,
): readonly Omit<Destination, 'sip'>[] {
  const userName = target.registered?.userName;
  const domain = trunk.domain_name ?? 'localhost';
  const { priority, weight } = target;
  if (contacts === undefined) {
    draft.info('registration', { user: userName ?? '*' }, (d) => `where ${d.user} is registered a running node knows`);
    const user = userName ?? WORD;
    return [{ uri: `sip:${escaped(user)}@${domain}`, gateway: target.text, priority, weight, reach: { domain } }];
  }
  const found = contacts.find(trunk.trunk_sid, userName);
  tellOf(found, userName ?? '*', draft);
  return ringingTogether(found.reachable).map(([first, ...others]) => {
    const placeOf = ({ uri, userName: user, way }: ReachableContact): Omit<Destination, 'sip'> => {
      const reach = way.node === undefined ? { ...way, domain } : new ReachByNode(way, domain);
      return { uri, gateway: `${WORD}:${user}`, priority, weight, reach };
    };
    return others.length === 0 ? placeOf(first) : { ...placeOf(first), beside: others.map(placeOf) };
  });
}

/** By another node's connection. Its route is a key that calls may use, and so is in no record. */
class ReachByNode implements NonNullable<Destination['reach']> {
  readonly flow: string | undefined;
  readonly route: readonly string[] | undefined;
  readonly node: string | undefined;
  readonly domain: string;

  constructor({ flow, route, node }: ContactWay, domain: string) {
    this.flow = flow;
    this.route = route;
    this.node = node;
    this.domain = domain;
  }

  toJSON(): object {
    return { node: this.node, domain: this.domain };
  }
}

function tellOf({ reachable, elsewhere }: ReturnType<ContactsView['find']>, user: string, draft: Draft): void {
  const nodes = reachable.flatMap(({ way: { node } }) => (node === undefined ? [] : [node]));
  const data = { user, contacts: reachable.length, elsewhere };
  if (nodes.length > 0) {
    const over = { ...data, through: nodes.length, nodes: [...new Set(nodes)].join(', ') };
    return draft.info('registration', over, (d) => `${at(d)}, of them ${d.through} through ${d.nodes}`);
  }
  draft.info('registration', data, at);
}

const at = (d: { readonly user: string; readonly contacts: number; readonly elsewhere: number }): string =>
  d.elsewhere === 0
    ? `${d.user} is registered at ${d.contacts} contacts`
    : `${d.user} is registered at ${d.contacts} contacts here and ${d.elsewhere} that only another node reaches`;

/** Telephones of one user that one call rings at once. */
const MOST_TOGETHER = 8;

/**
 * RFC 3261 §16.6: one user's contacts of equal preference ring together, others one after the other. Not two ways to one
 * device: it would ring twice (RFC 5626 §5.3); nor several users: they share a trunk, not a desk.
 */
function ringingTogether(contacts: readonly ReachableContact[]): [ReachableContact, ...ReachableContact[]][] {
  const groups: [ReachableContact, ...ReachableContact[]][] = [];
  for (const contact of contacts) {
    const { userName, q, instance } = contact;
    const group = groups.find(
      (one) =>
        one[0].userName === userName &&
        one[0].q === q &&
        one.length < MOST_TOGETHER &&
        (instance === undefined || one.every((other) => other.instance !== instance)),
    );
    if (group === undefined) groups.push([contact]);
    else group.push(contact);
  }
  return groups;
}

/** RFC 3261 §25.1: what a user may not hold as it is. */
const escaped = (user: string): string => encodeURIComponent(user).replaceAll('%2B', '+');
