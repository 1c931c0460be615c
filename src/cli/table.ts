import { setImmediate as nextTurn } from 'node:timers/promises';
import { type RoutingDocument, assemble } from '../call/routing/schema.js';
import type { Resource } from '../call/routing/resources.js';
import { TableBuilder } from '../call/routing/compile.js';
import type { RoutingTable } from '../call/routing/table.js';
import { type Config } from '../config/index.js';
import { SystemClock, TandemError } from '../kernel/index.js';
import { type StoreConfig, openStore } from '../store/index.js';

export const pause = (): Promise<void> => nextTurn();

/** Number format of the whole table, from the configuration. */
export const numberFormat = (config: Config): { countryCode?: string; nationalPrefix?: string } =>
  config.calls.defaultCountryCode === undefined
    ? {}
    : { countryCode: config.calls.defaultCountryCode, nationalPrefix: config.calls.nationalPrefix };

/**
 * Reads the routing document once, as a running node would at start, with everything that is wrong with it.
 * @throws TandemError with all problems when there is no valid document.
 */
export const readRouting = async (
  config: Config,
): Promise<{ readonly document: RoutingDocument; readonly table: RoutingTable }> => {
  const look = config.store.kind === 'file' ? { ...config.store, readOnly: true } : config.store;
  const store = openStore(look as StoreConfig, { clock: new SystemClock(), pause });
  const problems: string[] = [];
  let resources: Resource[] | undefined;
  let revision = '';
  try {
    await store.follow(
      async (update) => {
        if (update.kind !== 'full' || resources !== undefined) return;
        const all: Resource[] = [];
        for await (const batch of update.batches) all.push(...batch);
        resources = all;
        revision = update.revision;
      },
      (problem) => problems.push(problem.message),
    );
  } catch (error) {
    if (problems.length === 0) throw error;
    throw new TandemError({ code: 'invalid_routing_document', message: problems.join('\n'), cause: error });
  } finally {
    await store.close();
  }
  if (resources === undefined) {
    throw new TandemError({ code: 'no_routing_document', message: problems.join('\n') || 'no routing document' });
  }
  const builder = new TableBuilder({ format: numberFormat(config) });
  const table = await builder.compile({ kind: 'full', revision, batches: [resources] });
  return { document: assemble(resources), table };
};
