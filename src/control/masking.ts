/** Secrets never leave: what APIs show of resources, and how what was shown is taken back. */
import type { ResourceChange } from '../call/routing/history.js';
import type { Resource } from '../call/routing/resources.js';
import { type Result, err, ok } from '../kernel/index.js';

export const MASK = '********';
/** In a difference: the secret is another one than before. */
export const CHANGED_MASK = '******** (changed)';

const SECRET_NAME = /secret|password|token|authorization/i;
const URL_PASSWORD = /^([a-z][a-z0-9+.-]*:\/\/[^/@\s]*?:)([^@\s]*)(?=@)/i;
/** What tells entries of a list apart. */
const IDENTITIES = ['key', 'user_name', 'id', 'destination', 'uri'] as const;

type Json = unknown;
type JsonObject = { readonly [name: string]: Json };

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A copy without secrets. Empty ones stay visibly empty. */
export const masked = <T>(value: T): T => shown(value, '', undefined) as T;

/** A change without secrets; one that was changed says so. */
export const maskedChange = ({ key, before, after }: ResourceChange): ResourceChange => ({
  key,
  before: before === undefined ? undefined : masked(before),
  after: after === undefined ? undefined : (shown(after, '', before) as Resource['value']),
});

/** @param before where given, secrets that differ from it are marked */
function shown(value: Json, name: string, before: Json): Json {
  if (typeof value === 'string') {
    const other = typeof before === 'string' && before !== value;
    if (SECRET_NAME.test(name)) return value === '' ? '' : other ? CHANGED_MASK : MASK;
    return value.includes('@') ? value.replace(URL_PASSWORD, `$1${MASK}`) : value;
  }
  if (Array.isArray(value)) return value.map((item, i) => shown(item, name, counterpart(before, item, i)));
  if (!isObject(value)) return value;
  const old = isObject(before) ? before : {};
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shown(item, key, old[key])]));
}

/**
 * The inverse of `masked`: a secret that is still masked stays what it is in the resource of today.
 * @returns the path of a mask that stands for nothing
 */
export const unmasked = <T>(value: T, current: Json): Result<T, string> => {
  try {
    return ok(restored(value, current, '') as T);
  } catch (error) {
    if (error instanceof NothingBehind) return err(error.message);
    throw error;
  }
};

class NothingBehind extends Error {}

function restored(value: Json, current: Json, path: string): Json {
  if (typeof value === 'string') {
    if (value === MASK || value === CHANGED_MASK) {
      if (typeof current === 'string') return current;
      throw new NothingBehind(path);
    }
    if (!value.includes(`:${MASK}@`)) return value;
    const password = typeof current === 'string' ? URL_PASSWORD.exec(current)?.[2] : undefined;
    if (password === undefined) throw new NothingBehind(path);
    return value.replace(URL_PASSWORD, (_whole, start: string) => start + password);
  }
  if (Array.isArray(value)) {
    return value.map((item, i) => restored(item, counterpart(current, item, i), `${path}[${i}]`));
  }
  if (!isObject(value)) return value;
  const old = isObject(current) ? current : {};
  const joint = path === '' ? '' : '.';
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, restored(item, old[key], `${path}${joint}${key}`)]),
  );
}

/** The entry of another version of a list that is meant: by its identity, or else by its place. */
function counterpart(list: Json, item: Json, index: number): Json {
  if (!Array.isArray(list)) return undefined;
  if (!isObject(item)) return list[index];
  const name = IDENTITIES.find((one) => typeof item[one] === 'string');
  if (name === undefined) return list[index];
  return (list as Json[]).find((one) => isObject(one) && one[name] === item[name]);
}
