/** `/trunks/{trunk_sid}/credentials`: digest user names and passwords. No answer holds a password. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Credential, Trunk } from '../../call/routing/resources.js';
import { err, ok } from '../../kernel/index.js';
import { oneChanged } from './answers.js';
import type { ExotelApi, Outcome, Path } from './api.js';
import { credentialData, credentialId } from './data.js';
import { single } from './envelope.js';
import { ExotelError, duplicate, missing } from './faults.js';
import { friendlyName, idQuery, password, userName } from './fields.js';
import {
  LIST_BASE,
  type TrunkList,
  appended,
  entryPaths,
  idOfRequest,
  listRoutes,
  positionOf,
  replaced,
} from './trunkLists.js';

const CreateSchema = Type.Object({ user_name: userName, password, friendly_name: Type.Optional(friendlyName) });
const UpdateSchema = Type.Partial(CreateSchema);

export const credentials: TrunkList<Credential> = {
  path: 'credentials',
  member: 'credentials',
  noun: 'credential',
  entries: (trunk) => trunk.credentials ?? [],
  id: credentialId,
  data: credentialData,
  metadata: (page) => ({ total: page.total, page: page.number }),
};

const unique = (trunk: Trunk, entry: Credential, except?: Credential): Outcome<Credential> => {
  const taken = credentials.entries(trunk).some((other) => other !== except && other.user_name === entry.user_name);
  return taken ? err(duplicate(`A credential with the user_name ${entry.user_name} exists already`)) : ok(entry);
};

export const credentialRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  listRoutes(app, api, credentials);
  createRoute(app, api);
  updateRoutes(app, api);
};

const createRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.post<{ Params: Path; Body: Static<typeof CreateSchema> }>(
    `${LIST_BASE}/credentials`,
    { schema: { summary: 'Adds a user name and password to a trunk', body: CreateSchema, response: oneChanged } },
    async (request, reply) => {
      const { user_name, password: secret, friendly_name } = request.body;
      const named = friendly_name === undefined ? {} : { friendly_name };
      const entry: Credential = { user_name, password: secret, ...named, ...api.fresh() };
      const data = await api.changeTrunk(request, reply, (trunk) => {
        const checked = unique(trunk, entry);
        const next = checked.ok ? appended(trunk, credentials, checked.value) : checked;
        return next.ok ? ok({ trunk: next.value, result: credentialData(entry, trunk) }) : next;
      });
      return single(api.asked(request), data);
    },
  );
};

const updateRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  for (const url of entryPaths('credentials')) {
    app.put<{ Params: Path; Querystring: Static<typeof idQuery>; Body: Static<typeof UpdateSchema> }>(
      url,
      { schema: { summary: 'Changes a credential', querystring: idQuery, body: UpdateSchema, response: oneChanged } },
      async (request, reply) => {
        const { user_name, password: secret, friendly_name } = request.body;
        const id = idOfRequest(request.params, request.query);
        if (user_name === undefined && secret === undefined && friendly_name === undefined) {
          throw new ExotelError(missing('user_name, password or friendly_name'));
        }
        const data = await api.changeTrunk(request, reply, (trunk) => {
          const position = positionOf(trunk, credentials, id);
          if (!position.ok) return position;
          const entry = credentials.entries(trunk)[position.value] as Credential;
          const next: Credential = {
            ...entry,
            id: credentialId(entry, trunk.trunk_sid),
            user_name: user_name ?? entry.user_name,
            password: secret ?? entry.password,
            ...(friendly_name === undefined ? {} : { friendly_name }),
            date_updated: api.now(),
          };
          const checked = unique(trunk, next, entry);
          return checked.ok ? ok(replaced(trunk, credentials, position.value, next)) : checked;
        });
        return single(api.asked(request), data);
      },
    );
  }
};
