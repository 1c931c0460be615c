/** `/v1/organization-phone-numbers`: the account's numbers, and the agents that speak for them. */
import type { FastifyInstance } from 'fastify';
import { flowOfAgent } from '../../call/routing/agents.js';
import type { AgentVersion, PhoneNumber, ResourceKey } from '../../call/routing/resources.js';
import { AgentVersionSchema } from '../../call/routing/shapes.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { type NexaApi, type Outcome, answers, noSuchNumber, numberData } from './api.js';
import { fault } from './faults.js';

const PATH = '/organization-phone-numbers';
const MAX_PAGE = 200;

const count = (description: string, byDefault: string) =>
  Type.String({ pattern: '^[1-9][0-9]{0,5}$', default: byDefault, description });
const ListQuery = Type.Object({ limit: count('at most 200', '20'), page: count('from 1', '1') });
const IdParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) });

const AgentBody = Type.Union([
  Type.Object({
    agent_id: AgentVersionSchema.properties.agent_id,
    agent_version_number: AgentVersionSchema.properties.version,
  }),
  Type.Null(),
]);
const UpdateBody = Type.Object({
  inbound_agent: Type.Optional(AgentBody),
  outbound_agent: Type.Optional(AgentBody),
  nickname: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
});
type Update = Static<typeof UpdateBody>;

const NumberSchema = Type.Object(
  { id: Type.String(), phone_number: Type.String(), provider: Type.Unknown(), status: Type.String() },
  { additionalProperties: true },
);
const PageSchema = Type.Object({
  items: Type.Array(NumberSchema),
  total: Type.Integer(),
  page: Type.Integer(),
  limit: Type.Integer(),
});

export const phoneNumberRoutes = (app: FastifyInstance, api: NexaApi): void => {
  readRoutes(app, api);
  updateRoute(app, api);
  deleteRoute(app, api);
};

/** Trunk by trunk, without a look at those before the page. */
function* pageOf(directory: Directory, accountSid: string, offset: number, limit: number): Generator<PhoneNumber> {
  let skip = offset;
  let left = limit;
  for (const { trunk_sid } of directory.trunksOf(accountSid)) {
    const size = directory.countNumbersOf(trunk_sid);
    if (skip >= size) {
      skip -= size;
      continue;
    }
    for (const number of directory.numbersOf(trunk_sid)) {
      if (skip-- > 0) continue;
      skip = 0;
      if (left-- <= 0) return;
      yield number;
    }
  }
}

const readRoutes = (app: FastifyInstance, api: NexaApi): void => {
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    PATH,
    {
      schema: {
        summary: 'Numbers of the account',
        querystring: ListQuery,
        response: answers({ 200: PageSchema }, 400),
      },
    },
    async (request) => {
      const directory = api.directory();
      const { sid } = api.account(request, directory);
      const limit = Math.min(MAX_PAGE, Number(request.query.limit));
      const page = Number(request.query.page);
      let total = 0;
      for (const { trunk_sid } of directory.trunksOf(sid)) total += directory.countNumbersOf(trunk_sid);
      const numbers = [...pageOf(directory, sid, (page - 1) * limit, limit)];
      const items = numbers.map((number) => numberData(directory, api.ids.remember(number)));
      return { items, total, page, limit };
    },
  );
  app.get<{ Params: Static<typeof IdParams> }>(
    `${PATH}/:id`,
    { schema: { summary: 'One number', params: IdParams, response: answers({ 200: NumberSchema }, 404) } },
    async (request) => numberData(api.directory(), await api.number(request, request.params.id)),
  );
};

const agentOf = (body: Static<typeof AgentBody>): AgentVersion | undefined =>
  body === null ? undefined : { agent_id: body.agent_id, version: body.agent_version_number };

