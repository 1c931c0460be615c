/** What the lists within a trunk have in common: reading them, adding, changing and taking away entries. */
import type { FastifyInstance } from 'fastify';
import type { Listed, Trunk } from '../../call/routing/resources.js';
import type { Directory } from '../../control/index.js';
import { err, ok, type Static, type TObject, Type } from '../../kernel/index.js';
import { oneChanged, oneRead, pageRead } from './answers.js';
import type { Edited, ExotelApi, Outcome, Path } from './api.js';
import { trunkPath } from './data.js';
import { list, single } from './envelope.js';
import { ExotelError, echo, invalid, missing, notFound } from './faults.js';
import { idQuery, pageFields } from './fields.js';
import { type Page, pageOf } from './paging.js';

/** Entries that one list of a trunk may have: a trunk is one resource, read and written as a whole. */
export const MAX_ENTRIES = 256;

/** One list of a trunk. */
export interface TrunkList<E extends Listed> {
  /** Last part of its path. */
  readonly path: string;
  readonly member: 'whitelisted_ips' | 'destination_uris' | 'credentials';
  /** One entry, in words: `whitelisted ip`. */
  readonly noun: string;
  entries(trunk: Trunk): readonly E[];
  id(entry: E, trunkSid: string): string;
  data(entry: E, trunk: Trunk): object;
  /** Members of `metadata` besides those of every list. */
  metadata?(page: Page<E>): object;
}

export const LIST_BASE = '/accounts/:account_sid/trunks/:trunk_sid';

const withEntries = <E extends Listed>(trunk: Trunk, list: TrunkList<E>, entries: readonly E[]): Trunk => ({
  ...trunk,
  [list.member]: entries,
});

/** Position of the entry with this id. */
const positionOf = <E extends Listed>(trunk: Trunk, list: TrunkList<E>, id: string): Outcome<number> => {
  const position = list.entries(trunk).findIndex((entry) => list.id(entry, trunk.trunk_sid) === id);
  return position < 0 ? err(notFound(`There is no ${list.noun} ${echo(id)} on this trunk`)) : ok(position);
};

export const appended = <E extends Listed>(trunk: Trunk, list: TrunkList<E>, entry: E): Outcome<Trunk> => {
  const entries = list.entries(trunk);
  if (entries.length >= MAX_ENTRIES) return err(invalid(`A trunk has at most ${MAX_ENTRIES} of ${list.path}`));
  return ok(withEntries(trunk, list, [...entries, entry]));
};

/** The trunk with one entry in place of that at `position`, and the data of the entry. */
const replaced = <E extends Listed>(trunk: Trunk, list: TrunkList<E>, position: number, entry: E): Edited<object> => {
  const next = withEntries(trunk, list, list.entries(trunk).with(position, entry));
  return { trunk: next, result: list.data(entry, next) };
};

/** Id of the path, else of the query. @throws ExotelError when there is neither */
export const idOfRequest = (params: Partial<Path>, query: { readonly id?: string }): string => {
  const id = params.id ?? query.id;
  if (id === undefined) throw new ExotelError(missing('id'));
  return id;
};

/** Paths of one entry: Exotel names it in the path here, in the query there; both are served throughout. */
export const entryPaths = (path: string): readonly string[] => [`${LIST_BASE}/${path}`, `${LIST_BASE}/${path}/:id`];

const PageQuerySchema = Type.Object(pageFields);
type IdQuery = Static<typeof idQuery>;

/** What an entry is checked against. */
export interface Surroundings {
  readonly trunk: Trunk;
  readonly directory: Directory;
}

/** How one entry is written: from what was sent, and, where it is changed, from what it was. */
export interface EntryWriting<E extends Listed, S extends TObject, From> {
  /** Of the route. */
  readonly summary: string;
  readonly body: S;
  write(body: Static<S>, from: From, at: Surroundings): Outcome<E>;
}

/** Id and dates of a new entry. */
export type Fresh = ReturnType<ExotelApi['fresh']>;

