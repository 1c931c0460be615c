/** A routing document as it comes in a request: taken apart and checked resource by resource. */
import { isDeepStrictEqual } from 'node:util';
import type { Resource, ResourceKey } from '../../call/routing/resources.js';
import { resourceKey, validateResource } from '../../call/routing/schema.js';
import { type Change, type Directory, existing, resourcesOf, unmasked } from '../../control/index.js';
import { type Result, err, ok } from '../../kernel/index.js';
import type { ApiFault } from '../errors.js';
import type { Pacer } from './pacing.js';

const SECTIONS: { readonly [name: string]: Resource['type'] } = {
  accounts: 'account',
  carriers: 'carrier',
  flows: 'flow',
  network_groups: 'network_group',
  trunks: 'trunk',
};

interface Found {
  readonly path: string;
  readonly type: Resource['type'];
  readonly value: unknown;
}

export const invalid = (message: string): ApiFault => ({
  status: 422,
  code: 'invalid_document',
  message,
  remedy: 'correct what the message names',
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every resource of a document, with its path; a string is what is wrong with the document itself. */
function* resourcesIn(body: Record<string, unknown>): Generator<Found | string> {
  for (const [name, list] of Object.entries(body)) {
    const type = Object.hasOwn(SECTIONS, name) ? SECTIONS[name] : undefined;
    if (type === undefined) return yield `the document has an unknown key '${name.slice(0, 64)}'`;
    if (!Array.isArray(list)) return yield `${name} must be an array`;
    for (const [i, item] of (list as unknown[]).entries()) {
      const path = `${name}[${i}]`;
      if (type !== 'trunk' || !isObject(item)) {
        yield { path, type, value: item };
        continue;
      }
      const { phone_numbers: numbers = [], ...trunk } = item;
      yield { path, type, value: trunk };
      if (!Array.isArray(numbers)) return yield `${path}.phone_numbers must be an array`;
      for (const [j, number] of (numbers as unknown[]).entries()) {
        const value = isObject(number) ? { ...number, trunk_sid: trunk['trunk_sid'] } : number;
        yield { path: `${path}.phone_numbers[${j}]`, type: 'phone_number', value };
      }
    }
  }
}

/**
 * The change that makes this document of what there is, or of an account's part of it. Masked secrets stand for those
 * that are there.
 * @param accountSid undefined: the whole document
 */
export async function changeTo(
  directory: Directory,
  body: Record<string, unknown>,
  accountSid: string | undefined,
  pacer: Pacer,
): Promise<Result<Change, ApiFault>> {
  const upserts: Resource[] = [];
  const named = new Set<string>();
  for (const found of resourcesIn(body)) {
    if (typeof found === 'string') return err(invalid(found));
    const checked = checkedResource(directory, found);
    if (!checked.ok) return checked;
    const key = resourceKey(checked.value);
    const name = `${key.type} ${key.id}`;
    if (named.has(name)) return err(invalid(`${found.path} is there twice: ${name}`));
    named.add(name);
    if (!isDeepStrictEqual(existing(directory, key)?.value, checked.value.value)) upserts.push(checked.value);
    await pacer.step();
  }
  const deletes: ResourceKey[] = [];
  for (const resource of resourcesOf(directory, accountSid)) {
    const key = resourceKey(resource);
    if (!named.has(`${key.type} ${key.id}`)) deletes.push(key);
    await pacer.step();
  }
  return ok({ upserts, deletes });
}

function checkedResource(directory: Directory, { path, type, value }: Found): Result<Resource, ApiFault> {
  // The shape first: what is none has no identity to look for.
  const checked = validateResource({ type, value });
  if (!checked.ok) {
    const [first] = checked.error;
    return err(invalid(`${path}${first === undefined || first.path === '' ? ' ' : '.'}${first?.message ?? ''}`));
  }
  const open = unmasked(checked.value.value, existing(directory, resourceKey(checked.value))?.value);
  if (open.ok) return ok({ type, value: open.value } as Resource);
  return err(invalid(`${path}.${open.error} is masked, and there is nothing that it stands for`));
}
