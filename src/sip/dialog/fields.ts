/** How users' header fields get into messages, and which are the engine's own. */
import type { HeaderField } from '../face.js';
import type { SipMessage } from '../message/message.js';
import { isToken as isTokenText } from '../message/chars.js';
import { knownName } from '../message/headerNames.js';

/** Fields that only the engine writes, whatever a user supplies. */
const ENGINE_FIELDS: ReadonlySet<string> = new Set([
  'Via',
  'From',
  'To',
  'Call-ID',
  'CSeq',
  'Route',
  'Record-Route',
  'RSeq',
  'Content-Length',
]);

/** Of which a message has exactly one, so that a user's value replaces the engine's. */
const REPLACED_FIELDS: ReadonlySet<string> = new Set([
  'Contact',
  'Max-Forwards',
  'Content-Type',
  'User-Agent',
  'Server',
]);

/** Fields in which the host part `localhost` stands for our own address. */
const ADDRESS_FIELDS: ReadonlySet<string> = new Set([
  'Contact',
  'Diversion',
  'History-Info',
  'P-Asserted-Identity',
  'P-Preferred-Identity',
  'Remote-Party-ID',
]);

export const isToken = (text: string): boolean => text.length <= 256 && isTokenText(text);

/** True when the value can break out of its line. A character beyond 255 leaves as its low octet: U+010D as a CR. */
export const breaksLine = (value: string): boolean => {
  for (let i = 0; i < value.length; i++) {
    const octet = value.charCodeAt(i) & 0xff;
    if (octet === 13 || octet === 10 || octet === 0) return true;
  }
  return false;
};

/** False for text that would end a URI early, on its line or between angle brackets: RFC 3261 §25.1 has none of it. */
export const staysUri = (uri: string): boolean => {
  for (let i = 0; i < uri.length; i++) {
    const code = uri.charCodeAt(i);
    if (code <= 0x20 || code === 0x22 || code === 0x3c || code === 0x3e || code === 0x7f || code > 0xff) return false;
  }
  return true;
};

/**
 * Adds a user's fields. Names that are no token and values that would break the line are left out: nothing that a
 * user passes through can become a header of its own.
 */
export const addUserFields = (
  message: SipMessage,
  fields: readonly HeaderField[] | undefined,
  sentBy: string,
): void => {
  if (fields === undefined) return;
  let contacts = 0;
  for (let i = 0; i < fields.length; i++) {
    const [rawName, rawValue] = fields[i] as HeaderField;
    const name = knownName(rawName);
    if (breaksLine(rawValue)) continue;
    if (name === undefined) {
      if (isToken(rawName)) message.add(rawName, rawValue);
      continue;
    }
    if (ENGINE_FIELDS.has(name)) continue;
    const value = ADDRESS_FIELDS.has(name) ? replaceLocalhost(rawValue, sentBy) : rawValue;
    // A REGISTER's answer or a redirection lists several contacts; the first displaces ours.
    if (name === 'Contact' && contacts++ > 0) message.add(name, value);
    else if (REPLACED_FIELDS.has(name)) message.set(name, value);
    else message.add(name, value);
  }
};

const LOCALHOST = 'localhost';

/** `sip:alice@localhost` and `sip:localhost` name us before we know by which address we leave. */
export const replaceLocalhost = (value: string, sentBy: string): string => {
  if (!value.includes(LOCALHOST)) return value;
  for (const named of ['@localhost', 'sip:localhost', 'sips:localhost']) {
    const at = value.indexOf(named);
    if (at < 0) continue;
    const end = at + named.length;
    const next = value[end];
    if (next === undefined || next === '>' || next === ';' || next === '?' || next === ' ') {
      return value.slice(0, end - LOCALHOST.length) + sentBy + replaceLocalhost(value.slice(end), sentBy);
    }
  }
  return value;
};

const SDP_START = Buffer.from('v=0');

/** Sets body and, for a body that is plainly SDP, its type where the user gave none. */
export const setBody = (message: SipMessage, body: Buffer | undefined): void => {
  if (body === undefined || body.length === 0) return;
  message.body = body;
  if (message.header('Content-Type') === undefined && body.subarray(0, 3).equals(SDP_START)) {
    message.set('Content-Type', 'application/sdp');
  }
};
