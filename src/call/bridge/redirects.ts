/** Where a 3xx to an INVITE sends the call, as far as it may go there (RFC 3261 §8.1.3.4). Pure. */
import type { SignalMessage } from '../../signal/port.js';
import type { Decision, Destination } from '../routing/decision.js';
import { escapeUser, hostOf, parseAddress, unescapeUser, userOf } from './headerText.js';

/** Of one response; more would be a flood. */
const MAX_CONTACTS = 5;
/** Of one call: redirections that lead to redirections end. */
export const MAX_REDIRECTIONS = 10;

/**
 * Whether this answer names other places for the call. 305 wants a proxy in our stead, 380 describes another service:
 * neither is a place; what is unknown counts as 300 (§8.1.3.2).
 */
const namesPlaces = (status: number): boolean => status >= 300 && status < 400 && status !== 305 && status !== 380;

const Q = /;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)/i;
const PORT = /^:(\d{1,5})$/;

interface Contact {
  readonly uri: string;
  /** 1 where it says nothing. */
  readonly q: number;
  readonly saysQ: boolean;
}

/** A field may list several; commas within quotes and angle brackets separate nothing. */
const splitContacts = (field: string): string[] => {
  const values: string[] = [];
  let start = 0;
  let quoted = false;
  let bracketed = false;
  for (let i = 0; i < field.length && values.length < MAX_CONTACTS; i++) {
    const char = field[i];
    if (char === '\\' && quoted) i++;
    else if (char === '"' && !bracketed) quoted = !quoted;
    else if (quoted) continue;
    else if (char === '<' || char === '>') bracketed = char === '<';
    else if (char === ',' && !bracketed) {
      values.push(field.slice(start, i));
      start = i + 1;
    }
  }
  return [...values, field.slice(start)];
};

const contactsOf = (message: SignalMessage): Contact[] => {
  const contacts: Contact[] = [];
  for (const [name, field] of message.headers()) {
    if (name.toLowerCase() !== 'contact') continue;
    for (const value of splitContacts(field)) {
      if (contacts.length >= MAX_CONTACTS) break;
      const { uri } = parseAddress(value);
      const parameters = value.slice(value.lastIndexOf('>') + 1);
      const q = Q.exec(parameters)?.[1];
      contacts.push({ uri, q: Number(q ?? 1), saysQ: q !== undefined });
    }
  }
  // Equals stay in their order: sorting is stable.
  return contacts.sort((one, other) => other.q - one.q);
};

/** The part after the host: port and transport, and nothing else that a stranger wrote. */
const placeOf = (uri: string): string | undefined => {
  const host = hostOf(uri);
  const rest = uri.slice(uri.indexOf(host, uri.indexOf('@') + 1) + host.length);
  const [port = '', ...parameters] = rest.split('?', 1)[0]?.split(';') ?? [];
  if (port !== '' && !(Number(PORT.exec(port)?.[1] ?? 0) > 0 && Number(port.slice(1)) < 65_536)) return undefined;
  const transport = parameters.map((one) => /^transport=(udp|tcp|tls)$/i.exec(one.trim())?.[1]).find((one) => one);
  return `${host}${port}${transport === undefined ? '' : `;transport=${transport.toLowerCase()}`}`;
};

/**
 * The redirections of one answer that are followed, the most wanted first. A call stays with the carrier or trunk that it
 * was decided to go to: at the hosts of its gateways or destinations, or such as `redirect_hosts` names. A carrier may
 * send it to another switch, and not to another number: price, prefixes and limits are those of the number called.
 * @param tried URIs, in lower case, that a loop would come back to
 */
export const redirectionsOf = (
  message: SignalMessage,
  from: Destination,
  { destinations }: Pick<Decision, 'destinations'>,
  tried: ReadonlySet<string>,
): Destination[] => {
  const { sip, carrierId } = from;
  if (sip?.redirects !== 'follow' || !namesPlaces(message.status ?? 0)) return [];
  const hosts = new Set((sip.redirect_hosts ?? []).map((host) => host.toLowerCase()));
  for (const one of destinations) if (one.carrierId === carrierId) hosts.add(hostOf(one.uri).toLowerCase());
  const followed: Destination[] = [];
  let before: Contact | undefined;
  for (const contact of contactsOf(message)) {
    const { uri } = contact;
    const place = /^sip:/i.test(uri) && hosts.has(hostOf(uri).toLowerCase()) ? placeOf(uri) : undefined;
    const user = unescapeUser(userOf(uri));
    const same = user === unescapeUser(userOf(from.uri));
    if (place === undefined || user === '' || (carrierId !== undefined && !same)) continue;
    const to = `sip:${escapeUser(user)}@${place}`;
    if (tried.has(to.toLowerCase())) continue;
    const next: Destination = { ...from, uri: to, gateway: place, beside: undefined };
    const last = followed.at(-1);
    if (last !== undefined && ringTogether(before, contact, from)) followed[followed.length - 1] = besides(last, next);
    else followed.push(next);
    before = contact;
  }
  return followed;
};

/**
 * RFC 3261 §16.6: those of equal preference ring together. Where nothing is said of it the order is a preference, too; the
 * switches of a carrier would call one number twice; and a name may lead where it must not: that is asked one at a time.
 */
const ringTogether = (one: Contact | undefined, other: Contact, { carrierId }: Destination): boolean =>
  one?.saysQ === true && other.saysQ && one.q === other.q && carrierId === undefined && isPlace(one) && isPlace(other);

const isPlace = ({ uri }: Contact): boolean => /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[.*\])$/.test(hostOf(uri));

const besides = (first: Destination, other: Destination): Destination => ({
  ...first,
  beside: [...(first.beside ?? []), other],
});

/** RFC 3261 §8.1.3.4: the next Contact is tried, unless somebody has decided for all of them. */
export const decidesForAll = (status: number): boolean => status >= 600 || status === 486;
