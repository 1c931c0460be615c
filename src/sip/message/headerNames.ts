import { CLASS, LOWER, sameLetters, TOKEN } from './chars.js';

/** Canonical spelling and, where one is registered, compact form (RFC 3261 §7.3.3 and the IANA registry). */
const REGISTERED: readonly (readonly [name: string, compact?: string])[] = [
  ['Accept'],
  ['Accept-Contact', 'a'],
  ['Accept-Encoding'],
  ['Accept-Language'],
  ['Alert-Info'],
  ['Allow'],
  ['Allow-Events', 'u'],
  ['Authentication-Info'],
  ['Authorization'],
  ['Call-ID', 'i'],
  ['Call-Info'],
  ['Contact', 'm'],
  ['Content-Disposition'],
  ['Content-Encoding', 'e'],
  ['Content-Language'],
  ['Content-Length', 'l'],
  ['Content-Type', 'c'],
  ['CSeq'],
  ['Date'],
  ['Diversion'],
  ['Error-Info'],
  ['Event', 'o'],
  ['Expires'],
  ['Flow-Timer'],
  ['From', 'f'],
  ['History-Info'],
  ['Identity', 'y'],
  ['In-Reply-To'],
  ['Info-Package'],
  ['Join'],
  ['Max-Forwards'],
  ['MIME-Version'],
  ['Min-Expires'],
  ['Min-SE'],
  ['Organization'],
  ['P-Access-Network-Info'],
  ['P-Asserted-Identity'],
  ['P-Called-Party-ID'],
  ['P-Charging-Vector'],
  ['P-Early-Media'],
  ['P-Preferred-Identity'],
  ['Path'],
  ['Priority'],
  ['Privacy'],
  ['Proxy-Authenticate'],
  ['Proxy-Authorization'],
  ['Proxy-Require'],
  ['RAck'],
  ['Reason'],
  ['Record-Route'],
  ['Recv-Info'],
  ['Refer-To', 'r'],
  ['Referred-By', 'b'],
  ['Reject-Contact', 'j'],
  ['Remote-Party-ID'],
  ['Replaces'],
  ['Reply-To'],
  ['Request-Disposition', 'd'],
  ['Require'],
  ['Retry-After'],
  ['Route'],
  ['RSeq'],
  ['Server'],
  ['Service-Route'],
  ['Session-Expires', 'x'],
  ['SIP-ETag'],
  ['SIP-If-Match'],
  ['Subject', 's'],
  ['Subscription-State'],
  ['Supported', 'k'],
  ['Timestamp'],
  ['To', 't'],
  ['Unsupported'],
  ['User-Agent'],
  ['User-to-User'],
  ['Via', 'v'],
  ['Warning'],
  ['WWW-Authenticate'],
];

/** Fields that may stand once only in a message: bits of `FieldName.once`. */
export const ONCE_FROM = 1;
export const ONCE_TO = 2;
export const ONCE_CALL_ID = 4;
export const ONCE_CSEQ = 8;
export const ONCE_MAX_FORWARDS = 16;

const ONCE: Record<string, number> = {
  From: ONCE_FROM,
  To: ONCE_TO,
  'Call-ID': ONCE_CALL_ID,
  CSeq: ONCE_CSEQ,
  'Max-Forwards': ONCE_MAX_FORWARDS,
};

/** One known spelling. */
export interface FieldName {
  readonly hash: number;
  readonly lower: string;
  readonly canonical: string;
  readonly once: number;
}

const SIZE = 1024;
/** Open hash table over the lower-case spellings: a name is found in the wire text without making a string of it. */
const TABLE: (FieldName | undefined)[] = new Array<FieldName | undefined>(SIZE).fill(undefined);
/** Exact spellings, for names given by the program. */
const SPELLINGS = new Map<string, string>();

const hashOf = (lower: string): number => {
  let hash = 0;
  for (let i = 0; i < lower.length; i++) hash = nextHash(hash, lower.charCodeAt(i));
  return hash;
};

/** Hash of a name, continued by one octet in lower case. */
export function nextHash(hash: number, octet: number): number {
  return (Math.imul(hash, 31) + octet) | 0;
}

const learn = (spelling: string, canonical: string): void => {
  const lower = spelling.toLowerCase();
  const hash = hashOf(lower);
  let slot = hash & (SIZE - 1);
  while (TABLE[slot] !== undefined) slot = (slot + 1) & (SIZE - 1);
  TABLE[slot] = { hash, lower, canonical, once: ONCE[canonical] ?? 0 };
  for (const known of [spelling, lower, spelling.toUpperCase()]) SPELLINGS.set(known, canonical);
};
for (const [name, compact] of REGISTERED) {
  learn(name, name);
  if (compact !== undefined) learn(compact, name);
}

/** Looks up the name at `text[start, end)`, whose hash is known; undefined for names not in the table. */
export function findField(text: string, start: number, end: number, hash: number): FieldName | undefined {
  let slot = hash & (SIZE - 1);
  for (let entry = TABLE[slot]; entry !== undefined; entry = TABLE[slot]) {
    if (entry.hash === hash && isSpelledAt(text, start, end, entry.lower)) return entry;
    slot = (slot + 1) & (SIZE - 1);
  }
  return undefined;
}

function isSpelledAt(text: string, start: number, end: number, lower: string): boolean {
  if (end - start !== lower.length) return false;
  for (let k = 0; k < lower.length; k++) {
    if (LOWER[text.charCodeAt(start + k)] !== lower.charCodeAt(k)) return false;
  }
  return true;
}

/** The registered name for any spelling of it, compact forms included; undefined when it is none of them. */
export function knownName(raw: string): string | undefined {
  const exact = SPELLINGS.get(raw);
  if (exact !== undefined) return exact;
  let hash = 0;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c > 255 || (CLASS[c]! & TOKEN) === 0) return undefined;
    hash = nextHash(hash, LOWER[c]!);
  }
  return findField(raw, 0, raw.length, hash)?.canonical;
}

/** `v`, `via` and `VIA` become `Via`; unknown names stay as written. */
export function canonicalName(raw: string): string {
  return knownName(raw) ?? raw;
}

/** True when both spellings name the same field. */
export function sameName(a: string, b: string): boolean {
  return a === b || sameLetters(canonicalName(a), canonicalName(b));
}
