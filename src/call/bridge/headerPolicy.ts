/**
 * Which header fields cross from one leg to the other: data and a pure function. The rule is an allow-list. Whatever
 * is not listed is either rebuilt by the leg that sends (REBUILT) or stays where it is.
 */
import type { HeaderEntry } from '../../signal/port.js';
import type { HeaderSettings } from '../routing/headerSettings.js';
import { FORWARDING, HEADER_RULES, type MessageKind } from './headerRules.js';
import { cleanText, isToken, mentionsPrivateHost } from './headerText.js';

export type { MessageKind } from './headerRules.js';

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

const crossing = HEADER_RULES.filter(({ does, unless }) => does === 'crosses' && unless !== 'strip');

/** Names in lower case, and the messages in which they cross unchanged where trunks and carriers say nothing. */
export const PASSED: { readonly [name: string]: readonly MessageKind[] } = Object.fromEntries(
  crossing.map(({ name, in: kinds = [] }) => [name, kinds]),
);

/** Each leg has its own, or it is nobody else's. A policy cannot let them through. */
export const REBUILT: readonly string[] = HEADER_RULES.filter(({ does }) => does !== 'crosses').map(({ name }) => name);

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

  /** Of pairs of ends with settings of their own; they live as long as the table that they are of. */
  readonly #pairs = new PoliciesOfPairs();
  readonly #mutual = new PoliciesOfPairs();

  /** @param ends where a message comes from and goes to */
  constructor(settings: Partial<HeaderPolicySettings> = {}, ends: Ends = {}) {
    this.settings = { ...DEFAULT_HEADER_POLICY, ...settings };
    const extra = patternsOf(this.settings.pass);
    this.#passPrefixes = extra.prefixes;
    // Tandem's own names stay inside even where an operator's list forgets them.
    this.#strip = patternsOf([...this.settings.strip, 'X-Tandem-*']);
    for (const [name, kinds] of Object.entries(PASSED)) this.#rules.set(name, new Set(kinds));
    if (this.settings.diversion === 'pass') {
      for (const name of FORWARDING) this.#rules.set(name, new Set<MessageKind>(['invite']));
    }
    this.#applySwitches(ends);
    for (const name of extra.names) if (!this.#rules.has(name)) this.#rules.set(name, 'all');
    for (const name of [...REBUILT, ...this.#strip.names]) this.#rules.delete(name);
  }

  /**
   * The policy for messages from one end to another, by what their trunk or carrier says: what the receiver lets through
   * crosses, unless either strips it. This one where neither says anything.
   */
  between(from: HeaderSettings | undefined, to: HeaderSettings | undefined): HeaderPolicy {
    if (from === undefined && to === undefined) return this;
    return this.#pairs.of(from ?? SILENT, to ?? SILENT, this.#between);
  }

  readonly #between = (from: HeaderSettings, to: HeaderSettings): HeaderPolicy => {
    const pass = [...this.settings.pass, ...(to.pass ?? [])];
    return new HeaderPolicy({ ...this.settings, pass, strip: this.#strippedBy(from, to) }, { from, to });
  };

  /**
   * The policy for what follows the INVITE, either way between two ends: what both let through crosses. This one where
   * neither says anything.
   */
  among(one: HeaderSettings | undefined, other: HeaderSettings | undefined): HeaderPolicy {
    if (one === undefined && other === undefined) return this;
    return this.#mutual.of(one ?? SILENT, other ?? SILENT, this.#among);
  }

  readonly #among = (from: HeaderSettings, to: HeaderSettings): HeaderPolicy => {
    const both = new Set(to.pass?.map((name) => name.toLowerCase()));
    const pass = [...this.settings.pass, ...(from.pass ?? []).filter((name) => both.has(name.toLowerCase()))];
    const strip = this.#strippedBy(from, to);
    return new HeaderPolicy({ ...this.settings, pass, strip }, { from, to, mutual: true });
  };

  #strippedBy(one: HeaderSettings, other: HeaderSettings): string[] {
    return [...this.settings.strip, ...(one.strip ?? []), ...(other.strip ?? [])];
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

  #applySwitches({ from, to, mutual = false }: Ends): void {
    for (const { name, in: kinds = [], switch: key, unless } of HEADER_RULES) {
      if (key === undefined) continue;
      const sent = mutual ? (from?.[key] ?? unless) === 'pass' : from?.[key] !== 'strip';
      const passes = sent && (to?.[key] ?? unless) === 'pass';
      if (passes) this.#rules.set(name, new Set(kinds));
      else this.#rules.delete(name);
      // RFC 8224 §4.1: a signature is for the Date of its request.
      if (passes && name === 'identity') this.#rules.set('date', new Set<MessageKind>(['invite', 'answer']));
    }
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

/** What was made for two ends, once. */
class PoliciesOfPairs {
  readonly #known = new WeakMap<HeaderSettings, WeakMap<HeaderSettings, HeaderPolicy>>();

  of(
    one: HeaderSettings,
    other: HeaderSettings,
    make: (one: HeaderSettings, other: HeaderSettings) => HeaderPolicy,
  ): HeaderPolicy {
    let ofOne = this.#known.get(one);
    if (ofOne === undefined) this.#known.set(one, (ofOne = new WeakMap()));
    let policy = ofOne.get(other);
    if (policy === undefined) ofOne.set(other, (policy = make(one, other)));
    return policy;
  }
}

interface Ends {
  readonly from?: HeaderSettings | undefined;
  readonly to?: HeaderSettings | undefined;
  /** Either may be the sender. */
  readonly mutual?: boolean;
}

/** An end that says nothing. */
const SILENT: HeaderSettings = {};

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
