/** A price deck, row by row: prefixes gathered into network groups of one country, name and rate. */
import { countryNamed, countryOf, countryOfDigits } from '../../call/routing/countries.js';
import type { Rate } from '../../call/routing/resources.js';
import { type Result, err, ok } from '../../kernel/index.js';
import { readIncrement, readMoney, readPrefixes, readSeconds } from './cells.js';
import { type Column, type Columns, columnsOf } from './columns.js';
import type { CsvRow } from './csv.js';

const MAX_NAME = 128;

/** A group as the deck has it. */
export interface DeckGroup {
  readonly country_iso: string;
  readonly name: string;
  readonly rate: Rate;
  readonly prefixes: readonly string[];
}

export interface BadRow {
  readonly line: number;
  /** The end of a sentence: `has no prefix`. */
  readonly why: string;
}

export interface Deck {
  readonly groups: readonly DeckGroup[];
  readonly rows: number;
  readonly prefixes: number;
  readonly bad: readonly BadRow[];
  readonly warnings: readonly string[];
}

interface Gathered {
  readonly iso: string;
  readonly name: string;
  readonly rate: Rate;
  readonly prefixes: string[];
}

/** What a row says besides its prefixes. */
interface Said {
  readonly name: string;
  readonly country: string;
  readonly rate: Rate;
  readonly rateKey: string;
}

export interface DeckOptions {
  /** Of rows that name none. */
  readonly currency?: string | undefined;
}

/** Takes the rows of a file in their order. Whatever is wrong with one is told by its line, and the others go on. */
export class DeckReader {
  readonly #currency: string | undefined;
  readonly #groups = new Map<string, Gathered>();
  /** Prefix -> the group that has it. */
  readonly #owners = new Map<number, Gathered>();
  readonly #bad: BadRow[] = [];
  readonly #warnings: string[] = [];
  /** Rates by the text of their cells: a deck has few. */
  readonly #rates = new Map<string, Result<readonly [Rate, string], string>>();
  #columns: Columns | undefined;
  #headerFault: string | undefined;
  #repeated = 0;
  #rows = 0;

  constructor({ currency }: DeckOptions = {}) {
    this.#currency = currency;
  }

  get rows(): number {
    return this.#rows;
  }

