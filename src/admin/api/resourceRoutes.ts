/** `/api/{accounts,carriers,trunks,numbers,network-groups,flows}`: each resource by itself. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Resource } from '../../call/routing/resources.js';
import { resourceKey, validateResource } from '../../call/routing/schema.js';
import { type Decided, type Directory, dateText, existing, masked, ownerOf, unmasked } from '../../control/index.js';
import { err, ok, type Result, type Static, type TSchema, Type } from '../../kernel/index.js';
import { faults } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { ApiError, type ApiFault } from '../errors.js';
import { COLLECTIONS, type Collection } from './collections.js';
import { invalid } from './documentBody.js';
import { IfMatchSchema, notFoundFault, publish, tagged } from './publishing.js';

const PAGE = '100';
const MAX_PAGE = 1000;

const ListQuery = Type.Object(
  {
    limit: Type.String({ description: 'At most so many, up to 1000', pattern: '^[1-9][0-9]{0,3}$', default: PAGE }),
    after: Type.Optional(Type.String({ maxLength: 400, description: '`next` of the page before' })),
  },
  { additionalProperties: false },
);

const IdParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 300, description: 'id, URL-encoded' }) });

/** Members that the path, the clock or the account gives need not stand in a body. */
const bodyOf = ({ schema, idOf }: Collection): TSchema => {
  const given = new Set([...Object.keys(idOf('a/IN/b')), 'account_sid', 'date_created', 'date_updated']);
  const { required = [], ...rest } = schema as TSchema & { readonly required?: readonly string[] };
  return { ...rest, required: required.filter((name) => !given.has(name)) } as TSchema;
};

export const resourceRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  for (const collection of COLLECTIONS) {
    listRoute(app, deps, collection);
    readRoute(app, deps, collection);
    writeRoute(app, deps, collection);
    deleteRoute(app, deps, collection);
  }
};

const listRoute = (app: FastifyInstance, deps: AdminDeps, collection: Collection): void => {
  const { name, type, one, schema, list, cursor } = collection;
  const answer = Type.Object({
    revision: Type.String(),
    items: Type.Array(schema),
    next: Type.Union([Type.String(), Type.Null()], { description: '`after` of the next page' }),
  });
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    `/api/${name}`,
    {
      schema: {
        tags: [name],
        summary: `Lists: ${one}`,
        querystring: ListQuery,
        response: { 200: answer, ...faults(400) },
      },
    },
    async (request, reply) => {
      const limit = Math.min(MAX_PAGE, Number(request.query.limit));
      const directory = deps.control.directory();
      const items: Resource['value'][] = [];
      let next: string | null = null;
      for (const value of list(directory, request.principal, request.query.after)) {
        if (items.length === limit) {
          next = cursor({ type, value: items.at(-1) } as Resource);
          break;
        }
        items.push(value);
      }
      return tagged(reply, directory.revision).send({ revision: directory.revision, items: items.map(masked), next });
    },
  );
};

/** The resource, if there is one that this principal may see. */
const visible = (
  { principal }: FastifyRequest,
  directory: Directory,
  { type, one }: Collection,
  id: string,
): Result<Resource, ApiFault> => {
  const found = existing(directory, { type, id });
  const seen = found !== undefined && (principal.operator || ownerOf(directory, found) === principal.accountSid);
  return seen ? ok(found) : err(notFoundFault(`${one} ${id}`));
};

const readRoute = (app: FastifyInstance, deps: AdminDeps, collection: Collection): void => {
  const { name, one, schema } = collection;
  app.get<{ Params: Static<typeof IdParams> }>(
    `/api/${name}/:id`,
    { schema: { tags: [name], summary: `Shows: ${one}`, params: IdParams, response: { 200: schema, ...faults(404) } } },
    async (request, reply) => {
      const directory = deps.control.directory();
      const found = visible(request, directory, collection, request.params.id);
      if (!found.ok) throw new ApiError(found.error);
      return tagged(reply, directory.revision).send(masked(found.value.value));
    },
  );
};

