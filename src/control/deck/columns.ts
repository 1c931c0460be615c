/** What the columns of a price deck are, by their names. */
import { type Result, err, ok } from '../../kernel/index.js';

const NAMES = {
  prefix: [
    'prefix',
    'prefixes',
    'code',
    'codes',
    'dialcode',
    'dialcodes',
    'dialingcode',
    'diallingcode',
    'dialprefix',
    'destinationcode',
    'destinationprefix',
    'areacode',
    'numberprefix',
  ],
  name: [
    'destination',
    'name',
    'destinationname',
    'description',
    'zone',
    'network',
    'networkgroup',
    'group',
    'breakout',
  ],
  price: [
    'price',
    'rate',
    'outboundprice',
    'outboundrate',
    'priceperminute',
    'rateperminute',
    'pricemin',
    'ratemin',
    'newrate',
    'newprice',
    'peakrate',
    'cost',
  ],
  inbound: ['inboundprice', 'inboundrate'],
  country: ['country', 'countryname', 'countryiso', 'iso', 'isocode', 'iso2'],
  /** Of calling codes or of ISO codes: what the other columns leave it to be. */
  countryCode: ['countrycode'],
  currency: ['currency'],
  setup: ['setup', 'setupfee', 'setupprice', 'connectionfee', 'connectfee', 'connectioncharge'],
  minimum: ['minimum', 'min'],
  minimumCharge: ['minimumcharge', 'mincharge', 'minimumfee', 'minimumprice'],
  first: [
    'minimumseconds',
    'minseconds',
    'minimumduration',
    'firstinterval',
    'firstincrement',
    'initialinterval',
    'initialincrement',
  ],
  next: ['nextinterval', 'nextincrement', 'subsequentinterval', 'additionalincrement'],
  increment: [
    'increment',
    'increments',
    'billingincrement',
    'billingincrements',
    'billing',
    'interval',
    'intervals',
    'pulse',
    'pulses',
    'rounding',
  ],
  effective: [
    'effectivedate',
    'effective',
    'effectivefrom',
    'validfrom',
    'startdate',
    'enddate',
    'validto',
    'expiry',
    'expirydate',
  ],
} as const satisfies { readonly [column: string]: readonly string[] };

export type Column = keyof typeof NAMES;

export interface Columns {
  /** Index of each column that there is. */
  readonly at: ReadonlyMap<Column, number>;
  /** Currency that the header of the price names. */
  readonly currency: string | undefined;
  /** In words, without a line. */
  readonly warnings: readonly string[];
}

const BY_NAME = new Map<string, Column>(
  Object.entries(NAMES).flatMap(([column, names]) => names.map((name) => [name, column as Column] as const)),
);

const plain = (header: string): string => header.toLowerCase().replace(/[^a-z0-9]/g, '');

/** `price` of `Price (USD)`, and `USD`. */
const splitCurrency = (header: string): { readonly name: string; readonly currency: string | undefined } => {
  const found = /[\s_(-]([A-Z]{3})\)?$/.exec(header.trim());
  return found === null
    ? { name: header, currency: undefined }
    : { name: found.input.slice(0, found.index), currency: found[1] };
};

const columnOf = (header: string): { readonly column: Column | undefined; readonly currency: string | undefined } => {
  const whole = BY_NAME.get(plain(header));
  if (whole !== undefined) return { column: whole, currency: undefined };
  const { name, currency } = splitCurrency(header);
  return { column: BY_NAME.get(plain(name)), currency };
};

const MAX_SHOWN = 40;
const shown = (header: string): string => JSON.stringify(header.trim().slice(0, MAX_SHOWN));

/** Reads the first row. The error is a sentence. */
export function columnsOf(header: readonly string[]): Result<Columns, string> {
  const at = new Map<Column, number>();
  const warnings: string[] = [];
  let currency: string | undefined;
  for (const [index, text] of header.entries()) {
    if (text.trim() === '') continue;
    const found = columnOf(text);
    if (found.column === undefined) warnings.push(`the column ${shown(text)} is not known, and left out`);
    else if (found.column === 'effective') {
      warnings.push(`the column ${shown(text)} is left out: all rows hold from now on`);
    } else if (at.has(found.column)) return err(`the columns name ${found.column} twice: ${shown(text)}`);
    else {
      at.set(found.column, index);
      if (found.column === 'price') currency = found.currency;
    }
  }
  const code = at.get('countryCode');
  if (code !== undefined) {
    if (!at.has('prefix')) at.set('prefix', code);
    else if (!at.has('country')) at.set('country', code);
    else warnings.push(`the column ${shown(header[code] ?? '')} is left out: others say it`);
  }
  const missing = (['prefix', 'price'] as const).filter((column) => !at.has(column));
  if (missing.length === 0) return ok({ at, currency, warnings });
  const wanted = missing.map((column) => `${column} (${NAMES[column].slice(0, 4).join(', ')})`).join(' and ');
  return err(`the first row names no column for ${wanted}`);
}
