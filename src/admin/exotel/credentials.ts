/** `/trunks/{trunk_sid}/credentials`: digest user names and passwords. No answer holds a password. */
import type { FastifyInstance } from 'fastify';
import type { Credential, Trunk } from '../../call/routing/resources.js';
import { err, ok, Type } from '../../kernel/index.js';
import type { ExotelApi, Outcome } from './api.js';
import { credentialData, credentialId } from './data.js';
import { duplicate } from './faults.js';
import { friendlyName, password, userName } from './fields.js';
import { type TrunkList, createRoute, listRoutes, updateRoutes } from './trunkLists.js';

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
  createRoute(app, api, credentials, {
    summary: 'Adds a user name and password to a trunk',
    body: CreateSchema,
    write: ({ user_name, password: secret, friendly_name }, fresh, { trunk }) => {
      const named = friendly_name === undefined ? {} : { friendly_name };
      return unique(trunk, { user_name, password: secret, ...named, ...fresh });
    },
  });
  updateRoutes(app, api, credentials, {
    summary: 'Changes a credential',
    body: UpdateSchema,
    write: ({ user_name, password: secret, friendly_name }, entry, { trunk }) => {
      const named = friendly_name === undefined ? {} : { friendly_name };
      const { user_name: userBefore, password: secretBefore } = entry;
      const next = { ...entry, user_name: user_name ?? userBefore, password: secret ?? secretBefore, ...named };
      return unique(trunk, next, entry);
    },
  });
};
