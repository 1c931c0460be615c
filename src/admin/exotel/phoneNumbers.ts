/** `/trunks/{trunk_sid}/phone-numbers` and `/trunk-maps`: which numbers are a trunk's, and who answers them. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { normaliseNumber } from '../../call/routing/numbers.js';
import type { Carrier, Flow, PhoneNumber, Trunk } from '../../call/routing/resources.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { oneChanged, oneRead, pageRead } from './answers.js';
import { type ExotelApi, type Outcome, type Path, numberOf } from './api.js';
import { numberData, trunkMapData, trunkPath } from './data.js';
import { list, single } from './envelope.js';
import { ExotelError, duplicateListed, echo, invalid, missing, notFound } from './faults.js';
import { friendlyName, idQuery, numberMode, pageFields, phoneNumber, resourceId } from './fields.js';
import { NumberIds, numberWithId } from './numberIds.js';
import { type Page, pageOf } from './paging.js';
import { LIST_BASE, entryPaths, idOfRequest } from './trunkLists.js';

const further = {
  flow: Type.Optional(
    resourceId('flow that answers in mode flow; default: the one it had, else the only one there is'),
  ),
  carrier: Type.Optional(resourceId('carrier that delivers the number; default: any')),
  friendly_name: Type.Optional(friendlyName),
};
const CreateSchema = Type.Object({ phone_number: phoneNumber, mode: Type.Optional(numberMode), ...further });
/** Exotel wants both here. */
const UpdateSchema = Type.Object({ phone_number: phoneNumber, mode: numberMode, ...further });
const PageQuerySchema = Type.Object(pageFields);
const MapQuerySchema = Type.Object({
  exophone: Type.Optional(Type.String({ maxLength: 64, description: 'number, E.164', rule: 'must be E.164' })),
});

type Further = Pick<Static<typeof CreateSchema>, 'flow' | 'carrier' | 'friendly_name'>;
type IdQuery = Static<typeof idQuery>;

/** Flows and carriers of one account are not there for the others. */
const mayName = (named: Flow | Carrier | undefined, { account_sid }: Trunk): boolean =>
  named !== undefined && (named.account_sid === undefined || named.account_sid === account_sid);

/** The flow that a number in mode flow gets when the request names none. */
const defaultFlow = (directory: Directory, trunk: Trunk): string | undefined => {
  let only: string | undefined;
  for (const flow of directory.flows()) {
    if (!mayName(flow, trunk)) continue;
    if (only !== undefined) return undefined;
    only = flow.id;
  }
  return only;
};

/** Mode, flow, carrier and name as asked for, over what the number has. */
const configured = (
  directory: Directory,
  trunk: Trunk,
  number: PhoneNumber,
  asked: Further & { readonly mode: PhoneNumber['mode'] },
): Outcome<PhoneNumber> => {
  const { mode, carrier, friendly_name } = asked;
  const wanted = asked.flow ?? number.flow;
  const flow = mode === 'flow' ? (wanted ?? defaultFlow(directory, trunk)) : wanted;
  if (mode === 'flow' && flow === undefined)
    return err(invalid('flow must name the flow that answers, with mode flow'));
  if (asked.flow !== undefined && !mayName(directory.flow(asked.flow), trunk)) {
    return err(invalid(`flow: there is no flow ${echo(asked.flow)}`));
  }
  if (carrier !== undefined && !mayName(directory.carrier(carrier), trunk)) {
    return err(invalid(`carrier: there is no carrier ${echo(carrier)}`));
  }
  return ok({
    ...number,
    mode,
    ...(flow === undefined ? {} : { flow }),
    ...(carrier === undefined ? {} : { carrier }),
    ...(friendly_name === undefined ? {} : { friendly_name }),
  });
};

export const phoneNumberRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  const ids = new NumberIds();
  createRoute(app, api);
  readRoutes(app, api, ids);
  updateRoutes(app, api, ids);
  deleteRoutes(app, api, ids);
  mapRoute(app, api, ids);
};

const createRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.post<{ Params: Path; Body: Static<typeof CreateSchema> }>(
    `${LIST_BASE}/phone-numbers`,
    { schema: { summary: 'Maps a number to a trunk', body: CreateSchema, response: oneChanged } },
    async (request, reply) => {
      const { phone_number, mode = null, ...rest } = request.body;
      const fresh = api.fresh();
      const made = await api.change(request, reply, (directory) => {
        const trunk = api.trunk(request, directory);
        if (!trunk.ok) return trunk;
        const { trunk_sid } = trunk.value;
        // The same words whoever has it: an account learns nothing of the others' numbers but that one is taken.
        if (directory.number(phone_number) !== undefined) {
          const cannot = `Unable to create DidTrunkMapping with TrunkSid ${trunk_sid}`;
          return err(duplicateListed(`${cannot} and PhoneNumber ${phone_number}: it is mapped already`));
        }
        const plain: PhoneNumber = { phone_number, trunk_sid, mode, ...fresh };
        const number = configured(directory, trunk.value, plain, { mode, ...rest });
        if (!number.ok) return number;
        return ok({ upserts: [{ type: 'phone_number', value: number.value }], deletes: [], result: number.value });
      });
      return single(api.asked(request), numberData(made));
    },
  );
};

const noSuchNumber = (id: string) => notFound(`There is no phone number ${echo(id)} on this trunk`);

