/**
 * What a trunk has here and not at Exotel: fields of POST and PUT of trunks, and names of `/settings`. They are shown
 * only where they are set, so that a trunk of a client that knows nothing of them looks as it does at Exotel.
 */
import { Type } from '../../kernel/index.js';
import type { Trunk } from '../../call/routing/resources.js';
import { TrunkSchema } from '../../call/routing/shapes.js';
import { type Principal, hasScope } from '../principal.js';
import { type ExotelFault, forbidden } from './faults.js';

const { limits, failover, allow_prefixes, deny_prefixes, spend_per_day, media } = TrunkSchema.properties;

const nullable = (schema: object, description: string) =>
  Type.Optional(Type.Unsafe<unknown>({ ...schema, nullable: true, description: `${description}; null removes it` }));

/** Optional members of the body of POST and PUT of trunks. */
export const additionFields = {
  limits: nullable(limits, 'calls_per_second and concurrent_calls of the trunk'),
  failover: nullable(failover, 'status, class or event -> next | stop | {rewrite: STATUS}'),
  allow_prefixes: nullable(allow_prefixes, 'digits of numbers that may be called'),
  deny_prefixes: nullable(deny_prefixes, 'digits of numbers that may not be called'),
  spend_per_day: nullable(spend_per_day, 'amount and currency that calls may cost in a day'),
  media: nullable(media, 'codecs, srtp, nat, ptime_ms, timeout_seconds of legs that a flow answers or dials'),
  country_code: nullable(
    { type: 'string', pattern: '^[1-9][0-9]{0,3}$', rule: 'must be 1 to 4 digits' },
    'country code that completes national numbers',
  ),
  national_prefix: nullable(
    { type: 'string', pattern: '^[0-9]{0,4}$', rule: 'must be up to 4 digits' },
    'what marks a national number and is removed',
  ),
  caller_id: nullable(
    { type: 'string', enum: ['reject', 'replace', 'pass', null], rule: 'must be reject, replace or pass' },
    'what becomes of a caller ID that is not mapped to the trunk',
  ),
};

export type AdditionName = keyof typeof additionFields;

const ON_TRUNK: ReadonlySet<string> = new Set([
  'limits',
  'failover',
  'allow_prefixes',
  'deny_prefixes',
  'spend_per_day',
  'media',
]);

/** What keeps a stolen key from spending without bound: only keys of scope admin change it. */
const GUARDS: ReadonlySet<string> = new Set([
  'limits',
  'allow_prefixes',
  'deny_prefixes',
  'spend_per_day',
  'caller_id',
]);

export const ADDITION_NAMES = Object.keys(additionFields) as readonly AdditionName[];

export const isAddition = (name: string): name is AdditionName => Object.hasOwn(additionFields, name);

/** @returns the fault of a key that may write but not change this. */
export const guarded = (name: string, principal: Principal): ExotelFault | undefined =>
  GUARDS.has(name) && !hasScope(principal, 'admin')
    ? forbidden(`${name} guards against fraud: only a key of scope admin changes it`)
    : undefined;

type Open = { readonly [name: string]: unknown };

/** The addition's value; undefined where it is not set. */
export const additionOf = (trunk: Trunk, name: AdditionName): unknown => {
  const place = (ON_TRUNK.has(name) ? trunk : (trunk.settings ?? {})) as Open;
  return place[name];
};

/** The trunk with the addition set, or without it for null and undefined. The value fits the addition's schema. */
export const withAddition = (trunk: Trunk, name: AdditionName, value: unknown): Trunk => {
  if (ON_TRUNK.has(name)) return withMember(trunk, name, value);
  return withSetting(trunk, name, value);
};

/** The same for a member of `settings`. */
export const withSetting = (trunk: Trunk, name: string, value: unknown): Trunk => {
  const settings = withMember<object>(trunk.settings ?? {}, name, value);
  return withMember(trunk, 'settings', Object.keys(settings).length === 0 ? undefined : settings);
};

const withMember = <T extends object>(object: T, name: string, value: unknown): T => {
  const { [name]: _, ...rest } = object as Open;
  return (value === undefined || value === null ? rest : { ...rest, [name]: value }) as T;
};

/** All additions that are set, as members of the trunk's data. */
export const shownAdditions = (trunk: Trunk): object => {
  const shown: Record<string, unknown> = {};
  for (const name of ADDITION_NAMES) {
    const value = additionOf(trunk, name);
    if (value !== undefined) shown[name] = value;
  }
  return shown;
};
