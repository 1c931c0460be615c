/** `/api/telephony/countries` and `/network-groups`: what may be called, what it costs, and the switches. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { countryOf } from '../../call/routing/countries.js';
import type { Account, NetworkGroup, Resource } from '../../call/routing/resources.js';
import { groupId } from '../../call/routing/semantics.js';
import { NetworkGroupSchema } from '../../call/routing/shapes.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { notFoundFault, publish, tagged } from '../api/publishing.js';
import { answers } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { ApiError } from '../errors.js';
import { Pacer } from '../api/pacing.js';
import { MAX_PAGE, accountQuery, closed, meantAccount, nowText, pageQuery, wrong } from './api.js';
import { mayUseCarrier } from './destinations.js';

const tags = ['telephony'];
/** Of a group in a list; the whole is at `/api/network-groups/ID`. */
const MAX_PREFIXES = 50;

const searched = {
  carrier: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  search: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: 'part of the name' })),
};
const GroupQuery = Type.Object(
  {
    ...accountQuery,
    ...pageQuery,
    ...searched,
    country: Type.Optional(Type.String({ pattern: '^[A-Z]{2}$' })),
    prefix: Type.Optional(
      Type.String({ pattern: '^[0-9]{1,15}$', description: 'first digits of numbers: groups that hold any of them' }),
    ),
  },
  closed,
);
type GroupQuery = Static<typeof GroupQuery>;
const CountryQuery = Type.Object({ ...accountQuery, ...searched }, closed);
const AccountQuery = Type.Object(accountQuery, closed);
const Open = Type.Object({}, { additionalProperties: true });
const IdParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 300, description: 'carrier/country/name' }),
});

const { inbound_price, outbound_price, currency, setup_fee, minimum_charge } = NetworkGroupSchema.properties;
const GroupBody = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean()),
    ...{ inbound_price, outbound_price, currency, setup_fee, minimum_charge },
  },
  { ...closed, minProperties: 1 },
);
type GroupBody = Static<typeof GroupBody>;

export const groupRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  countriesRoute(app, deps);
  listRoute(app, deps);
  patchRoute(app, deps);
};

const isSeen = (directory: Directory, group: NetworkGroup, account: Account | undefined): boolean => {
  if (account === undefined) return true;
  const carrier = directory.carrier(group.carrier);
  return carrier !== undefined && mayUseCarrier(carrier, account.sid);
};

/** Whether numbers that begin with these digits, or with more, are in the group. */
const holds = (group: NetworkGroup, digits: string): boolean =>
  group.prefixes.some((prefix) => prefix.startsWith(digits) || digits.startsWith(prefix));

const fits = (group: NetworkGroup, { carrier, country, prefix }: GroupQuery, word: string | undefined): boolean =>
  (carrier === undefined || group.carrier === carrier) &&
  (country === undefined || group.country_iso === country) &&
  (word === undefined || group.name.toLowerCase().includes(word)) &&
  (prefix === undefined || holds(group, prefix));

const groupData = (group: NetworkGroup, account: Account | undefined): object => {
  const id = groupId(group);
  const { prefixes, ...rest } = group;
  const off = account?.disabled_network_groups?.includes(id) === true;
  return {
    id,
    ...rest,
    country_name: countryOf(group.country_iso)?.name ?? group.country_iso,
    ...(account === undefined ? {} : { enabled_for_account: group.enabled && !off }),
    prefixes: prefixes.slice(0, MAX_PREFIXES),
    prefix_count: prefixes.length,
  };
};

const accountOf = (request: FastifyRequest, directory: Directory, sid: string | undefined): Account | undefined => {
  const account = meantAccount(request, directory, sid);
  if (account.ok) return account.value;
  throw new ApiError(account.error);
};

const listRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  const Page = Type.Object({
    revision: Type.String(),
    items: Type.Array(Open),
    next: Type.Union([Type.String(), Type.Null()], { description: '`after` of the next page' }),
  });
  app.get<{ Querystring: GroupQuery }>(
    '/api/telephony/network-groups',
    {
      schema: {
        tags,
        summary: 'Network groups that the account may use, by name, by prefix, by country',
        querystring: GroupQuery,
        response: answers(Page, 400, 404),
      },
    },
    async (request, reply) => {
      const { query } = request;
      const directory = deps.control.directory();
      const account = accountOf(request, directory, query.account_sid);
      const limit = Math.min(MAX_PAGE, Number(query.limit));
      const word = query.search?.toLowerCase();
      const pacer = new Pacer(deps.clock);
      const items: NetworkGroup[] = [];
      let next: string | null = null;
      for (const group of directory.groups(query.after)) {
        await pacer.step();
        if (!fits(group, query, word) || !isSeen(directory, group, account)) continue;
        if (items.length === limit) {
          next = groupId(items.at(-1) as NetworkGroup);
          break;
        }
        items.push(group);
      }
      const shown = items.map((group) => groupData(group, account));
      return tagged(reply, directory.revision).send({ revision: directory.revision, items: shown, next });
    },
  );
};

const countriesRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  const Page = Type.Object({ revision: Type.String(), items: Type.Array(Open) });
  app.get<{ Querystring: Static<typeof CountryQuery> }>(
    '/api/telephony/countries',
    {
      schema: {
        tags,
        summary: 'Countries with network groups',
        querystring: CountryQuery,
        response: answers(Page, 400, 404),
      },
    },
    async (request, reply) => {
      const { carrier, search, account_sid } = request.query;
      const directory = deps.control.directory();
      const account = accountOf(request, directory, account_sid);
      const off = new Set(account?.disabled_network_groups);
      const word = search?.toLowerCase() ?? '';
      const pacer = new Pacer(deps.clock);
      const found = new Map<string, { groups: number; enabled: number }>();
      for (const group of directory.groups()) {
        await pacer.step();
        if ((carrier !== undefined && group.carrier !== carrier) || !isSeen(directory, group, account)) continue;
        const counts = found.get(group.country_iso) ?? { groups: 0, enabled: 0 };
        counts.groups++;
        if (group.enabled && !off.has(groupId(group))) counts.enabled++;
        found.set(group.country_iso, counts);
      }
      const items = [...found]
        .map(([iso, { groups, enabled }]) => ({
          country_iso: iso,
          country_name: countryOf(iso)?.name ?? iso,
          calling_code: countryOf(iso)?.callingCode ?? null,
          network_groups: groups,
          enabled_network_groups: enabled,
        }))
        .filter(({ country_name, country_iso }) => `${country_name} ${country_iso}`.toLowerCase().includes(word))
        .sort((a, b) => (a.country_name < b.country_name ? -1 : 1));
      return tagged(reply, directory.revision).send({ revision: directory.revision, items });
    },
  );
};

/** The account with this group on or off. */
const switched = (account: Account, id: string, enabled: boolean, now: string): Account => {
  const { disabled_network_groups: before = [], ...rest } = account;
  const others = before.filter((one) => one !== id);
  const disabled = enabled ? others : [...others, id];
  return { ...rest, ...(disabled.length === 0 ? {} : { disabled_network_groups: disabled }), date_updated: now };
};

/** What becomes of it: the account's switch, where an account is meant, else the group itself. */
const patched = (group: NetworkGroup, account: Account | undefined, body: GroupBody, now: string): Resource =>
  account === undefined
    ? { type: 'network_group', value: { ...group, ...body, date_updated: now } as NetworkGroup }
    : { type: 'account', value: switched(account, groupId(group), body.enabled === true, now) };

const patchRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.patch<{ Params: Static<typeof IdParams>; Querystring: Static<typeof AccountQuery>; Body: GroupBody }>(
    '/api/telephony/network-groups/:id',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: 'Switches a group on or off for an account; for operators also for all, and its prices',
        params: IdParams,
        querystring: AccountQuery,
        body: GroupBody,
        response: answers(Open, 400, 404, 409, 412, 415, 422, 503),
      },
    },
    async (request, reply) => {
      const { params, query, body } = request;
      const now = nowText(deps);
      const { revision, result } = await publish(
        deps,
        request,
        (directory) => {
          const account = meantAccount(request, directory, query.account_sid);
          if (!account.ok) return account;
          const group = directory.group(params.id);
          if (group === undefined || !isSeen(directory, group, account.value)) {
            return err(notFoundFault(`network group ${params.id}`));
          }
          if (account.value !== undefined && Object.keys(body).join() !== 'enabled') {
            return err(wrong('of an account there is the switch only: enabled', 'leave the other members out'));
          }
          const changed = patched(group, account.value, body, now);
          const data =
            changed.type === 'account'
              ? groupData(group, changed.value)
              : groupData(changed.value as NetworkGroup, undefined);
          return ok({ upserts: [changed], deletes: [], result: data });
        },
        { checked: true },
      );
      return tagged(reply, revision).send(result);
    },
  );
};
