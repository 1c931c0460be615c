/** `/api/registrations`: who is registered where, and where this node is. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from '../kernel/index.js';
import { answers } from './answers.js';
import type { AdminDeps, ContactView } from './deps.js';
import { ApiError } from './errors.js';
import { mayUse } from './principal.js';

const MAX_SHOWN = 1000;
const text = (description: string, maxLength = 1024) => Type.String({ description, maxLength });

const ContactSchema = Type.Object(
  {
    trunkSid: text('trunk'),
    userName: text('user name of its credentials'),
    contact: text('URI that calls go to'),
    accountSid: Type.Union([Type.String(), Type.Null()]),
  },
  { additionalProperties: true },
);

const ListSchema = Type.Object({
  total: Type.Integer({ description: 'Contacts, shown or not' }),
  registrations: Type.Array(ContactSchema),
  carriers: Type.Optional(
    Type.Array(Type.Object({}, { additionalProperties: true }), {
      description: 'Registrations of this node; operators',
    }),
  ),
});

const ListQuery = Type.Object(
  { trunk: Type.Optional(text('of this trunk alone', 128)) },
  { additionalProperties: false },
);
const WhichQuery = Type.Object(
  {
    trunk: text('trunk', 128),
    user: text('user name', 64),
    contact: Type.Optional(text('URI of the contact; default: all of the user')),
  },
  { additionalProperties: false },
);
const RemovedSchema = Type.Object({ removed: Type.Integer() });

export const registrationRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    '/api/registrations',
    {
      schema: {
        summary: 'Contacts of registered users: of the account of the key, for operators of all',
        querystring: ListQuery,
        response: answers(ListSchema, 400),
      },
    },
    async (request) => {
      const { trunk } = request.query;
      const registrations: ContactView[] = [];
      let total = 0;
      for (const line of deps.registrations?.list() ?? []) {
        if (!mayUse(request, line.accountSid) || (trunk !== undefined && line.trunkSid !== trunk)) continue;
        if (++total <= MAX_SHOWN) registrations.push(line);
      }
      const carriers = request.principal.operator ? { carriers: deps.registrations?.carriers() ?? [] } : {};
      return { total, registrations, ...carriers };
    },
  );
  app.delete<{ Querystring: Static<typeof WhichQuery> }>(
    '/api/registrations',
    {
      schema: {
        summary: 'Drops contacts of a user; it may register again',
        querystring: WhichQuery,
        response: answers(RemovedSchema, 400, 404),
      },
    },
    async (request) => {
      const { trunk, user, contact } = request.query;
      const { registrations } = deps;
      if (registrations !== undefined && isVisible(request, deps, trunk)) {
        const removed = await registrations.remove(trunk, user, contact);
        if (removed > 0) return { removed };
      }
      throw new ApiError({
        status: 404,
        code: 'registration_not_found',
        message: `no such contact of user ${user} of trunk ${trunk} is registered`,
        remedy: 'list them with GET /api/registrations',
      });
    },
  );
};

/** To all others the trunk does not exist. */
const isVisible = (request: Parameters<typeof mayUse>[0], deps: AdminDeps, trunkSid: string): boolean => {
  for (const line of deps.registrations?.list() ?? []) {
    if (line.trunkSid === trunkSid) return mayUse(request, line.accountSid);
  }
  return false;
};
