/** `/trunks/{trunk_sid}/destination-uris`: where a trunk's inbound calls go. */
import type { FastifyInstance } from 'fastify';
import { parseEndpoint } from '../../call/routing/endpoint.js';
import { type RegisteredUser, parseRegistered } from '../../call/routing/registeredTarget.js';
import { coversAddress } from '../../call/routing/lintAcl.js';
import type { Trunk } from '../../call/routing/resources.js';
import { err, ok, type Static, Type } from '../../kernel/index.js';
import { bulkChanged } from './answers.js';
import type { ExotelApi, Outcome, Path } from './api.js';
import { checker } from './checking.js';
import { type Destination, destinationData, destinationId } from './data.js';
import { type ItemOutcome, bulk } from './envelope.js';
import { duplicate, invalid } from './faults.js';
import { share } from './fields.js';
import { type Fresh, LIST_BASE, type TrunkList, appended, listRoutes, updateRoutes } from './trunkLists.js';

/** Entries of one bulk request. */
const MAX_ITEMS = 100;

const NOT_VALID = 'Destination is not a valid Ip or Fqdn';

const priority = share('lower is tried first; default 0');
const weight = share('share among destinations of equal priority; default 1');

const ItemSchema = Type.Object({
  destination: Type.String({
    maxLength: 300,
    description: 'host:port;transport=tls|tcp|udp; registered:USER for a user who registers',
    rule: 'must be host:port;transport=tls|tcp|udp',
  }),
  priority: Type.Optional(priority),
  weight: Type.Optional(weight),
});

/** Items are checked one by one: a bad one does not spoil the others. */
const CreateSchema = Type.Object({
  destinations: Type.Array(Type.Unsafe<unknown>({ description: '{destination, priority, weight}' }), {
    minItems: 1,
    maxItems: MAX_ITEMS,
    description: 'objects with the member destination; priority and weight may be given at once',
    rule: `must be an array of 1 to ${MAX_ITEMS} objects`,
  }),
});
const UpdateSchema = Type.Object({ priority: Type.Optional(priority), weight: Type.Optional(weight) });

export const destinationUris: TrunkList<Destination> = {
  path: 'destination-uris',
  member: 'destination_uris',
  noun: 'destination uri',
  entries: (trunk) => trunk.destination_uris,
  id: destinationId,
  data: destinationData,
};

const checkItem = checker(ItemSchema);

/** What tells a destination from another: however it is written. */
const canonical = (text: string): string => {
  const endpoint = parseEndpoint(text);
  return endpoint.ok ? endpoint.value.text : text;
};

/** An address must be whitelisted before it is a destination; a name need not. */
const readDestination = (item: unknown, trunk: Trunk, fresh: Fresh): Outcome<Destination> => {
  const fault = checkItem(item);
  if (fault !== undefined) return err(fault.code === 1007 ? invalid('Each destination must be an object') : fault);
  const { destination, priority: order = 0, weight: part = 1 } = item as Static<typeof ItemSchema>;
  const users = parseRegistered(destination);
  if (users !== undefined) return readUsers(destination, users, trunk, { priority: order, weight: part, ...fresh });
  const endpoint = parseEndpoint(destination);
  // One label alone is no fully qualified name.
  if (!endpoint.ok || (!endpoint.value.isAddress && !endpoint.value.host.includes('.'))) return err(invalid(NOT_VALID));
  const { text, host, isAddress } = endpoint.value;
  if (isAddress && !coversAddress(trunk.whitelisted_ips, host)) return err(invalid('Destination not whitelisted'));
  if (trunk.destination_uris.some((other) => canonical(other.destination) === text)) {
    return err(duplicate(`Destination sip:${text} exists already`));
  }
  return ok({ destination: text, priority: order, weight: part, ...fresh });
};

/** An addition to Exotel's: users of the trunk, wherever they are registered. They must have a password to register with. */
const readUsers = (
  destination: string,
  { userName }: RegisteredUser,
  trunk: Trunk,
  entry: Omit<Destination, 'destination'>,
): Outcome<Destination> => {
  const names = (trunk.credentials ?? []).map(({ user_name: name }) => name);
  if (userName === undefined ? names.length === 0 : !names.includes(userName)) {
    return err(invalid('Destination names a user without credentials'));
  }
  if (trunk.destination_uris.some((other) => other.destination === destination)) {
    return err(duplicate(`Destination ${destination} exists already`));
  }
  return ok({ destination, ...entry });
};

export const destinationUriRoutes = (app: FastifyInstance, api: ExotelApi): void => {
  listRoutes(app, api, destinationUris);
  createRoute(app, api);
  updateRoutes(app, api, destinationUris, {
    summary: 'Changes priority and weight of a destination',
    body: UpdateSchema,
    write: ({ priority: order, weight: part }, entry) =>
      ok({ ...entry, priority: order ?? entry.priority, weight: part ?? entry.weight }),
  });
};

const createRoute = (app: FastifyInstance, api: ExotelApi): void => {
  app.post<{ Params: Path; Body: Static<typeof CreateSchema> }>(
    `${LIST_BASE}/destination-uris`,
    { schema: { summary: 'Adds destinations to a trunk', body: CreateSchema, response: bulkChanged } },
    async (request, reply) => {
      const fresh = request.body.destinations.map(() => api.fresh());
      const outcomes = await api.changeTrunk(request, reply, (before) => {
        let trunk = before;
        const results = request.body.destinations.map((item, i): ItemOutcome => {
          const entry = readDestination(item, trunk, fresh[i] as Fresh);
          const next = entry.ok ? appended(trunk, destinationUris, entry.value) : entry;
          if (!next.ok) return { fault: next.error };
          trunk = next.value;
          return { data: destinationData(trunk.destination_uris.at(-1) as Destination, trunk) };
        });
        return ok({ trunk, result: results });
      });
      const answer = bulk(api.asked(request), outcomes);
      return reply.code(answer.http_code).send(answer);
    },
  );
};