/**
 * The resource that a body means: ids from the path, secrets that are masked from what is there, dates from the clock.
 */
export const intended = (
  directory: Directory,
  { type, dated }: Pick<Collection, 'type' | 'dated'>,
  body: object,
  wallMs: number,
): Result<Resource, ApiFault> => {
  const draft = { type, value: body } as Resource;
  const before = existing(directory, resourceKey(draft))?.value;
  const open = unmasked(body, before);
  if (!open.ok) return err(invalid(`${open.error} is masked, and there is nothing that it stands for`));
  const now = dateText(wallMs);
  const created = (before as { readonly date_created?: string } | undefined)?.date_created;
  const dates = before === undefined ? { date_created: now } : created === undefined ? {} : { date_created: created };
  const { date_created: _created, date_updated: _updated, ...rest } = open.value as Record<string, unknown>;
  const value = dated ? { ...rest, ...dates, date_updated: now } : open.value;
  const checked = validateResource({ type, value: structuredClone(value) });
  return checked.ok ? checked : err(invalid(checked.error.map((one) => one.message).join('; ')));
};

const writeRoute = (app: FastifyInstance, deps: AdminDeps, collection: Collection): void => {
  const { name, one, schema, idOf } = collection;
  app.put<{ Params: Static<typeof IdParams>; Body: Record<string, unknown> }>(
    `/api/${name}/:id`,
    {
      // A new account, or other rights of one, are not for its own keys.
      config: { operator: name !== 'trunks' && name !== 'numbers' },
      schema: {
        tags: [name],
        summary: `Creates or replaces: ${one}`,
        params: IdParams,
        headers: IfMatchSchema,
        body: bodyOf(collection),
        response: { 200: schema, 201: schema, ...faults(400, 404, 409, 412, 415, 422, 503) },
      },
    },
    async (request, reply) => {
      const { principal, body, params } = request;
      const ids = idOf(params.id);
      for (const [member, value] of Object.entries(ids)) {
        if (body[member] !== undefined && body[member] !== value) {
          throw new ApiError(invalid(`${member} is '${value}' by the path, and another in the body`));
        }
      }
      const account = collection.type === 'trunk' && !principal.operator ? { account_sid: principal.accountSid } : {};
      const complete = { ...account, ...body, ...ids };
      const { revision, result } = await publish(deps, request, (directory) => {
        const wanted = intended(directory, collection, complete, deps.clock.wallMs());
        if (!wanted.ok) return wanted;
        const created = existing(directory, resourceKey(wanted.value)) === undefined;
        const decided: Decided<{ created: boolean; value: Resource['value'] }> = {
          upserts: [wanted.value],
          deletes: [],
          result: { created, value: wanted.value.value },
        };
        return ok(decided);
      });
      return tagged(reply, revision)
        .code(result.created ? 201 : 200)
        .send(masked(result.value));
    },
  );
};

const deleteRoute = (app: FastifyInstance, deps: AdminDeps, collection: Collection): void => {
  const { name, type, one } = collection;
  app.delete<{ Params: Static<typeof IdParams> }>(
    `/api/${name}/:id`,
    {
      config: { operator: name !== 'trunks' && name !== 'numbers' },
      schema: {
        tags: [name],
        summary: `Deletes: ${one}`,
        params: IdParams,
        headers: IfMatchSchema,
        response: { 200: Type.Object({ revision: Type.String() }), ...faults(404, 409, 412, 503) },
      },
    },
    async (request, reply) => {
      const { revision } = await publish(deps, request, (directory) => {
        const found = visible(request, directory, collection, request.params.id);
        return found.ok ? ok({ upserts: [], deletes: [{ type, id: request.params.id }], result: undefined }) : found;
      });
      return tagged(reply, revision).send({ revision });
    },
  );
};
