/** `/api/revisions`: the history, transactions, differences, rollback. */
import type { FastifyInstance } from 'fastify';
import type { Resource, ResourceKey } from '../../call/routing/resources.js';
import { maskedChange } from '../../control/index.js';
import { ok, type Static, Type } from '../../kernel/index.js';
import { faults } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { collectionOf } from './collections.js';
import { Pacer } from './pacing.js';
import { IfMatchSchema, RevisionAnswer, authorOf, failed, ifMatchOf, publish, tagged, valueOf } from './publishing.js';
import { intended } from './resourceRoutes.js';

/** Of a transaction: a deck of 500,000 prefixes. Parsing it holds the process for some 100 ms. */
const BODY_LIMIT = 16 * 1024 * 1024;
const CLOSED = { additionalProperties: false };
const tags = ['revisions'];

const RevisionId = Type.String({ minLength: 1, maxLength: 100 });
const Note = Type.Optional(Type.String({ minLength: 1, maxLength: 500, description: 'kept in the history' }));
const TypeSchema = Type.Enum(['account', 'carrier', 'trunk', 'phone_number', 'network_group', 'flow']);

const ListQuery = Type.Object(
  {
    limit: Type.String({ pattern: '^[1-9][0-9]{0,3}$', default: '50', description: 'At most so many, up to 1000' }),
    before: Type.Optional(RevisionId),
  },
  CLOSED,
);

const summary = {
  revision: Type.String(),
  base: Type.String({ description: 'the revision before' }),
  author: Type.String({ description: 'way:account/key, or file' }),
  at: Type.String(),
  note: Type.Optional(Type.String()),
};

const Page = Type.Object({
  current: Type.String(),
  revisions: Type.Array(Type.Object({ ...summary, changes: Type.Integer() })),
  trimmed: Type.Boolean({ description: 'older revisions are no longer kept' }),
});

const ChangeView = Type.Object({
  key: Type.Object({ type: TypeSchema, id: Type.String() }),
  before: Type.Optional(Type.Object({}, { additionalProperties: true })),
  after: Type.Optional(Type.Object({}, { additionalProperties: true })),
});

const Transaction = Type.Object(
  {
    note: Note,
    changes: Type.Array(
      Type.Union([
        Type.Object(
          {
            put: TypeSchema,
            value: Type.Object({}, { additionalProperties: true, description: 'the whole resource' }),
          },
          CLOSED,
        ),
        Type.Object({ delete: TypeSchema, id: Type.String({ minLength: 1, maxLength: 300 }) }, CLOSED),
      ]),
      { minItems: 1, maxItems: 100_000 },
    ),
  },
  CLOSED,
);

export const revisionRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  readRoutes(app, deps);
  diffRoute(app, deps);
  transactionRoute(app, deps);
  rollbackRoute(app, deps);
};

const readRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    '/api/revisions',
    {
      config: { operator: true },
      schema: {
        tags,
        summary: 'Lists revisions, newest first',
        querystring: ListQuery,
        response: { 200: Page, ...faults(400, 404) },
      },
    },
    async (request) => {
      const { before, limit } = request.query;
      const page = valueOf(await deps.control.revisions({ before, limit: Math.min(1000, Number(limit)) }));
      return { current: deps.control.directory().revision, ...page };
    },
  );
  app.get<{ Params: { id: string } }>(
    '/api/revisions/:id',
    {
      config: { operator: true },
      schema: {
        tags,
        summary: 'One revision with what it changed, before and after; secrets masked',
        params: Type.Object({ id: RevisionId }),
        response: { 200: Type.Object({ ...summary, changes: Type.Array(ChangeView) }), ...faults(404, 410) },
      },
    },
    async (request) => {
      const record = valueOf(await deps.control.revision(request.params.id));
      return { ...record, changes: record.changes.map(maskedChange) };
    },
  );
};

const DiffQuery = Type.Object({ from: RevisionId, to: Type.Optional(RevisionId) }, CLOSED);

const diffRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Querystring: Static<typeof DiffQuery> }>(
    '/api/revisions/diff',
    {
      config: { operator: true },
      schema: {
        tags,
        summary: 'What leads from one revision to another (default: the current one); secrets masked',
        querystring: DiffQuery,
        response: {
          200: Type.Object({ from: Type.String(), to: Type.String(), changes: Type.Array(ChangeView) }),
          ...faults(400, 404, 410),
        },
      },
    },
    async (request) => {
      const { from, to = deps.control.directory().revision } = request.query;
      const changes = valueOf(await deps.control.diff(from, to));
      return { from, to, changes: changes.map(maskedChange) };
    },
  );
};

const transactionRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.post<{ Body: Static<typeof Transaction> }>(
    '/api/revisions',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        tags,
        summary: 'Several changes as one revision: all of them, or none',
        headers: IfMatchSchema,
        body: Transaction,
        response: { 201: RevisionAnswer, ...faults(400, 404, 409, 412, 413, 415, 422, 503) },
      },
    },
    async (request, reply) => {
      const { changes, note } = request.body;
      const { revision } = await publish(
        deps,
        request,
        async (directory) => {
          const pacer = new Pacer(deps.clock);
          const upserts: Resource[] = [];
          const deletes: ResourceKey[] = [];
          for (const change of changes) {
            await pacer.step();
            if ('delete' in change) {
              deletes.push({ type: change.delete as ResourceKey['type'], id: change.id });
              continue;
            }
            const collection = collectionOf(change.put as Resource['type']);
            const wanted = intended(directory, collection, change.value, deps.clock.wallMs());
            if (!wanted.ok) return wanted;
            upserts.push(wanted.value);
          }
          return ok({ upserts, deletes, result: undefined });
        },
        { note },
      );
      return tagged(reply, revision).code(201).send({ revision });
    },
  );
};

const Rollback = Type.Object({ note: Note }, CLOSED);

const rollbackRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.post<{ Params: { id: string }; Body: Static<typeof Rollback> | null }>(
    '/api/revisions/:id/rollback',
    {
      config: { operator: true },
      schema: {
        tags,
        summary: 'A new revision that makes all that changed since this one what it was then',
        params: Type.Object({ id: RevisionId }),
        headers: IfMatchSchema,
        body: Rollback,
        response: {
          201: Type.Object({ revision: Type.String(), changes: Type.Integer() }),
          ...faults(404, 409, 410, 412, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const options = { ifMatch: ifMatchOf(request), note: request.body?.note };
      const back = await deps.control.rollback(authorOf(request), request.params.id, options);
      if (!back.ok) throw failed(back.error, options.ifMatch !== undefined);
      const { revision, result } = back.value;
      return tagged(reply, revision).code(201).send({ revision, changes: result });
    },
  );
};
