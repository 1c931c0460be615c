/** A memory store, the directory that follows it, and the control over both. */
import type { Account, RoutingStore } from '../../src/call/routing/resources.js';
import { Control, DirectoryHolder } from '../../src/control/index.js';
import { type Clock, SystemClock } from '../../src/kernel/index.js';
import { MemoryDocument, MemoryStore } from '../../src/store/index.js';

export interface ControlRig {
  readonly document: MemoryDocument;
  readonly store: RoutingStore;
  readonly holder: DirectoryHolder;
  readonly control: Control;
  /** Accounts as they are: for `keyChecker`. */
  accounts(): Iterable<Account>;
  close(): Promise<void>;
}

/** @param document nested form, or one that other rigs share. */
export const controlRig = async (
  document: unknown = {},
  clock: Clock = new SystemClock(),
  open: (shared: MemoryDocument) => RoutingStore = (shared) =>
    new MemoryStore(shared, { clock, pause: () => Promise.resolve() }),
): Promise<ControlRig> => {
  const shared = document instanceof MemoryDocument ? document : new MemoryDocument(document);
  const store = open(shared);
  const holder = new DirectoryHolder();
  await store.follow(
    (update) => holder.apply(update),
    (problem) => {
      throw new Error(problem.message);
    },
  );
  const control = new Control({ store, directory: holder, clock });
  return {
    document: shared,
    store,
    holder,
    control,
    accounts: () => holder.current.accounts(),
    close: () => store.close(),
  };
};