  take({ line, cells, fault }: CsvRow): void {
    if (this.#headerFault !== undefined) return;
    if (this.#columns === undefined) {
      const columns: Result<Columns, string> = fault === undefined ? columnsOf(cells) : err(fault);
      if (columns.ok) {
        this.#columns = columns.value;
        this.#warnings.push(...columns.value.warnings);
      } else this.#headerFault = columns.error;
      return;
    }
    this.#rows++;
    const why = fault === undefined ? this.#row(cells) : fault;
    if (why !== undefined) this.#bad.push({ line, why });
  }

  /** The whole deck. The error is a sentence about the file. */
  finish(): Result<Deck, string> {
    if (this.#headerFault !== undefined) return err(this.#headerFault);
    if (this.#columns === undefined) return err('the file is empty');
    const warnings = [...this.#warnings];
    if (this.#repeated > 0) warnings.push(`${this.#repeated} prefixes stand twice, with the same price`);
    const groups = named([...this.#groups.values()].filter((group) => group.prefixes.length > 0));
    return ok({ groups, rows: this.#rows, prefixes: this.#owners.size, bad: this.#bad, warnings });
  }

  #row(cells: readonly string[]): string | undefined {
    const prefixes = readPrefixes(this.#cell(cells, 'prefix'));
    if (!prefixes.ok) return prefixes.error;
    const said = this.#said(cells);
    if (!said.ok) return said.error;
    const { value } = said;
    const targets: Gathered[] = [];
    for (const prefix of prefixes.value) {
      const target = this.#groupOf(prefix, value);
      if (!target.ok) return target.error;
      const owner = this.#owners.get(Number(prefix));
      if (owner !== undefined && owner !== target.value) {
        return `names the prefix ${prefix} again, which an earlier row has in '${owner.name}' at another price or name`;
      }
      targets.push(target.value);
    }
    // All of a row, or none of it.
    for (const [i, prefix] of prefixes.value.entries()) {
      const target = targets[i] as Gathered;
      const key = Number(prefix);
      if (this.#owners.has(key)) this.#repeated++;
      else {
        this.#owners.set(key, target);
        target.prefixes.push(prefix);
      }
    }
    return undefined;
  }

  #cell(cells: readonly string[], column: Column): string {
    const index = this.#columns?.at.get(column);
    return index === undefined ? '' : (cells[index] ?? '').trim();
  }

  #said(cells: readonly string[]): Result<Said, string> {
    const name = this.#cell(cells, 'name');
    if (name.length > MAX_NAME) return err(`has a name of more than ${MAX_NAME} characters`);
    const text = this.#cell(cells, 'country');
    const country = text === '' ? '' : countryNamed(text);
    if (country === undefined) return err(`has a country that is none: ${JSON.stringify(text.slice(0, 40))}`);
    const rate = this.#rate(cells);
    return rate.ok ? ok({ name, country, rate: rate.value[0], rateKey: rate.value[1] }) : rate;
  }

  #rate(cells: readonly string[]): Result<readonly [Rate, string], string> {
    const texts = RATE_COLUMNS.map((column) => this.#cell(cells, column));
    const text = texts.join('\u0000');
    const known = this.#rates.get(text);
    if (known !== undefined) return known;
    const made = rateOf(texts, this.#columns?.currency ?? this.#currency, this.#currency);
    this.#rates.set(text, made);
    return made;
  }

  #groupOf(prefix: string, { name, country, rate, rateKey }: Said): Result<Gathered, string> {
    const iso = country === '' ? countryOfDigits(prefix) : country;
    if (iso === undefined) return err(`has a prefix of no country: ${prefix}`);
    const called = name === '' ? (countryOf(iso)?.name ?? iso) : name;
    const key = `${iso}\u0000${called}\u0000${rateKey}`;
    let group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, (group = { iso, name: called, rate, prefixes: [] }));
    return ok(group);
  }
}

const RATE_COLUMNS = [
  'price',
  'inbound',
  'currency',
  'setup',
  'minimum',
  'minimumCharge',
  'first',
  'next',
  'increment',
] as const satisfies readonly Column[];

/** A minimum of more than an hour's price is one of seconds under a name of money. */
const MAX_MINIMUM_MINUTES = 60;

/** @param header currency that the price's column names, else `wanted`: the one that the user names */
function rateOf(
  texts: readonly string[],
  header: string | undefined,
  wanted: string | undefined,
): Result<readonly [Rate, string], string> {
  const [
    price = '',
    inbound = '',
    named = '',
    setup = '',
    minimum = '',
    charge = '',
    first = '',
    next = '',
    both = '',
  ] = texts;
  const outbound = readMoney(price, 'price');
  if (!outbound.ok) return outbound;
  const currency = named === '' ? header : named.toUpperCase();
  if (currency !== undefined && !/^[A-Z]{3}$/.test(currency)) return err(`has a currency that is none: ${named}`);
  if (wanted !== undefined && currency !== wanted) return err(`has its price in ${currency ?? ''}, not in ${wanted}`);
  const money: Partial<Record<'inbound_price' | 'setup_fee' | 'minimum_charge', string>> = {};
  for (const [member, text, what] of [
    ['inbound_price', inbound, 'inbound price'],
    ['setup_fee', setup, 'setup fee'],
    ['minimum_charge', charge === '' ? minimum : charge, 'minimum charge'],
  ] as const) {
    if (text === '') continue;
    const read = readMoney(text, what);
    if (!read.ok) return read;
    if (Number(read.value) > 0 || member === 'inbound_price') money[member] = read.value;
  }
  if (charge === '' && Number(money.minimum_charge ?? 0) > Number(outbound.value) * MAX_MINIMUM_MINUTES) {
    return err(`has a minimum of ${minimum}, more than an hour's price: if it is seconds, name it minimum seconds`);
  }
  const pulses = pulsesOf(first, next, both);
  if (!pulses.ok) return pulses;
  const rate: Rate = {
    outbound_price: outbound.value,
    ...money,
    ...(currency === undefined ? {} : { currency }),
    ...pulses.value,
  };
  return ok([rate, JSON.stringify(rate)]);
}

function pulsesOf(
  first: string,
  next: string,
  both: string,
): Result<Pick<Rate, 'first_seconds' | 'next_seconds'>, string> {
  if (first === '' && next === '' && both === '') return ok({});
  const increment = both === '' ? ok([undefined, undefined] as const) : readIncrement(both);
  if (!increment.ok) return increment;
  const own = first === '' ? ok(increment.value[0]) : readSeconds(first);
  if (!own.ok) return own;
  const later = next === '' ? ok(increment.value[1]) : readSeconds(next);
  if (!later.ok) return later;
  return ok({
    ...(own.value === undefined ? {} : { first_seconds: own.value }),
    ...(later.value === undefined ? {} : { next_seconds: later.value }),
  });
}

/**
 * Groups with names of their own: of several rates under one name, the one with most prefixes keeps it, the others say
 * what they cost.
 */
function named(groups: readonly Gathered[]): DeckGroup[] {
  const byName = new Map<string, Gathered[]>();
  for (const group of groups) {
    const key = `${group.iso}/${group.name}`;
    const list = byName.get(key);
    if (list === undefined) byName.set(key, [group]);
    else list.push(group);
  }
  const taken = new Set(byName.keys());
  const result: DeckGroup[] = [];
  for (const list of byName.values()) {
    list.sort((a, b) => b.prefixes.length - a.prefixes.length || (rateText(a.rate) < rateText(b.rate) ? -1 : 1));
    for (const [i, group] of list.entries()) {
      const name = i === 0 ? group.name : freeName(group, taken);
      const { iso: country_iso, rate, prefixes } = group;
      result.push({ country_iso, name, rate, prefixes: prefixes.sort() });
    }
  }
  return result.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

const idOf = ({ country_iso, name }: DeckGroup): string => `${country_iso}/${name}`;

const rateText = ({ outbound_price, first_seconds = 60, next_seconds = 60, setup_fee, minimum_charge }: Rate): string =>
  [
    `${outbound_price ?? ''}`,
    ...(first_seconds === 60 && next_seconds === 60 ? [] : [`${first_seconds}/${next_seconds}`]),
    ...(setup_fee === undefined ? [] : [`setup ${setup_fee}`]),
    ...(minimum_charge === undefined ? [] : [`minimum ${minimum_charge}`]),
  ].join(' ');

const freeName = ({ iso, name, rate }: Gathered, taken: Set<string>): string => {
  for (let n = 1; ; n++) {
    const tail = ` (${rateText(rate)}${n === 1 ? '' : ` ${n}`})`;
    const full = name.slice(0, MAX_NAME - tail.length) + tail;
    if (taken.has(`${iso}/${full}`)) continue;
    taken.add(`${iso}/${full}`);
    return full;
  }
};
