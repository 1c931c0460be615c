/** `/trunks`. */
import type { FastifyInstance } from 'fastify';
import type { Trunk } from '../../call/routing/resources.js';
import { type Directory, removalOfTrunk } from '../../control/index.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import type { Principal } from '../principal.js';
import { ADDITION_NAMES, additionFields, guarded, withAddition } from './additions.js';
import { oneChanged, oneRead, pageRead } from './answers.js';
import { type ExotelApi, type Outcome, type Path, trunkOf } from './api.js';
import { DEFAULT_AUTH_TYPE, DEFAULT_NSO_CODE, trunkData, trunksPath } from './data.js';
import { list, single } from './envelope.js';
import { ExotelError, duplicate, echo, missing } from './faults.js';
import { authType, domainName, nsoCode, pageFields, trunkName } from './fields.js';
import { pageOf } from './paging.js';

const status = Type.Unsafe<'active' | 'inactive'>({
  type: 'string',
  enum: ['active', 'inactive'],
  description: 'an inactive trunk takes no calls',
  rule: 'must be active or inactive',
});

const CreateSchema = Type.Object({
  trunk_name: trunkName,
  nso_code: Type.Optional(nsoCode),
  domain_name: Type.Optional(domainName),
  auth_type: Type.Optional(authType),
  ...additionFields,
});

const UpdateSchema = Type.Object({
  trunk_name: Type.Optional(trunkName),
  nso_code: Type.Optional(nsoCode),
  auth_type: Type.Optional(authType),
  status: Type.Optional(status),
  ...additionFields,
});

const trunkSidText = Type.Optional(Type.String({ maxLength: 128, description: 'this trunk only' }));
const ListQuerySchema = Type.Object({ ...pageFields, trunk_sid: trunkSidText });
const SidQuerySchema = Type.Object({ trunk_sid: trunkSidText });

type Create = Static<typeof CreateSchema>;
type Update = Static<typeof UpdateSchema>;

/** 20 characters after a prefix in Exotel's manner; nobody can guess one. */
const newTrunkSid = (hex: string): string => `trtdm1${hex}`;
const SID_BYTES = 10;

const nameTaken = (directory: Directory, accountSid: string, { trunk_sid, trunk_name }: Trunk): boolean => {
  for (const other of directory.trunksOf(accountSid)) {
    if (other.trunk_name === trunk_name && other.trunk_sid !== trunk_sid) return true;
  }
  return false;
};

const unique = (directory: Directory, trunk: Trunk): Outcome<Trunk> =>
  nameTaken(directory, trunk.account_sid, trunk)
    ? err(duplicate(`A trunk with the name ${echo(trunk.trunk_name)} exists already`))
    : ok(trunk);

/** Sets the additions that the body names. */
const extended = (trunk: Trunk, body: Create | Update, principal: Principal): Outcome<Trunk> => {
  let next = trunk;
  for (const name of ADDITION_NAMES) {
    if (!Object.hasOwn(body, name)) continue;
    const fault = guarded(name, principal);
    if (fault !== undefined) return err(fault);
    next = withAddition(next, name, body[name]);
  }
  return ok(next);
};

export const trunkRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  createRoute(app, api);
  readRoutes(app, api);
  updateRoute(app, api);
  deleteRoutes(app, api);
};

const BASE = '/accounts/:account_sid/trunks';

const createRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.post<{ Params: Path; Body: Create }>(
    BASE,
    { schema: { summary: 'Makes a trunk', body: CreateSchema, response: oneChanged } },
    async (request, reply) => {
      const { account_sid } = request.params;
      const { body } = request;
      const now = api.now();
      const trunk: Trunk = {
        trunk_sid: newTrunkSid(api.deps.random.hex(SID_BYTES)),
        account_sid,
        trunk_name: body.trunk_name,
        domain_name: body.domain_name ?? `${account_sid}.pstn.${api.deps.trunkDomain}`,
        status: 'active',
        nso_code: body.nso_code ?? DEFAULT_NSO_CODE,
        auth_type: body.auth_type ?? DEFAULT_AUTH_TYPE,
        whitelisted_ips: [],
        credentials: [],
        destination_uris: [],
        date_created: now,
        date_updated: now,
      };
      const full = extended(trunk, body, request.principal);
      const made = await api.change(request, reply, (directory) => {
        const checked = full.ok ? unique(directory, full.value) : full;
        if (!checked.ok) return checked;
        return ok({ upserts: [{ type: 'trunk', value: checked.value }], deletes: [], result: checked.value });
      });
      return single(api.asked(request), trunkData(made));
    },
  );
};

const readRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  app.get<{ Params: Path; Querystring: Static<typeof ListQuerySchema> }>(
    BASE,
    { schema: { summary: 'Trunks of the account', querystring: ListQuerySchema, response: pageRead } },
    async (request, reply) => {
      const { account_sid } = request.params;
      const { trunk_sid: wanted = '' } = request.query;
      const directory = api.directory(reply);
      const one = trunkOf(directory, account_sid, wanted);
      const trunks = wanted === '' ? directory.trunksOf(account_sid) : one.ok ? [one.value] : [];
      const page = pageOf(trunks, request.query, trunksPath(account_sid), {
        filter: wanted === '' ? {} : { trunk_sid: wanted },
      });
      return list(api.asked(request), page.metadata, page.items.map(trunkData));
    },
  );
  app.get<{ Params: Path }>(
    `${BASE}/:trunk_sid`,
    { schema: { summary: 'One trunk', response: oneRead } },
    async (request, reply) => {
      const trunk = api.trunk(request, api.directory(reply));
      if (!trunk.ok) throw new ExotelError(trunk.error);
      return single(api.asked(request), trunkData(trunk.value));
    },
  );
};

const updateRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.put<{ Params: Path; Body: Update }>(
    `${BASE}/:trunk_sid`,
    { schema: { summary: 'Changes what the body names of a trunk', body: UpdateSchema, response: oneChanged } },
    async (request, reply) => {
      const { body } = request;
      const named = Object.keys(UpdateSchema.properties).filter((name) => Object.hasOwn(body, name));
      if (named.length === 0) throw new ExotelError(missing('trunk_name, auth_type or nso_code'));
      const { trunk_name, nso_code, auth_type, status: wanted } = body;
      const changed = await api.changeTrunk(request, reply, (trunk, directory) => {
        const own: Trunk = {
          ...trunk,
          ...(trunk_name === undefined ? {} : { trunk_name }),
          ...(nso_code === undefined ? {} : { nso_code }),
          ...(auth_type === undefined ? {} : { auth_type }),
          ...(wanted === undefined ? {} : { status: wanted }),
          date_updated: api.now(),
        };
        const next = extended(own, body, request.principal);
        const checked = next.ok ? unique(directory, next.value) : next;
        return checked.ok ? ok({ trunk: checked.value, result: checked.value }) : checked;
      });
      return single(api.asked(request), trunkData(changed));
    },
  );
};

const deleteRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  for (const url of [BASE, `${BASE}/:trunk_sid`]) {
    app.delete<{ Params: Path; Querystring: Static<typeof SidQuerySchema> }>(
      url,
      {
        schema: {
          summary: 'Removes a trunk with its phone numbers',
          querystring: SidQuerySchema,
          response: oneChanged,
        },
      },
      async (request, reply) => {
        const { account_sid } = request.params;
        const sid = (request.params as Partial<Path>).trunk_sid ?? request.query.trunk_sid ?? '';
        if (sid === '') throw new ExotelError(missing('trunk_sid'));
        const gone = await api.change(request, reply, (directory) => {
          const trunk = trunkOf(directory, account_sid, sid);
          if (!trunk.ok) return trunk;
          return ok({ upserts: [], deletes: [...removalOfTrunk(directory, sid)], result: trunk.value });
        });
        return single(api.asked(request), trunkData(gone));
      },
    );
  }
};
