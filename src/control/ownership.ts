/** Whose a resource is. Network groups, and carriers and flows that name no account, are the operator's. */
import type { Resource, ResourceKey } from '../call/routing/resources.js';
import { resourceKey } from '../call/routing/schema.js';
import type { Change } from './change.js';
import type { Directory } from './directory.js';
import { existing, flowsOf } from './references.js';

/** Account that a resource belongs to; undefined: to the operator. */
export const ownerOf = (directory: Directory, resource: Resource): string | undefined => {
  switch (resource.type) {
    case 'account':
      return resource.value.sid;
    case 'trunk':
    case 'carrier':
    case 'flow':
      return resource.value.account_sid;
    case 'phone_number':
      return directory.trunk(resource.value.trunk_sid)?.account_sid;
    case 'network_group':
      return undefined;
  }
};

/**
 * What an account may write itself. Its carriers come through the API for numbers brought along, which checks them; flows
 * may dial trunks, and are the operator's to write.
 */
const OWN_TYPES: readonly Resource['type'][] = ['trunk', 'phone_number'];

/** The first thing in a change that this account may not touch: to it, that thing does not exist. */
export function notOwned(directory: Directory, change: Change, accountSid: string): ResourceKey | undefined {
  const trunks = new Set<string>();
  for (const { type, value } of change.upserts) {
    if (type === 'trunk' && value.account_sid === accountSid) trunks.add(value.trunk_sid);
  }
  const allowed = (key: ResourceKey): boolean => {
    if (!OWN_TYPES.includes(key.type)) return false;
    const now = existing(directory, key);
    return now === undefined || ownerOf(directory, now) === accountSid;
  };
  for (const resource of change.upserts) {
    const key = resourceKey(resource);
    const inOwnTrunk = resource.type === 'phone_number' && trunks.has(resource.value.trunk_sid);
    if (!allowed(key) || (!inOwnTrunk && ownerOf(directory, resource) !== accountSid)) return key;
  }
  return change.deletes.find((key) => !allowed(key) || existing(directory, key) === undefined);
}

/** All that is an account's; undefined: all there is. In the order that documents have. */
export function* resourcesOf(directory: Directory, accountSid: string | undefined): Generator<Resource> {
  const account = accountSid === undefined ? undefined : directory.account(accountSid);
  const accounts = accountSid === undefined ? directory.accounts() : account === undefined ? [] : [account];
  for (const value of accounts) yield { type: 'account', value };
  for (const value of accountSid === undefined ? directory.carriers() : directory.carriersOf(accountSid)) {
    yield { type: 'carrier', value };
  }
  for (const value of accountSid === undefined ? directory.flows() : flowsOf(directory, accountSid)) {
    yield { type: 'flow', value };
  }
  if (accountSid === undefined) {
    for (const value of directory.groups()) yield { type: 'network_group', value };
  }
  for (const trunk of accountSid === undefined ? directory.trunks() : directory.trunksOf(accountSid)) {
    yield { type: 'trunk', value: trunk };
    for (const value of directory.numbersOf(trunk.trunk_sid)) yield { type: 'phone_number', value };
  }
}
