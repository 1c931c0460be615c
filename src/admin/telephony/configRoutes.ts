/** `/api/telephony/config` and `/providers`: an account's switches, and the carriers it may use. */
import type { FastifyInstance } from 'fastify';
import type { Account, Carrier, Rate, Resource } from '../../call/routing/resources.js';
import { CarrierSchema } from '../../call/routing/shapes.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { publish, tagged } from '../api/publishing.js';
import { answers } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { ApiError } from '../errors.js';
import { accountQuery, closed, meantAccount, nowText, wrong } from './api.js';
import { usableCarriers } from './destinations.js';

const tags = ['telephony'];
const Query = Type.Object(accountQuery, closed);

const ConfigBody = Type.Object(
  {
    byo_enabled: Type.Optional(Type.Boolean({ description: 'calls through carriers that the account brought along' })),
    byo_flat_rate: Type.Optional(
      Type.Union([CarrierSchema.properties.flat_rate, Type.Null()], {
        description: 'for operators: price of every destination of those carriers; null: none',
      }),
    ),
    prefix_mode: Type.Optional(
      Type.Enum(['open', 'allow_only_listed'], { description: 'for operators: destinations that no group names' }),
    ),
  },
  { ...closed, minProperties: 1 },
);
type ConfigBody = Static<typeof ConfigBody>;

const ConfigSchema = Type.Object({}, { additionalProperties: true });

const configData = (directory: Directory, account: Account): object => ({
  account_sid: account.sid,
  byo_enabled: account.byo_enabled ?? true,
  byo_flat_rate: flatRate(directory, account),
  prefix_mode: account.prefix_mode ?? 'open',
  carrier_order: account.carrier_order ?? 'priority',
  disabled_network_groups: account.disabled_network_groups ?? [],
});

/** Null where the carriers have none, or not all the same. */
const flatRate = (directory: Directory, { sid }: Account): Rate | null => {
  const rates = new Set<string>();
  for (const { flat_rate } of directory.carriersOf(sid)) rates.add(JSON.stringify(flat_rate ?? null));
  const [only] = rates;
  return rates.size === 1 && only !== undefined ? (JSON.parse(only) as Rate | null) : null;
};

const withRate = ({ flat_rate: _before, ...carrier }: Carrier, rate: Rate | null, now: string): Carrier => ({
  ...carrier,
  ...(rate === null ? {} : { flat_rate: rate }),
  date_updated: now,
});

export const configRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/api/telephony/config',
    {
      schema: { tags, summary: "An account's switches", querystring: Query, response: answers(ConfigSchema, 400, 404) },
    },
    async (request, reply) => {
      const directory = deps.control.directory();
      const account = meantAccount(request, directory, request.query.account_sid);
      if (!account.ok) throw new ApiError(account.error);
      if (account.value === undefined) throw new ApiError(noAccount);
      return tagged(reply, directory.revision).send(configData(directory, account.value));
    },
  );
  patchRoute(app, deps);
  providersRoute(app, deps);
};

const noAccount = wrong('account_sid is missing', 'name the account');

const patchRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.patch<{ Querystring: Static<typeof Query>; Body: ConfigBody }>(
    '/api/telephony/config',
    {
      // What guards against fraud is not for every key that may write.
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: "Changes an account's switches, as one revision",
        querystring: Query,
        body: ConfigBody,
        response: answers(ConfigSchema, 400, 404, 409, 412, 415, 503),
      },
    },
    async (request, reply) => {
      const { byo_enabled, byo_flat_rate: rate, prefix_mode } = request.body;
      if (!request.principal.operator && (rate !== undefined || prefix_mode !== undefined)) {
        const message = 'byo_flat_rate and prefix_mode are for operators';
        throw new ApiError({ status: 403, code: 'operator_only', message, remedy: 'leave them out' });
      }
      const now = nowText(deps);
      const { revision, result } = await publish(
        deps,
        request,
        (directory) => {
          const found = meantAccount(request, directory, request.query.account_sid);
          if (!found.ok) return found;
          if (found.value === undefined) return err(noAccount);
          const account: Account = {
            ...found.value,
            ...(byo_enabled === undefined ? {} : { byo_enabled }),
            ...(prefix_mode === undefined ? {} : { prefix_mode: prefix_mode as 'open' | 'allow_only_listed' }),
            date_updated: now,
          };
          const own: Resource[] = [{ type: 'account', value: account }];
          if (rate !== undefined) {
            for (const carrier of directory.carriersOf(account.sid)) {
              own.push({ type: 'carrier', value: withRate(carrier, rate as Rate | null, now) });
            }
          }
          return ok({ upserts: own, deletes: [], result: account.sid });
        },
        { checked: true },
      );
      const directory = deps.control.directory();
      const account = directory.account(result);
      return tagged(reply, revision).send(account === undefined ? {} : configData(directory, account));
    },
  );
};

const providerData = (directory: Directory, carrier: Carrier): object => {
  let groups = 0;
  for (const group of directory.groupsOf(carrier.id)) if (group.enabled) groups++;
  return {
    id: carrier.id,
    kind: carrier.kind,
    nickname: carrier.nickname ?? null,
    brought_along: carrier.account_sid !== undefined,
    priority: carrier.priority ?? 0,
    weight: carrier.weight ?? 1,
    flat_rate: carrier.flat_rate ?? null,
    enabled_network_groups: groups,
  };
};

const providersRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  const Page = Type.Object({ revision: Type.String(), items: Type.Array(ConfigSchema) });
  app.get<{ Querystring: Static<typeof Query> }>(
    '/api/telephony/providers',
    {
      schema: {
        tags,
        summary: 'Carriers that the account may use',
        querystring: Query,
        response: answers(Page, 400, 404),
      },
    },
    async (request, reply) => {
      const directory = deps.control.directory();
      const account = meantAccount(request, directory, request.query.account_sid);
      if (!account.ok) throw new ApiError(account.error);
      const carriers =
        account.value === undefined ? [...directory.carriers()] : usableCarriers(directory, account.value);
      const items = carriers.map((carrier) => providerData(directory, carrier));
      return tagged(reply, directory.revision).send({ revision: directory.revision, items });
    },
  );
};
