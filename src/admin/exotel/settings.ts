/** `/trunks/{trunk_sid}/settings`: `trunk_external_alias`, and the additions by their names. */
import type { FastifyInstance } from 'fastify';
import type { Trunk } from '../../call/routing/resources.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import type { Principal } from '../principal.js';
import {
  ADDITION_NAMES,
  additionFields,
  additionOf,
  guarded,
  isAddition,
  withAddition,
  withSetting,
} from './additions.js';
import { bulkChanged, oneChanged, pageRead } from './answers.js';
import type { ExotelApi, Outcome, Path } from './api.js';
import { checker } from './checking.js';
import { settingData, trunkPath } from './data.js';
import { type ItemOutcome, bulk, list, single } from './envelope.js';
import { ExotelError, echo, invalid, missing, notFound } from './faults.js';
import { PHONE_NUMBER_RULE, pageFields, phoneNumber } from './fields.js';
import { pageOf } from './paging.js';
import { LIST_BASE } from './trunkLists.js';

const ALIAS = 'trunk_external_alias';
const NAMES: readonly string[] = [ALIAS, ...ADDITION_NAMES];

const ItemSchema = Type.Object({
  name: Type.String({ maxLength: 64, description: NAMES.join(', ') }),
  value: Type.Unsafe<unknown>({
    description: 'E.164 for the alias; else as the field of the same name in PUT of trunks',
  }),
});
const CreateSchema = Type.Object({
  settings: Type.Array(Type.Unsafe<unknown>({ description: '{name, value}' }), {
    minItems: 1,
    maxItems: 100,
    description: 'objects with the members name and value',
    rule: 'must be an array of 1 to 100 objects',
  }),
});
const PageQuerySchema = Type.Object(pageFields);
const NameQuerySchema = Type.Object({
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'name of the setting' })),
});

const checkItem = checker(ItemSchema);
const checkAlias = checker(Type.Object({ value: phoneNumber }));
const checkAdditions = checker(Type.Object(additionFields));

const valueOf = (trunk: Trunk, name: string): unknown => {
  if (name === ALIAS) return trunk.settings?.trunk_external_alias;
  return isAddition(name) ? additionOf(trunk, name) : undefined;
};

const without = (trunk: Trunk, name: string): Trunk => {
  if (name === ALIAS) return withSetting(trunk, name, undefined);
  return isAddition(name) ? withAddition(trunk, name, undefined) : trunk;
};

const applied = (trunk: Trunk, item: unknown, principal: Principal): Outcome<{ trunk: Trunk; name: string }> => {
  const shape = checkItem(item);
  if (shape !== undefined) return err(shape.code === 1007 ? invalid('Each setting must be an object') : shape);
  const { name, value } = item as Static<typeof ItemSchema>;
  if (name === ALIAS) {
    const fault = checkAlias({ value });
    if (fault !== undefined) return err(invalid(`${ALIAS} ${PHONE_NUMBER_RULE}`));
    return ok({ trunk: withSetting(trunk, name, value), name });
  }
  if (!isAddition(name)) return err(invalid(`name must be one of ${NAMES.join(', ')}`));
  const fault = guarded(name, principal) ?? (value === null ? missing('value') : checkAdditions({ [name]: value }));
  return fault === undefined ? ok({ trunk: withAddition(trunk, name, value), name }) : err(fault);
};

export const settingRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  readRoute(app, api);
  writeRoutes(app, api);
};

const readRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.get<{ Params: Path; Querystring: Static<typeof PageQuerySchema> }>(
    `${LIST_BASE}/settings`,
    { schema: { summary: 'Settings of a trunk', querystring: PageQuerySchema, response: pageRead } },
    async (request, reply) => {
      const trunk = api.trunk(request, api.directory(reply));
      if (!trunk.ok) throw new ExotelError(trunk.error);
      const set = NAMES.filter((name) => valueOf(trunk.value, name) !== undefined);
      const page = pageOf(set, request.query, `${trunkPath(trunk.value)}/settings`);
      const items = page.items.map((name) => settingData(name, valueOf(trunk.value, name), trunk.value));
      return list(api.asked(request), page.metadata, items);
    },
  );
};

const writeRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  app.post<{ Params: Path; Body: Static<typeof CreateSchema> }>(
    `${LIST_BASE}/settings`,
    { schema: { summary: 'Sets settings of a trunk', body: CreateSchema, response: bulkChanged } },
    async (request, reply) => {
      const date_updated = api.now();
      const outcomes = await api.changeTrunk(request, reply, (before) => {
        let trunk = before;
        const results = request.body.settings.map((item): ItemOutcome => {
          const next = applied(trunk, item, request.principal);
          if (!next.ok) return { fault: next.error };
          trunk = { ...next.value.trunk, date_updated };
          return { data: settingData(next.value.name, valueOf(trunk, next.value.name), trunk) };
        });
        return ok({ trunk, result: results });
      });
      const answer = bulk(api.asked(request), outcomes);
      return reply.code(answer.http_code).send(answer);
    },
  );
  app.delete<{ Params: Path; Querystring: Static<typeof NameQuerySchema> }>(
    `${LIST_BASE}/settings`,
    { schema: { summary: 'Removes a setting of a trunk', querystring: NameQuerySchema, response: oneChanged } },
    async (request, reply) => {
      const { name } = request.query;
      if (name === undefined) throw new ExotelError(missing('name'));
      const { principal } = request;
      const gone = await api.changeTrunk(request, reply, (trunk) => {
        const value = valueOf(trunk, name);
        if (value === undefined) return err(notFound(`The setting ${echo(name)} is not set on this trunk`));
        const fault = guarded(name, principal);
        if (fault !== undefined) return err(fault);
        return ok({ trunk: without(trunk, name), result: settingData(name, value, trunk) });
      });
      return single(api.asked(request), gone);
    },
  );
};
