/** Where the routing document lives. One port (RoutingStore of call/routing), three adapters. */
import type { RoutingStore } from '../call/routing/resources.js';
import { FileStore, type FileStoreOptions } from './file/fileStore.js';
import { MemoryDocument, MemoryStore } from './memory/memoryStore.js';
import { RedisStore, type RedisStoreOptions } from './redis/redisStore.js';
import type { StoreDeps } from './timeSlice.js';

export { RedisRecordStream } from './redis/recordStream.js';
export { RedisSpendStore } from './redis/spendStore.js';
export { RedisLimitExchange, type LimitExchangeOptions } from './redis/limitExchange.js';
export { RedisRegistrationStore, type RedisRegistrationOptions } from './redis/redisRegistrations.js';
export { RedisNodes, type RedisNodesOptions } from './redis/redisNodes.js';
export { FileRegistrationStore } from './file/fileRegistrations.js';
export { MemoryRegistrationStore, MemoryRegistrations } from './memory/memoryRegistrations.js';
export type { Pause, StoreDeps } from './timeSlice.js';
export { MemoryDocument, MemoryStore } from './memory/memoryStore.js';

export type StoreConfig =
  | ({ readonly kind: 'file'; /** YAML, or JSON when it ends in `.json`. */ readonly path: string } & FileStoreOptions)
  | ({ readonly kind: 'redis' } & RedisStoreOptions)
  | { readonly kind: 'memory'; /** Nested form, as in a file. */ readonly document?: unknown };

/**
 * Opens the store that the configuration names. Nothing is read or connected before `follow` or `publish`.
 * @throws TandemError `invalid_document` for a document in memory that does not validate.
 */
export function openStore(config: StoreConfig, deps: StoreDeps): RoutingStore {
  switch (config.kind) {
    case 'file':
      return new FileStore(config.path, deps, config);
    case 'redis':
      return new RedisStore(config, deps);
    case 'memory':
      return new MemoryStore(new MemoryDocument(config.document), deps);
  }
}
