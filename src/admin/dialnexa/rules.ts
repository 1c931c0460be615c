/** `/v1/phone-country-rules` and `/v1/phone-number-pricing`: what the account may call, and what it costs. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from '../../kernel/index.js';
import { countryOf, countryOfDigits } from '../../call/routing/countries.js';
import type { Account } from '../../call/routing/resources.js';
import { microsOf } from '../../call/record/rating.js';
import { listedId, type Directory } from '../../control/index.js';
import { type Allowed, allowedDestinations, usableCarriers } from '../telephony/destinations.js';
import { type NexaApi, answers, providerOf } from './api.js';

const ListSchema = Type.Array(Type.Object({}, { additionalProperties: true }));
/** Numbers looked at for the countries that an account calls from. */
const MAX_NUMBERS = 1000;

const countryData = ({ iso, prefixes }: Allowed) => {
  const country = countryOf(iso);
  return {
    country_iso: iso,
    country_name: country?.name ?? iso,
    calling_code: country === undefined ? null : `+${country.callingCode}`,
    prefixes,
  };
};

const countries = (directory: Directory, account: Account): object[] =>
  [...allowedDestinations(directory, account).values()].map((allowed) => ({
    id: listedId({}, account.sid, 'countries', allowed.iso),
    ...countryData(allowed),
    max_length: countryOf(allowed.iso)?.maxLength ?? null,
    is_deleted: false,
  }));

/** Calling codes of the account's numbers: where its calls come from. */
const callingCodes = (directory: Directory, { sid }: Account): string[] => {
  const codes = new Set<string>();
  let looked = 0;
  for (const { phone_number } of directory.numbersOfAccount(sid)) {
    if (++looked > MAX_NUMBERS) break;
    const iso = countryOfDigits(phone_number.slice(1));
    const country = iso === undefined ? undefined : countryOf(iso);
    if (country !== undefined) codes.add(`+${country.callingCode}`);
  }
  return [...codes];
};

const networkGroups = (directory: Directory, account: Account): object[] => {
  const from = callingCodes(directory, account);
  const prefix_mode = account.prefix_mode ?? 'open';
  const allowed = [...allowedDestinations(directory, account).values()];
  return (from.length === 0 ? [null] : from).flatMap((code) =>
    allowed.map((one) => ({ prefix_mode, from_phone_number_country_code: code, countryRule: countryData(one) })),
  );
};

const pricing = (directory: Directory, account: Account): object[] => {
  const prices: object[] = [];
  for (const carrier of usableCarriers(directory, account)) {
    const telephonyProvider = { id: carrier.id, name: providerOf(carrier), nickname: carrier.nickname ?? null };
    const shared = { telephony_provider_id: carrier.id, telephonyProvider };
    for (const { iso, lowest } of allowedDestinations(directory, account, carrier.id).values()) {
      const country = { country_iso: iso, country_name: countryOf(iso)?.name ?? iso };
      prices.push({ ...shared, ...country, ...lowest, credit_cost: Number(lowest?.outbound_price ?? 0) });
    }
    const { flat_rate: flat } = carrier;
    if (flat?.outbound_price === undefined || microsOf(flat.outbound_price) === undefined) continue;
    const { outbound_price, currency = null } = flat;
    const everywhere = { country_iso: null, country_name: null, outbound_price, currency };
    prices.push({ ...shared, ...everywhere, credit_cost: Number(outbound_price) });
  }
  return prices;
};

const LISTS = [
  ['/phone-country-rules/countries', 'Countries that the account may call', countries],
  ['/phone-country-rules/enabled-network-groups', 'Prefixes that the account may call, by country', networkGroups],
  ['/phone-number-pricing', 'Lowest prices a minute, by provider and country', pricing],
] as const;

export const ruleRoutes = (app: FastifyInstance, api: NexaApi): void => {
  for (const [path, summary, make] of LISTS) {
    // A price list may have 500,000 prefixes: its text is made once for a revision.
    const texts = new WeakMap<Directory, Map<string, string>>();
    app.get(
      path,
      { schema: { summary, response: answers({ 200: ListSchema }) } },
      async (request: FastifyRequest, reply: FastifyReply) => {
        const directory = api.directory();
        const account = api.account(request, directory);
        let known = texts.get(directory);
        if (known === undefined) texts.set(directory, (known = new Map()));
        const text = known.get(account.sid) ?? JSON.stringify(make(directory, account));
        known.set(account.sid, text);
        return reply.type('application/json; charset=utf-8').serializer(String).send(text);
      },
    );
  }
};