/** Null takes an agent away; what the body leaves out stays. An agent that answers needs mode `flow`, and ends with it. */
const updated = (directory: Directory, number: PhoneNumber, body: Update): Outcome<PhoneNumber> => {
  const { inbound_agent: inbound, outbound_agent: outbound, flow, mode, ...rest } = number;
  const next = {
    inbound_agent: body.inbound_agent === undefined ? inbound : agentOf(body.inbound_agent),
    outbound_agent: body.outbound_agent === undefined ? outbound : agentOf(body.outbound_agent),
  };
  for (const agent of [next.inbound_agent, next.outbound_agent]) {
    if (agent === undefined || flowOfAgent(agent, (id) => directory.flow(id)) !== undefined) continue;
    return err(fault(404, `Agent ${agent.agent_id} has no published version ${agent.version}`));
  }
  const answering = body.inbound_agent === undefined ? { mode, flow } : answeredBy(directory, next.inbound_agent);
  return ok({
    ...rest,
    mode: answering.mode,
    ...(answering.flow === undefined ? {} : { flow: answering.flow }),
    ...(next.inbound_agent === undefined ? {} : { inbound_agent: next.inbound_agent }),
    ...(next.outbound_agent === undefined ? {} : { outbound_agent: next.outbound_agent }),
    ...(body.nickname === undefined ? {} : { friendly_name: body.nickname }),
  });
};

/** The flow is named, too: so that it is not deleted while it answers. */
const answeredBy = (
  directory: Directory,
  agent: AgentVersion | undefined,
): { readonly mode: PhoneNumber['mode']; readonly flow: string | undefined } =>
  agent === undefined
    ? { mode: 'pstn', flow: undefined }
    : { mode: 'flow', flow: flowOfAgent(agent, (id) => directory.flow(id))?.id };

const updateRoute = (app: FastifyInstance, api: NexaApi): void => {
  app.patch<{ Params: Static<typeof IdParams>; Body: Update }>(
    `${PATH}/:id`,
    {
      schema: {
        summary: 'Sets the agents that answer and that speak for a number',
        params: IdParams,
        body: UpdateBody,
        response: answers({ 200: NumberSchema }, 400, 404, 415, 503),
      },
    },
    async (request) => {
      const { id } = request.params;
      const found = await api.number(request, id);
      const date_updated = api.now();
      const changed = await api.change(request, (directory) => {
        const number = api.again(directory, found, id);
        const next = number === undefined ? err(noSuchNumber) : updated(directory, number, request.body);
        if (!next.ok) return next;
        const value = { ...next.value, id, date_updated };
        return ok({ upserts: [{ type: 'phone_number', value }], deletes: [], result: value });
      });
      return numberData(api.directory(), changed);
    },
  );
};

/** Why a number must stay; undefined: it may go. */
const keptBecause = (directory: Directory, number: PhoneNumber): string | undefined => {
  const trunk = directory.trunk(number.trunk_sid);
  if (trunk?.settings?.trunk_external_alias === number.phone_number) return 'it is the default number of its trunk';
  if (number.inbound_agent !== undefined || number.outbound_agent !== undefined) return 'an agent uses it';
  return number.mode === 'flow' ? 'a flow answers it' : undefined;
};

/** A carrier that came with the number, and serves no other. */
const carrierOfItsOwn = (directory: Directory, number: PhoneNumber): ResourceKey[] => {
  const carrier = number.carrier === undefined ? undefined : directory.carrier(number.carrier);
  if (carrier?.kind !== 'byo' || carrier.account_sid === undefined) return [];
  if (directory.numbersThatName('carrier', carrier.id) > 1) return [];
  if (directory.account(carrier.account_sid)?.carriers?.includes(carrier.id) === true) return [];
  for (const group of directory.groupsOf(carrier.id)) if (group.carrier === carrier.id) return [];
  return [{ type: 'carrier', id: carrier.id }];
};

const deleteRoute = (app: FastifyInstance, api: NexaApi): void => {
  app.delete<{ Params: Static<typeof IdParams> }>(
    `${PATH}/:id`,
    {
      schema: {
        summary: 'Removes a number, with the carrier that it was brought along with',
        params: IdParams,
        response: answers({ 200: Type.Object({ id: Type.String(), message: Type.String() }) }, 404, 409, 503),
      },
    },
    async (request) => {
      const { id } = request.params;
      const found = await api.number(request, id);
      await api.change(request, (directory) => {
        const number = api.again(directory, found, id);
        if (number === undefined) return err(noSuchNumber);
        const why = keptBecause(directory, number);
        if (why !== undefined) return err(fault(409, `Phone number cannot be deleted: ${why}`));
        const own: ResourceKey = { type: 'phone_number', id: number.phone_number };
        return ok({ upserts: [], deletes: [own, ...carrierOfItsOwn(directory, number)], result: undefined });
      });
      return { id, message: 'Phone number deleted successfully' };
    },
  );
};
