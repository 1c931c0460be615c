/**
 * Countries by their calling codes, from the numbering plans of libphonenumber and a table of ours for codes that several
 * countries share. For those who look at and import documents; no call is decided by it.
 */
import type { CountryCode, Metadata } from 'libphonenumber-js';
import { numberingPlans } from './numberingPlans.js';

export interface Country {
  /** ISO 3166-1 alpha-2. */
  readonly iso: string;
  /** In English. */
  readonly name: string;
  /** Digits. */
  readonly callingCode: string;
  /** Digits of its longest national number. */
  readonly maxLength: number;
}

/** Who a calling code that several countries share belongs to, unless a longer lead says otherwise. */
const MAIN: { readonly [code: string]: string } = {
  '1': 'US',
  '7': 'RU',
  '39': 'IT',
  '44': 'GB',
  '47': 'NO',
  '61': 'AU',
  '212': 'MA',
  '262': 'RE',
  '290': 'SH',
  '358': 'FI',
  '590': 'GP',
  '599': 'CW',
};

/** Leads within shared calling codes: area codes of the North American plan, and the like. */
const LEADS: { readonly [iso: string]: string } = {
  AG: '1268',
  AI: '1264',
  AS: '1684',
  BB: '1246',
  BM: '1441',
  BS: '1242',
  CA:
    '1204 1226 1236 1249 1250 1257 1263 1289 1306 1343 1354 1365 1367 1368 1382 1387 1403 1416 1418 1428 1431 1437 ' +
    '1438 1450 1460 1468 1474 1506 1514 1519 1537 1548 1579 1581 1584 1587 1600 1604 1613 1622 1639 1647 1672 1683 ' +
    '1705 1709 1742 1753 1778 1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942',
  DM: '1767',
  DO: '1809 1829 1849',
  GD: '1473',
  GU: '1671',
  JM: '1876 1658',
  KN: '1869',
  KY: '1345',
  KZ: '76 77',
  LC: '1758',
  MP: '1670',
  MS: '1664',
  PR: '1787 1939',
  SX: '1721',
  TC: '1649',
  TT: '1868',
  VC: '1784',
  VG: '1284',
  VI: '1340',
  GG: '441481 447781 447839 447911',
  IM: '441624 447624 447924',
  JE: '441534 447797 447937',
  SJ: '4779',
  CC: '6189162',
  CX: '6189164',
  YT: '262269 262639',
  AX: '35818',
  BQ: '5993 5994 5997',
  VA: '3906698',
};

let names: Intl.DisplayNames | undefined;
const nameOf = (iso: string): string => (names ??= new Intl.DisplayNames(['en'], { type: 'region' })).of(iso) ?? iso;

let plans: Metadata | undefined;
const isSupported = (iso: string): iso is CountryCode => numberingPlans().isSupportedCountry(iso);

const known = new Map<string, Country>();

/** @param iso ISO 3166-1 alpha-2, capitals; undefined for what is no country with telephones */
export function countryOf(iso: string): Country | undefined {
  const found = known.get(iso);
  if (found !== undefined) return found;
  if (!isSupported(iso)) return undefined;
  plans ??= new (numberingPlans().Metadata)();
  plans.selectNumberingPlan(iso);
  const lengths = plans.numberingPlan?.possibleLengths() ?? [];
  const callingCode = numberingPlans().getCountryCallingCode(iso);
  const maxLength = lengths.length === 0 ? 15 - callingCode.length : Math.max(...lengths);
  const country = { iso, name: nameOf(iso), callingCode, maxLength };
  known.set(iso, country);
  return country;
}

let byLead: Map<string, string> | undefined;

const leads = (): Map<string, string> => {
  if (byLead !== undefined) return byLead;
  byLead = new Map();
  const { getCountries, getCountryCallingCode } = numberingPlans();
  for (const iso of getCountries()) {
    const code = getCountryCallingCode(iso);
    byLead.set(code, MAIN[code] ?? iso);
  }
  for (const [iso, list] of Object.entries(LEADS)) for (const lead of list.split(' ')) byLead.set(lead, iso);
  return byLead;
};

const LONGEST_LEAD = 7;

/**
 * The country that numbers with these first digits are of.
 * @param digits international form without `+`: a number, or a prefix of numbers
 * @returns ISO 3166-1 alpha-2; undefined for codes of no country, and for digits too few to tell
 */
export function countryOfDigits(digits: string): string | undefined {
  const table = leads();
  for (let length = Math.min(LONGEST_LEAD, digits.length); length > 0; length--) {
    const iso = table.get(digits.slice(0, length));
    if (iso !== undefined) return iso;
  }
  return undefined;
}

let byName: Map<string, string> | undefined;
const plain = (text: string): string => text.toLowerCase().replace(/[^\p{L}]/gu, '');

/** @param text ISO code or English name, in whatever case */
export function countryNamed(text: string): string | undefined {
  const upper = text.trim().toUpperCase();
  if (upper.length === 2 && isSupported(upper)) return upper;
  if (byName === undefined) {
    byName = new Map([
      ['uk', 'GB'],
      ['usa', 'US'],
      ['unitedstatesofamerica', 'US'],
      ['uae', 'AE'],
    ]);
    for (const iso of numberingPlans().getCountries()) byName.set(plain(nameOf(iso)), iso);
  }
  return byName.get(plain(text));
}
