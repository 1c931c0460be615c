/** The types of resources as our API names them. */
import type { TSchema } from '../../kernel/index.js';
import type { PhoneNumber, Resource } from '../../call/routing/resources.js';
import { resourceKey } from '../../call/routing/schema.js';
import {
  AccountSchema,
  CarrierSchema,
  FlowSchema,
  NetworkGroupSchema,
  PhoneNumberSchema,
  TrunkSchema,
} from '../../call/routing/shapes.js';
import { type Directory, flowsOf } from '../../control/index.js';
import type { Principal } from '../principal.js';

export interface Collection {
  /** `/api/NAME` */
  readonly name: string;
  readonly type: Resource['type'];
  readonly one: string;
  readonly schema: TSchema;
  /** Members that make the id: they may be left out of a body, as the path has them. */
  readonly idOf: (id: string) => Readonly<Record<string, string>>;
  /** In order of id; whoever is no operator sees what is their own. */
  readonly list: (directory: Directory, principal: Principal, after: string | undefined) => Iterable<Resource['value']>;
  /** Cursor after a resource. */
  readonly cursor: (resource: Resource) => string;
  readonly dated: boolean;
}

const byId = (resource: Resource): string => resourceKey(resource).id;

const NAMED_GROUP = /^([^/]{1,128})\/([A-Z]{2})\/(.{1,128})$/;

/** Of an account: few enough to be put in order. */
const own = <T>(values: Iterable<T>, idOf: (value: T) => string, after: string | undefined): T[] =>
  [...values]
    .filter((value) => after === undefined || idOf(value) > after)
    .sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));

const accountOf = ({ operator, accountSid }: Principal): string | undefined =>
  operator ? undefined : (accountSid ?? '');

export const COLLECTIONS: readonly Collection[] = [
  {
    name: 'accounts',
    type: 'account',
    one: 'account',
    schema: AccountSchema,
    idOf: (sid) => ({ sid }),
    list: (directory, principal, after) => {
      const account = accountOf(principal);
      if (account === undefined) return directory.accounts(after);
      const found = directory.account(account);
      return found === undefined ? [] : own([found], (one) => one.sid, after);
    },
    cursor: byId,
    dated: true,
  },
  {
    name: 'carriers',
    type: 'carrier',
    one: 'carrier',
    schema: CarrierSchema,
    idOf: (id) => ({ id }),
    list: (directory, principal, after) => {
      const account = accountOf(principal);
      if (account === undefined) return directory.carriers(after);
      return own(directory.carriersOf(account), (one) => one.id, after);
    },
    cursor: byId,
    dated: true,
  },
  {
    name: 'trunks',
    type: 'trunk',
    one: 'trunk',
    schema: TrunkSchema,
    idOf: (trunk_sid) => ({ trunk_sid }),
    list: (directory, principal, after) => {
      const account = accountOf(principal);
      if (account === undefined) return directory.trunks(after);
      return own(directory.trunksOf(account), (one) => one.trunk_sid, after);
    },
    cursor: byId,
    dated: true,
  },
  {
    name: 'numbers',
    type: 'phone_number',
    one: 'phone number',
    schema: PhoneNumberSchema,
    idOf: (phone_number) => ({ phone_number }),
    list: (directory, principal, after) => numbers(directory, accountOf(principal), after),
    cursor: ({ value }) => `${(value as PhoneNumber).trunk_sid}/${(value as PhoneNumber).phone_number}`,
    dated: true,
  },
  {
    name: 'network-groups',
    type: 'network_group',
    one: 'network group',
    schema: NetworkGroupSchema,
    idOf: (id) => {
      const [, carrier, country_iso, name] = NAMED_GROUP.exec(id) ?? [];
      return carrier === undefined ? { id } : { carrier, country_iso: country_iso as string, name: name as string };
    },
    list: (directory, { operator }, after) => (operator ? directory.groups(after) : []),
    cursor: byId,
    dated: true,
  },
  {
    name: 'flows',
    type: 'flow',
    one: 'flow',
    schema: FlowSchema,
    idOf: (id) => ({ id }),
    list: (directory, principal, after) => {
      const account = accountOf(principal);
      if (account === undefined) return directory.flows(after);
      return own(flowsOf(directory, account), (one) => one.id, after);
    },
    cursor: byId,
    dated: false,
  },
];

/** Trunk by trunk: there may be a million. The cursor names both, so that neither need be there any more. */
function* numbers(directory: Directory, account: string | undefined, after: string | undefined) {
  const [sid, number] = after?.split('/', 2) ?? [];
  const own = sid !== undefined && (account === undefined || directory.trunk(sid)?.account_sid === account);
  if (own) yield* directory.numbersOf(sid, number);
  const trunks = account === undefined ? directory.trunks(sid) : ownTrunks(directory, account, sid);
  for (const trunk of trunks) yield* directory.numbersOf(trunk.trunk_sid);
}

const ownTrunks = (directory: Directory, account: string, after: string | undefined) =>
  own(directory.trunksOf(account), (one) => one.trunk_sid, after);

export const collectionOf = (type: Resource['type']): Collection =>
  COLLECTIONS.find((one) => one.type === type) as Collection;
