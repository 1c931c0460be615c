import type { ResourceType } from '../call/routing/resources.js';

/** Their order is that of Redis keys and of the numbers in Redis changes: append only. */
export const RESOURCE_TYPES: readonly ResourceType[] = [
  'account',
  'carrier',
  'trunk',
  'phone_number',
  'network_group',
  'flow',
];

export const isResourceType = (value: unknown): value is ResourceType =>
  typeof value === 'string' && (RESOURCE_TYPES as readonly string[]).includes(value);
