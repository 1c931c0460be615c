/** `/api/accounts/:sid/keys`: keys are made here, shown once, and kept as hashes. */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Account, ApiKey } from '../../call/routing/resources.js';
import { type Decided, type Directory, dateText } from '../../control/index.js';
import { err, ok, type Random, type Result, type Static, Type } from '../../kernel/index.js';
import { faults } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { ApiError, type ApiFault } from '../errors.js';
import { mayUse } from '../principal.js';
import { IfMatchSchema, notFoundFault, publish, tagged } from './publishing.js';

const TOKEN_BYTES = 32;
const SALT_BYTES = 16;
const KEY_BYTES = 8;
const MAX_KEYS = 100;
const tags = ['keys'];
const CLOSED = { additionalProperties: false };

const Sid = Type.String({ minLength: 1, maxLength: 128 });
const ScopeSchema = Type.Union([Type.Literal('read'), Type.Literal('write'), Type.Literal('admin')]);
const NewKey = Type.Object(
  { friendly_name: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })), scope: Type.Optional(ScopeSchema) },
  CLOSED,
);
const KeyView = Type.Object({
  key: Type.String(),
  scope: ScopeSchema,
  friendly_name: Type.Optional(Type.String()),
  date_created: Type.Optional(Type.String()),
  date_updated: Type.Optional(Type.String()),
});
const Shown = Type.Object({ ...KeyView.properties, token: Type.String({ description: 'shown this once' }) });

const view = ({ key, scope = 'admin', friendly_name, date_created, date_updated }: ApiKey) => ({
  key,
  scope,
  friendly_name,
  date_created,
  date_updated,
});

/** `sha256:<salt>:<hash over salt and token>`. One round will do: the token has 256 random bits. */
const hashOf = (token: string, random: Random): string => {
  const salt = random.hex(SALT_BYTES);
  const hash = createHash('sha256').update(Buffer.from(salt, 'hex')).update(token).digest('hex');
  return `sha256:${salt}:${hash}`;
};

const accountOf = (request: FastifyRequest, directory: Directory, sid: string): Result<Account, ApiFault> => {
  const account = directory.account(sid);
  return account !== undefined && mayUse(request, sid) ? ok(account) : err(notFoundFault(`account ${sid}`));
};

const noKey = (key: string): ApiFault => notFoundFault(`key ${key}`);

export const keyRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  listRoute(app, deps);
  createRoute(app, deps);
  rotateRoute(app, deps);
  deleteRoute(app, deps);
};

/** Publishes another list of keys of an account. Keys are an account's own to manage, which its other rights are not. */
const changeKeys = async <T>(
  deps: AdminDeps,
  request: FastifyRequest,
  sid: string,
  change: (keys: readonly ApiKey[]) => Result<{ keys: readonly ApiKey[]; result: T }, ApiFault>,
): Promise<{ readonly revision: string; readonly result: T }> => {
  const found = accountOf(request, deps.control.directory(), sid);
  if (!found.ok) throw new ApiError(found.error);
  const work = (directory: Directory): Result<Decided<T>, ApiFault> => {
    const account = directory.account(sid);
    if (account === undefined) return err(notFoundFault(`account ${sid}`));
    const changed = change(account.api_keys ?? []);
    if (!changed.ok) return changed;
    const value = { ...account, api_keys: changed.value.keys, date_updated: dateText(deps.clock.wallMs()) };
    return ok({ upserts: [{ type: 'account', value }], deletes: [], result: changed.value.result });
  };
  return publish(deps, request, work, { checked: true });
};

const listRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Params: { sid: string } }>(
    '/api/accounts/:sid/keys',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: 'Keys of an account, without tokens',
        params: Type.Object({ sid: Sid }),
        response: { 200: Type.Object({ keys: Type.Array(KeyView) }), ...faults(404) },
      },
    },
    async (request, reply) => {
      const directory = deps.control.directory();
      const account = accountOf(request, directory, request.params.sid);
      if (!account.ok) throw new ApiError(account.error);
      return tagged(reply, directory.revision).send({ keys: (account.value.api_keys ?? []).map(view) });
    },
  );
};

const createRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.post<{ Params: { sid: string }; Body: Static<typeof NewKey> }>(
    '/api/accounts/:sid/keys',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: 'Makes a key; its token is shown this once',
        params: Type.Object({ sid: Sid }),
        headers: IfMatchSchema,
        body: NewKey,
        response: { 201: Shown, ...faults(400, 404, 409, 412, 415, 503) },
      },
    },
    async (request, reply) => {
      const { random, clock } = deps;
      const token = random.hex(TOKEN_BYTES);
      const now = dateText(clock.wallMs());
      const made: ApiKey = {
        key: `key_${random.hex(KEY_BYTES)}`,
        token_hash: hashOf(token, random),
        scope: 'admin',
        ...request.body,
        date_created: now,
        date_updated: now,
      };
      const { revision } = await changeKeys(deps, request, request.params.sid, (keys) =>
        keys.length < MAX_KEYS ? ok({ keys: [...keys, made], result: undefined }) : err(tooMany),
      );
      return tagged(reply, revision)
        .code(201)
        .send({ ...view(made), token });
    },
  );
};

const tooMany: ApiFault = {
  status: 409,
  code: 'too_many_keys',
  message: `an account has at most ${MAX_KEYS} keys`,
  remedy: 'delete those that nobody uses',
};

const KeyParams = Type.Object({ sid: Sid, key: Type.String({ minLength: 1, maxLength: 128 }) });

const rotateRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.post<{ Params: Static<typeof KeyParams> }>(
    '/api/accounts/:sid/keys/:key/rotate',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: 'Gives a key another token, shown this once; the old one ends at once',
        params: KeyParams,
        headers: IfMatchSchema,
        response: { 200: Shown, ...faults(404, 409, 412, 503) },
      },
    },
    async (request, reply) => {
      const { random, clock } = deps;
      const { sid, key } = request.params;
      const token = random.hex(TOKEN_BYTES);
      const hash = hashOf(token, random);
      const { revision, result } = await changeKeys(deps, request, sid, (keys) => {
        const found = keys.find((one) => one.key === key);
        if (found === undefined) return err(noKey(key));
        const { token: _old, ...rest } = found;
        const next: ApiKey = { ...rest, token_hash: hash, date_updated: dateText(clock.wallMs()) };
        return ok({ keys: keys.map((one) => (one === found ? next : one)), result: next });
      });
      return tagged(reply, revision).send({ ...view(result), token });
    },
  );
};

const deleteRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  app.delete<{ Params: Static<typeof KeyParams> }>(
    '/api/accounts/:sid/keys/:key',
    {
      config: { scope: 'admin' },
      schema: {
        tags,
        summary: 'Deletes a key; it ends at once',
        params: KeyParams,
        headers: IfMatchSchema,
        response: { 200: Type.Object({ revision: Type.String() }), ...faults(404, 409, 412, 503) },
      },
    },
    async (request, reply) => {
      const { sid, key } = request.params;
      const { revision } = await changeKeys(deps, request, sid, (keys) => {
        const left = keys.filter((one) => one.key !== key);
        return left.length === keys.length ? err(noKey(key)) : ok({ keys: left, result: undefined });
      });
      return tagged(reply, revision).send({ revision });
    },
  );
};