/** POST of one entry. */
export const createRoute = <E extends Listed, S extends TObject>(
  app: FastifyInstance,
  api: ExotelApi,
  of: TrunkList<E>,
  { summary, body, write }: EntryWriting<E, S, Fresh>,
): void => {
  app.post<{ Params: Path; Body: Static<S> }>(
    `${LIST_BASE}/${of.path}`,
    { schema: { summary, body, response: oneChanged } },
    async (request, reply) => {
      const sent = request.body as Static<S>;
      const fresh = api.fresh();
      const data = await api.changeTrunk(request, reply, (trunk, directory) => {
        const entry = write(sent, fresh, { trunk, directory });
        if (!entry.ok) return entry;
        const next = appended(trunk, of, entry.value);
        return next.ok ? ok({ trunk: next.value, result: of.data(entry.value, trunk) }) : next;
      });
      return single(api.asked(request), data);
    },
  );
};

/** `ip, mask or friendly_name`. */
const anyOf = (names: readonly string[]): string => `${names.slice(0, -1).join(', ')} or ${names.at(-1) ?? ''}`;

/** PUT of one entry: at least one member is sent. The entry keeps its id. */
export const updateRoutes = <E extends Listed, S extends TObject>(
  app: FastifyInstance,
  api: ExotelApi,
  of: TrunkList<E>,
  { summary, body, write }: EntryWriting<E, S, E>,
): void => {
  const names = Object.keys(body.properties);
  for (const url of entryPaths(of.path)) {
    app.put<{ Params: Path; Querystring: IdQuery; Body: Static<S> }>(
      url,
      { schema: { summary, querystring: idQuery, body, response: oneChanged } },
      async (request, reply) => {
        const sent = request.body as Static<S>;
        const id = idOfRequest(request.params, request.query);
        const given = sent as { readonly [name: string]: unknown };
        if (names.every((name) => given[name] === undefined)) throw new ExotelError(missing(anyOf(names)));
        const data = await api.changeTrunk(request, reply, (trunk, directory) => {
          const position = positionOf(trunk, of, id);
          if (!position.ok) return position;
          const entry = of.entries(trunk)[position.value] as E;
          const written = write(sent, entry, { trunk, directory });
          if (!written.ok) return written;
          const next: E = { ...written.value, id: of.id(entry, trunk.trunk_sid), date_updated: api.now() };
          return ok(replaced(trunk, of, position.value, next));
        });
        return single(api.asked(request), data);
      },
    );
  }
};

/** GET of the list and of one entry, DELETE. */
export const listRoutes = <E extends Listed>(app: FastifyInstance, api: ExotelApi, of: TrunkList<E>): void => {
  app.get<{ Params: Path; Querystring: Static<typeof PageQuerySchema> }>(
    `${LIST_BASE}/${of.path}`,
    { schema: { summary: `The ${of.path} of a trunk`, querystring: PageQuerySchema, response: pageRead } },
    async (request, reply) => {
      const trunk = api.trunk(request, api.directory(reply));
      if (!trunk.ok) throw new ExotelError(trunk.error);
      const page = pageOf(of.entries(trunk.value), request.query, `${trunkPath(trunk.value)}/${of.path}`);
      const items = page.items.map((entry) => of.data(entry, trunk.value));
      return list(api.asked(request), { ...page.metadata, ...of.metadata?.(page) }, items);
    },
  );
  app.get<{ Params: Path }>(
    `${LIST_BASE}/${of.path}/:id`,
    { schema: { summary: `One ${of.noun}`, response: oneRead } },
    async (request, reply) => {
      const trunk = api.trunk(request, api.directory(reply));
      if (!trunk.ok) throw new ExotelError(trunk.error);
      const position = positionOf(trunk.value, of, request.params.id);
      if (!position.ok) throw new ExotelError(position.error);
      return single(api.asked(request), of.data(of.entries(trunk.value)[position.value] as E, trunk.value));
    },
  );
  for (const url of entryPaths(of.path)) {
    app.delete<{ Params: Path; Querystring: IdQuery }>(
      url,
      { schema: { summary: `Removes one ${of.noun}`, querystring: idQuery, response: oneChanged } },
      async (request, reply) => {
        const id = idOfRequest(request.params, request.query);
        const gone = await api.changeTrunk(request, reply, (trunk) => {
          const position = positionOf(trunk, of, id);
          if (!position.ok) return position;
          const entry = of.entries(trunk)[position.value] as E;
          const next = withEntries(trunk, of, of.entries(trunk).toSpliced(position.value, 1));
          return ok({ trunk: next, result: of.data(entry, trunk) });
        });
        return single(api.asked(request), gone);
      },
    );
  }
};
