/** A routing document for nodes that share a Redis: published before they start. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { SystemClock } from '../../src/kernel/index.js';
import { openStore } from '../../src/store/index.js';

/** Throws when the document is not valid. @param url of the Redis */
export const publishRouting = async (url: string, routing: object): Promise<void> => {
  const valid = validateDocument(structuredClone(routing));
  if (!valid.ok) throw new Error(JSON.stringify(valid.error));
  const store = openStore({ kind: 'redis', url }, { clock: new SystemClock(), pause: nextTurn });
  await store.publish({ author: 'test', upserts: flatten(valid.value), deletes: [] });
  await store.close();
};
