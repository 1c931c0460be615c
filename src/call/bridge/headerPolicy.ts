/**
 * Which header fields cross from one leg to the other: data and a pure function. The rule is an allow-list. Whatever
 * is not listed is either rebuilt by the leg that sends (REBUILT) or stays where it is.
 */
import type { HeaderEntry } from '../../signal/port.js';
import { cleanText, isToken, mentionsPrivateHost } from './headerText.js';

/** What a message is, seen from the call. */
export type MessageKind =
  | 'invite'
  /** 101-199. */
  | 'progress'
  /** 2xx to INVITE or re-INVITE. */
  | 'answer'
  /** 300-699 to INVITE or re-INVITE. */
  | 'failure'
  /** BYE or CANCEL. */
  | 'release'
  /** Any other request within the dialog, and its final response. */
  | 'request'
  | 'response';

export interface HeaderPolicySettings {
  /**
   * Names that cross besides PASSED, in every kind of message; a trailing `*` matches any rest, case does not matter.
   * Names of PASSED may be repeated here: they still cross only where they mean something.
   */
  readonly pass: readonly string[];
  /** Names, or beginnings with `*`, that never cross, whatever else says so. */
  readonly strip: readonly string[];
  /** Diversion (RFC 5806) and History-Info (RFC 7044) name third parties and, often, internal hosts. */
  readonly diversion: 'pass' | 'strip';
  /** P-Asserted-Identity (RFC 3325), always of our own making: towards carriers only, or never. */
  readonly assertedIdentity: 'outbound' | 'never';
  /** Drop values that name private addresses or internal hosts. */
  readonly hidePrivateHosts: boolean;
}

export const DEFAULT_HEADER_POLICY: HeaderPolicySettings = {
  pass: [],
  strip: ['X-Tandem-*', 'X-Forwarded-*', 'X-Real-IP'],
  diversion: 'strip',
  assertedIdentity: 'outbound',
  hidePrivateHosts: true,
};

const INVITE_ONLY: readonly MessageKind[] = ['invite'];
const OFFERS: readonly MessageKind[] = ['invite', 'answer'];
const WITH_BODY: readonly MessageKind[] = ['invite', 'progress', 'answer', 'failure', 'request', 'response'];
const REQUEST: readonly MessageKind[] = ['request'];

/** Names in lower case, and the messages in which they cross unchanged. */
export const PASSED: { readonly [name: string]: readonly MessageKind[] } = {
  accept: [...OFFERS, 'failure', 'request', 'response'],
  'accept-contact': INVITE_ONLY,
  'accept-encoding': [...OFFERS, 'failure'],
  'accept-language': [...OFFERS, 'failure'],
  'alert-info': ['invite', 'progress'],
  'content-disposition': WITH_BODY,
  'content-encoding': WITH_BODY,
  'content-language': WITH_BODY,
  'mime-version': WITH_BODY,
  'min-expires': ['response'],
  date: ['answer'],
  'allow-events': ['request', 'response'],
  event: REQUEST,
  expires: ['request', 'response'],
  'info-package': REQUEST,
  organization: INVITE_ONLY,
  'p-early-media': ['invite', 'progress', 'request'],
  priority: INVITE_ONLY,
  privacy: ['invite', 'request'],
  reason: ['invite', 'progress', 'failure', 'release', 'request', 'response'],
  'recv-info': OFFERS,
  'reject-contact': INVITE_ONLY,
  'retry-after': ['failure', 'response'],
  subject: ['invite', 'request'],
  'subscription-state': REQUEST,
  'user-to-user': ['invite', 'progress', 'answer', 'failure', 'release', 'request'],
};

const FORWARDING: readonly string[] = ['diversion', 'history-info'];

