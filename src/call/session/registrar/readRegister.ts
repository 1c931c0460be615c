/** Reads a REGISTER (RFC 3261 §10.2, RFC 5626 §6, RFC 3327 §5.3): who shall be reached where, or what is wrong with it. */
import { type NameAddr, equalUri, param, parseNameAddr, parseUri, splitList } from '../../../signal/index.js';
import type { SignalMessage } from '../../../signal/port.js';
import type { Binding } from '../../registration/binding.js';
import type { ContactWish, RegisterWish } from '../../registration/rules.js';
import { hostOf, parseAddress, unescapeUser, userOf } from '../../bridge/headerText.js';

export interface RegisterRead {
  readonly user: string;
  /** Of the address of record: lower case, without port and brackets. */
  readonly host: string;
  readonly wish: RegisterWish;
  readonly path: readonly string[];
  /** The sender's own address as its Via has it was not asked to be looked at (RFC 3581): its Contact is meant. */
  readonly asksForSource: boolean;
  readonly userAgent: string | undefined;
}

/** Why a REGISTER is refused before anybody's contacts are looked at. */
export type RegisterFault = 'registration_malformed' | 'registration_needs_outbound' | 'registration_contacts_full';

/** More contacts than this in one request are nobody's. */
const MAX_IN_REQUEST = 20;
const MAX_PATH = 8;
const MAX_URI = 512;
const MAX_TEXT = 128;
/** RFC 3261 §25.1: delta-seconds up to 2^32-1; those who ask for longer get the longest. */
const DIGITS = /^\d{1,10}$/;

/** Every value of a list field, in order. */
const listOf = (message: SignalMessage, name: string): string[] => {
  if (message.header(name) === undefined) return [];
  const lower = name.toLowerCase();
  return message.headers().flatMap(([field, value]) => (field.toLowerCase() === lower ? splitList(value) : []));
};

export const readRegister = (message: SignalMessage): RegisterRead | RegisterFault => {
  const { uri } = parseAddress(message.header('To') ?? '');
  const user = unescapeUser(userOf(uri));
  const cseq = Number.parseInt(message.header('CSeq') ?? '', 10);
  const contacts = listOf(message, 'Contact');
  const path = listOf(message, 'Path');
  if (user === '' || !Number.isInteger(cseq) || path.length > MAX_PATH || contacts.length > MAX_IN_REQUEST) {
    return 'registration_malformed';
  }
  const expires = readSeconds(message.header('Expires'));
  const wishes = contacts.length === 1 && contacts[0] === '*' ? readAll(expires) : readContacts(contacts, expires);
  if (wishes === undefined) return 'registration_malformed';
  if (wishes !== 'all' && wishes.some(({ regId }) => regId !== undefined) && !reachesOutbound(message, path)) {
    return 'registration_needs_outbound';
  }
  return {
    user,
    host: hostOf(uri).toLowerCase(),
    wish: { contacts: wishes, callId: message.callId.slice(0, MAX_TEXT), cseq },
    path,
    asksForSource: /;\s*rport(?=[\s;=,]|$)/i.test(message.header('Via') ?? ''),
    userAgent: message.header('User-Agent')?.slice(0, MAX_TEXT),
  };
};

/** RFC 3261 §10.3 step 6: `*` stands alone, and for the end of all. */
const readAll = (expires: number | undefined): 'all' | undefined => (expires === 0 ? 'all' : undefined);

const readContacts = (texts: readonly string[], expires: number | undefined): ContactWish[] | undefined => {
  const wishes: ContactWish[] = [];
  for (const text of texts) {
    const address = text === '*' ? undefined : parseNameAddr(text);
    const wish = address === undefined ? undefined : readContact(address, expires);
    if (wish === undefined) return undefined;
    wishes.push(wish);
  }
  return wishes;
};

const readContact = (address: NameAddr, expires: number | undefined): ContactWish | undefined => {
  const { uri, params } = address;
  const scheme = uri.slice(0, uri.indexOf(':')).toLowerCase();
  // Calls are put through to SIP URIs; fields within them are none of a contact's business (RFC 3261 §19.1.1).
  if ((scheme !== 'sip' && scheme !== 'sips') || uri.length > MAX_URI || uri.includes('?')) return undefined;
  if (parseUri(uri) === undefined) return undefined;
  const q = readPreference(param(params, 'q'));
  if (q === undefined) return undefined;
  const instance = param(params, '+sip.instance')?.slice(0, MAX_TEXT);
  const regId = param(params, 'reg-id');
  if (instance !== undefined && /["\\]/.test(instance)) return undefined;
  // RFC 5626 §6: a reg-id without an instance is as none.
  const flow =
    instance !== undefined && instance !== '' && regId !== undefined && DIGITS.test(regId)
      ? { instance, regId: Number(regId) }
      : undefined;
  return {
    key: flow === undefined ? uri : `${flow.instance};${flow.regId}`,
    contact: uri,
    q,
    expiresS: readSeconds(param(params, 'expires')) ?? expires,
    ...flow,
  };
};

/** RFC 3261 §20.10: 0 to 1 with three decimals; thousandths. Without one, as much as any. */
const readPreference = (text: string | undefined): number | undefined => {
  if (text === undefined) return 1000;
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Math.round(Number(text) * 1000) : undefined;
};

/** RFC 3261 §10.2.1.1: what is malformed counts as not said. */
const readSeconds = (text: string | undefined): number | undefined =>
  text !== undefined && DIGITS.test(text.trim()) ? Number(text) : undefined;

/** RFC 5626 §6: behind another hop a flow is only one if that hop keeps it, and says so. */
const reachesOutbound = (message: SignalMessage, path: readonly string[]): boolean => {
  if (listOf(message, 'Via').length <= 1) return true;
  const first = path[0] === undefined ? undefined : parseNameAddr(path[0]);
  return first !== undefined && /;ob(?:[;=]|$)/i.test(first.uri);
};

/** The wish with the keys under which the same contacts are known (RFC 3261 §19.1.4): spelling does not matter. */
export const recognised = (wish: RegisterWish, known: readonly Binding[]): RegisterWish => {
  const { contacts } = wish;
  if (contacts === 'all' || known.length === 0) return wish;
  const same = contacts.map((contact) => {
    if (contact.regId !== undefined) return contact;
    const parsed = parseUri(contact.contact);
    const match = known.find(({ regId, contact: other }) => {
      const otherUri = regId === undefined ? parseUri(other) : undefined;
      return parsed !== undefined && otherUri !== undefined && equalUri(parsed, otherUri);
    });
    return match === undefined ? contact : { ...contact, key: match.key };
  });
  return { ...wish, contacts: same };
};
