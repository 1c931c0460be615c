import { CLASS, LOWER, matchesWord, sameLetters, TOKEN } from './chars.js';

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

/** Fields that the parser reads itself; `FieldName.hot`, and the index into `ScannedFields.first`. */
export const HOT_FROM = 0;
export const HOT_TO = 1;
export const HOT_CALL_ID = 2;
export const HOT_CSEQ = 3;
export const HOT_MAX_FORWARDS = 4;
/** Those before this one may stand once only. */
export const HOT_ONCE = 5;
export const HOT_VIA = 5;
export const HOT_CONTACT = 6;
export const HOT_CONTENT_LENGTH = 7;
/** How many there are. */
export const HOT_NAMES = 8;

const HOT: Record<string, number> = {
  From: HOT_FROM,
  To: HOT_TO,
  'Call-ID': HOT_CALL_ID,
  CSeq: HOT_CSEQ,
  'Max-Forwards': HOT_MAX_FORWARDS,
  Via: HOT_VIA,
  Contact: HOT_CONTACT,
  'Content-Length': HOT_CONTENT_LENGTH,
};

/** One known spelling. */
export interface FieldName {
  readonly hash: number;
  readonly lower: string;
  readonly canonical: string;
  /** Octets of the canonical spelling and a colon: how nearly every field begins. */
  readonly prefix: Uint8Array;
  /** HOT_..., or -1. */
  readonly hot: number;
}

const SIZE = 1024;
/** Open hash table over the lower-case spellings: a name is found in the wire text without making a string of it. */
const TABLE: (FieldName | undefined)[] = new Array<FieldName | undefined>(SIZE).fill(undefined);
/** Canonical spellings by their first and third octet. */
const PREFIXES: FieldName[][] = Array.from({ length: 1024 }, () => []);
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

const prefixKey = (first: number, third: number): number => (first ^ (third << 3)) & 1023;

const learn = (spelling: string, canonical: string): void => {
  const lower = spelling.toLowerCase();
  const hash = hashOf(lower);
  let slot = hash & (SIZE - 1);
  while (TABLE[slot] !== undefined) slot = (slot + 1) & (SIZE - 1);
  const entry = {
    hash,
    lower,
    canonical,
    prefix: Uint8Array.from(Buffer.from(canonical + ':')),
    hot: HOT[canonical] ?? -1,
  };
  TABLE[slot] = entry;
  if (spelling === canonical) PREFIXES[prefixKey(entry.prefix[0]!, entry.prefix[2]!)]!.push(entry);
  for (const known of [spelling, lower, spelling.toUpperCase()]) SPELLINGS.set(known, canonical);
};
for (const [name, compact] of REGISTERED) {
  learn(name, name);
  if (compact !== undefined) learn(compact, name);
}
// Where several begin alike, those that come with every message are tried first.
for (const alike of PREFIXES) alike.sort((a, b) => Number(b.hot >= 0) - Number(a.hot >= 0));

const LINE_STARTS = new Map(REGISTERED.map(([name]) => [name, `\r\n${name}: `]));

/** The line end of the field before, the name and its colon. */
export function lineStart(canonical: string): string {
  return LINE_STARTS.get(canonical) ?? '\r\n' + canonical + ': ';
}

/** The registered name that stands at `i` in its canonical spelling, directly followed by a colon: the short way. */
export function findPrefix(octets: Uint8Array, i: number): FieldName | undefined {
  if (i + 2 >= octets.length) return undefined;
  const candidates = PREFIXES[prefixKey(octets[i]!, octets[i + 2]!)]!;
  for (let k = 0; k < candidates.length; k++) {
    const entry = candidates[k]!;
    const { prefix } = entry;
    let at = 0;
    while (at < prefix.length && octets[i + at] === prefix[at]) at++;
    if (at === prefix.length) return entry;
  }
  return undefined;
}

/** Looks up the name at `text[start, end)`, whose hash is known; undefined for names not in the table. */
export function findField(text: string, start: number, end: number, hash: number): FieldName | undefined {
  let slot = hash & (SIZE - 1);
  for (let entry = TABLE[slot]; entry !== undefined; entry = TABLE[slot]) {
    if (entry.hash === hash && matchesWord(text, start, end, entry.lower)) return entry;
    slot = (slot + 1) & (SIZE - 1);
  }
  return undefined;
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