/** Each leg has its own: the engine or `legHeaders.ts` makes them anew. A policy cannot let them through. */
export const REBUILT: readonly string[] = [
  'allow',
  'authorization',
  'call-id',
  'contact',
  'content-length',
  'content-type',
  'cseq',
  'from',
  'max-forwards',
  'min-se',
  'p-asserted-identity',
  'p-preferred-identity',
  'path',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-require',
  'rack',
  'record-route',
  'remote-party-id',
  'require',
  'route',
  'rseq',
  'server',
  'service-route',
  'session-expires',
  'supported',
  'timestamp',
  'to',
  'unsupported',
  'user-agent',
  'via',
  'www-authenticate',
];

/** Private headers are somebody else's bytes: enough of them for any honest use, no more. */
const MAX_PRIVATE_FIELDS = 32;
const MAX_VALUE_LENGTH = 4096;
/** Names are remembered up to here: they come from strangers. */
const MAX_KNOWN_NAMES = 1000;

export class HeaderPolicy {
  readonly settings: HeaderPolicySettings;
  readonly #rules = new Map<string, Rule>();
  readonly #known = new Map<string, Rule>();
  readonly #passPrefixes: readonly string[];
  readonly #strip: NamePatterns;

  constructor(settings: Partial<HeaderPolicySettings> = {}) {
    this.settings = { ...DEFAULT_HEADER_POLICY, ...settings };
    const extra = patternsOf(this.settings.pass);
    this.#passPrefixes = extra.prefixes;
    // Tandem's own names stay inside even where an operator's list forgets them.
    this.#strip = patternsOf([...this.settings.strip, 'X-Tandem-*']);
    for (const [name, kinds] of Object.entries(PASSED)) this.#rules.set(name, new Set(kinds));
    if (this.settings.diversion === 'pass') {
      for (const name of FORWARDING) this.#rules.set(name, new Set(INVITE_ONLY));
    }
    for (const name of extra.names) if (!this.#rules.has(name)) this.#rules.set(name, 'all');
    for (const name of [...REBUILT, ...this.#strip.names]) this.#rules.delete(name);
  }

  /** The fields of a message that cross to the other leg, cleaned, in their order. */
  relay(kind: MessageKind, headers: readonly HeaderEntry[]): HeaderEntry[] {
    const passed: HeaderEntry[] = [];
    let privateFields = 0;
    for (const [name, value] of headers) {
      const rule = this.#ruleOf(name);
      if (rule === 'never' || (typeof rule === 'object' && !rule.has(kind))) continue;
      if (rule === 'private' && ++privateFields > MAX_PRIVATE_FIELDS) continue;
      if (value.length > MAX_VALUE_LENGTH) continue;
      if (this.settings.hidePrivateHosts && mentionsPrivateHost(value)) continue;
      passed.push([name, cleanText(value)]);
    }
    return passed;
  }

  /** The rule for a name as written; remembered, since a node meets the same few names all day. */
  #ruleOf(name: string): Rule {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const rule = this.#work(name);
    if (this.#known.size < MAX_KNOWN_NAMES) this.#known.set(name, rule);
    return rule;
  }

  #work(name: string): Rule {
    const lower = name.toLowerCase();
    const { names, prefixes } = this.#strip;
    if (!isToken(name) || names.includes(lower) || startsWithAny(lower, prefixes)) return 'never';
    const rule = this.#rules.get(lower);
    if (rule !== undefined) return rule;
    return startsWithAny(lower, this.#passPrefixes) && !REBUILT.includes(lower) ? 'private' : 'never';
  }
}

/** In which messages a field crosses; `private`: in all, but only so many of them. */
type Rule = ReadonlySet<MessageKind> | 'all' | 'private' | 'never';

interface NamePatterns {
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

const patternsOf = (patterns: readonly string[]): NamePatterns => {
  const lower = patterns.map((pattern) => pattern.toLowerCase());
  return {
    names: lower.filter((pattern) => !pattern.endsWith('*')),
    prefixes: lower.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1)),
  };
};

const startsWithAny = (name: string, prefixes: readonly string[]): boolean => {
  for (const prefix of prefixes) if (name.startsWith(prefix)) return true;
  return false;
};
