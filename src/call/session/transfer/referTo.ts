/** Reads Refer-To (RFC 3515) and Replaces (RFC 3891). Linear in the text; nonsense is undefined, never an exception. */
import type { SignalMessage } from '../../../signal/port.js';
import { cleanText, parseAddress, unescapeUser, userOf } from '../../bridge/headerText.js';

/** RFC 3891 §6.1: a dialog, as whoever is asked to replace it knows it. */
export interface Replaces {
  readonly callId: string;
  /** Our tag. */
  readonly toTag: string;
  /** The peer's. */
  readonly fromTag: string;
  readonly earlyOnly: boolean;
}

export interface ReferTarget {
  /** Without its headers; cleaned, for records. */
  readonly uri: string;
  /** As received, headers included; cleaned. */
  readonly text: string;
  /** Unescaped. */
  readonly user: string;
  readonly replaces: Replaces | undefined;
}

const MAX_LENGTH = 2048;
const MAX_KEPT = 256;
const SCHEME = /^(?:sips?|tel):/i;

/**
 * @returns undefined for anything but one SIP or tel URI to be invited: RFC 3515 §2.1 allows one Refer-To and, for its
 * method, whatever we then would not do
 */
export const readReferTo = (message: SignalMessage): ReferTarget | undefined => {
  const values = message.headers().filter(([name]) => name.toLowerCase() === 'refer-to');
  const value = values[0]?.[1];
  if (values.length !== 1 || value === undefined || value.length > MAX_LENGTH) return undefined;
  const full = parseAddress(value).uri;
  if (!SCHEME.test(full)) return undefined;
  const query = full.indexOf('?');
  const uri = query < 0 ? full : full.slice(0, query);
  const method = /;\s*method\s*=\s*([^;?]*)/i.exec(uri)?.[1];
  if (method !== undefined && method.trim().toUpperCase() !== 'INVITE') return undefined;
  const embedded = query < 0 ? undefined : embeddedHeader(full.slice(query + 1), 'replaces');
  const replaces = embedded === undefined ? undefined : readReplaces(embedded);
  if (embedded !== undefined && replaces === undefined) return undefined;
  const text = cleanText(full);
  return { uri: cleanText(uri).slice(0, MAX_KEPT), text, user: unescapeUser(userOf(uri)).slice(0, 128), replaces };
};

/** RFC 3261 §19.1.1: `name=value&name=value`, escaped. No other header of a Refer-To is anything to us. */
const embeddedHeader = (text: string, name: string): string | undefined => {
  for (const part of text.split('&')) {
    const equals = part.indexOf('=');
    if (equals > 0 && part.slice(0, equals).toLowerCase() === name) return unescapeUser(part.slice(equals + 1));
  }
  return undefined;
};

/** The value of a Replaces header. */
export const readReplaces = (value: string): Replaces | undefined => {
  if (value.length > MAX_LENGTH) return undefined;
  const [callId = '', ...parameters] = value.split(';').map((part) => part.trim());
  let toTag: string | undefined;
  let fromTag: string | undefined;
  let earlyOnly = false;
  for (const parameter of parameters) {
    const equals = parameter.indexOf('=');
    const name = (equals < 0 ? parameter : parameter.slice(0, equals)).trim().toLowerCase();
    const given = equals < 0 ? '' : parameter.slice(equals + 1).trim();
    if (name === 'to-tag') toTag = given;
    else if (name === 'from-tag') fromTag = given;
    else if (name === 'early-only') earlyOnly = true;
  }
  if (callId === '' || !toTag || !fromTag) return undefined;
  return { callId, toTag, fromTag, earlyOnly };
};