/** The number of the path's trunk with this id. @throws ExotelError where there is none */
const numberOfRequest = async (
  ids: NumberIds,
  api: ExotelApi,
  request: FastifyRequest,
  { directory, id }: { readonly directory: Directory; readonly id: string },
): Promise<PhoneNumber> => {
  const trunk = api.trunk(request, directory);
  if (!trunk.ok) throw new ExotelError(trunk.error);
  const number = await ids.find(directory, trunk.value.trunk_sid, id);
  if (number === undefined) throw new ExotelError(noSuchNumber(id));
  return number;
};

const readRoutes = (app: FastifyInstance, api: ExotelApi, ids: NumberIds): void => {
  app.get<{ Params: Path; Querystring: Static<typeof PageQuerySchema> }>(
    `${LIST_BASE}/phone-numbers`,
    { schema: { summary: 'Numbers of a trunk', querystring: PageQuerySchema, response: pageRead } },
    async (request, reply) => {
      const directory = api.directory(reply);
      const trunk = api.trunk(request, directory);
      if (!trunk.ok) throw new ExotelError(trunk.error);
      const { trunk_sid } = trunk.value;
      const path = `${trunkPath(trunk.value)}/phone-numbers`;
      const page: Page<PhoneNumber> = pageOf(directory.numbersOf(trunk_sid), request.query, path, {
        total: directory.countNumbersOf(trunk_sid),
      });
      for (const number of page.items) ids.remember(number);
      return list(api.asked(request), page.metadata, page.items.map(numberData));
    },
  );
  app.get<{ Params: Path }>(
    `${LIST_BASE}/phone-numbers/:id`,
    { schema: { summary: 'One number of a trunk', response: oneRead } },
    async (request, reply) => {
      const { id } = request.params;
      const number = await numberOfRequest(ids, api, request, { directory: api.directory(reply), id });
      return single(api.asked(request), numberData(number));
    },
  );
};

const updateRoutes = (app: FastifyInstance, api: ExotelApi, ids: NumberIds): void => {
  for (const url of entryPaths('phone-numbers')) {
    app.put<{ Params: Path; Querystring: IdQuery; Body: Static<typeof UpdateSchema> }>(
      url,
      {
        schema: {
          summary: 'Changes who answers a number',
          querystring: idQuery,
          body: UpdateSchema,
          response: oneChanged,
        },
      },
      async (request, reply) => {
        const { phone_number, ...asked } = request.body;
        const id = idOfRequest(request.params, request.query);
        const date_updated = api.now();
        const found = await numberOfRequest(ids, api, request, { directory: api.deps.control.directory(), id });
        if (found.phone_number !== phone_number) {
          throw new ExotelError(invalid(`phone_number must be the number with the id ${echo(id)}`));
        }
        const changed = await api.change(request, reply, (directory) => {
          const trunk = api.trunk(request, directory);
          if (!trunk.ok) return trunk;
          const number = numberWithId(directory, phone_number, { trunkSid: trunk.value.trunk_sid, id });
          if (number === undefined) return err(noSuchNumber(id));
          const next = configured(directory, trunk.value, { ...number, id, date_updated }, asked);
          if (!next.ok) return next;
          return ok({ upserts: [{ type: 'phone_number', value: next.value }], deletes: [], result: next.value });
        });
        return single(api.asked(request), numberData(changed));
      },
    );
  }
};

const deleteRoutes = (app: FastifyInstance, api: ExotelApi, ids: NumberIds): void => {
  for (const url of entryPaths('phone-numbers')) {
    app.delete<{ Params: Path; Querystring: IdQuery }>(
      url,
      { schema: { summary: 'Takes a number away from a trunk', querystring: idQuery, response: oneChanged } },
      async (request, reply) => {
        const id = idOfRequest(request.params, request.query);
        const { phone_number } = await numberOfRequest(ids, api, request, {
          directory: api.deps.control.directory(),
          id,
        });
        const gone = await api.change(request, reply, (directory) => {
          const trunk = api.trunk(request, directory);
          if (!trunk.ok) return trunk;
          const number = numberWithId(directory, phone_number, { trunkSid: trunk.value.trunk_sid, id });
          if (number === undefined) return err(noSuchNumber(id));
          return ok({ upserts: [], deletes: [{ type: 'phone_number', id: phone_number }], result: number });
        });
        return single(api.asked(request), numberData(gone));
      },
    );
  }
};

const mapRoute = (app: FastifyInstance, api: ExotelApi, ids: NumberIds): void => {
  app.get<{ Params: Path; Querystring: Static<typeof MapQuerySchema> }>(
    '/accounts/:account_sid/trunk-maps',
    { schema: { summary: 'The trunk that a number is mapped to', querystring: MapQuerySchema, response: oneRead } },
    async (request, reply) => {
      const { exophone = '' } = request.query;
      if (exophone === '') throw new ExotelError(missing('exophone'));
      // A + that was not escaped in the query arrives as a space.
      const e164 = normaliseNumber(exophone.replace(/^ /, '+'));
      if (!e164.ok) throw new ExotelError(invalid('exophone must be E.164'));
      const number = numberOf(api.directory(reply), request.params.account_sid, e164.value);
      if (number === undefined) throw new ExotelError(notFound(`${e164.value} is mapped to no trunk`));
      return single(api.asked(request), trunkMapData(ids.remember(number)));
    },
  );
};
