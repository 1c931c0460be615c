/** Where imported rates go: the store of the configuration, or a running node. */
import type { NetworkGroup } from '../call/routing/resources.js';
import type { Config } from '../config/index.js';
import { Control, type DeckDifference, DirectoryHolder, dateText, isControlProblem } from '../control/index.js';
import { SystemClock, TandemError, err, ok } from '../kernel/index.js';
import { type StoreConfig, openStore } from '../store/index.js';
import { AdminClient } from './adminClient.js';
import { pause } from './table.js';

type Decide = (current: Iterable<NetworkGroup>, now: string) => DeckDifference;

export interface RatesOutcome {
  readonly difference: DeckDifference;
  /** That serves now. */
  readonly revision: string;
  readonly published: boolean;
}

export interface RatesTarget {
  /** @throws TandemError `unknown_carrier`, or whatever kept the revision from being published */
  change(
    carrier: string,
    decide: Decide,
    options: { readonly publish: boolean; readonly note: string },
  ): Promise<RatesOutcome>;
  close(): Promise<void>;
}

const noCarrier = (carrier: string): TandemError =>
  new TandemError({ code: 'unknown_carrier', message: `there is no carrier '${carrier}'` });

const isEmpty = ({ upserts, deletes }: DeckDifference): boolean => upserts.length + deletes.length === 0;

/** Writes to the store itself, as a node would; nodes that follow it serve the revision. */
export const storeTarget = async (config: Config): Promise<RatesTarget> => {
  const clock = new SystemClock();
  const store = openStore(config.store as StoreConfig, { clock, pause });
  const directory = new DirectoryHolder(pause);
  const problems: string[] = [];
  try {
    await store.follow(
      (update) => directory.apply(update),
      (problem) => problems.push(problem.message),
    );
  } catch (error) {
    await store.close();
    if (problems.length === 0) throw error;
    throw new TandemError({ code: 'invalid_routing_document', message: problems.join('\n'), cause: error });
  }
  const control = new Control({ store, directory, clock });
  const author = { accountSid: undefined, key: undefined, via: 'cli' } as const;
  return {
    change: async (carrier, decide, { publish, note }) => {
      const work = (current: ReturnType<Control['directory']>) => {
        if (current.carrier(carrier) === undefined) return err(noCarrier(carrier));
        const difference = decide(current.groupsOf(carrier), dateText(clock.wallMs()));
        const { upserts, deletes } = publish ? difference : { upserts: [], deletes: [] };
        return ok({ upserts, deletes, note, result: difference });
      };
      const changed = await control.change(author, work);
      if (changed.ok) {
        const { revision, result } = changed.value;
        return { difference: result, revision, published: publish && !isEmpty(result) };
      }
      throw isControlProblem(changed.error)
        ? new TandemError({ code: changed.error.code, message: changed.error.message })
        : changed.error;
    },
    close: () => store.close(),
  };
};

/** Groups of one answer. */
const PAGE = 200;
/** What a node takes as one revision. */
const MAX_CHANGES = 100_000;
const MAX_BYTES = 16 * 1024 * 1024;

interface GroupPage {
  readonly revision: string;
  readonly items: readonly NetworkGroup[];
  readonly next: string | null;
}

/** Asks a running node; its answer to the change names the revision that it was decided by, so that none is overwritten. */
export const nodeTarget = async (
  config: Config,
  options: Readonly<Record<string, string | undefined>>,
): Promise<RatesTarget> => {
  const client = new AdminClient(config, options);
  const clock = new SystemClock();
  return {
    change: async (carrier, decide, { publish, note }) => {
      await client.ask('GET', `/api/carriers/${encodeURIComponent(carrier)}`);
      const { groups, revision } = await groupsOf(client, carrier);
      const difference = decide(groups, dateText(clock.wallMs()));
      if (!publish || isEmpty(difference)) return { difference, revision, published: false };
      const changes = [
        ...difference.deletes.map(({ type, id }) => ({ delete: type, id })),
        ...difference.upserts.map(({ type, value }) => ({ put: type, value })),
      ];
      const body = { note, changes };
      if (changes.length > MAX_CHANGES || Buffer.byteLength(JSON.stringify(body)) > MAX_BYTES) {
        const message = `${changes.length} changes are more than a node takes at once: import into the store, without --url`;
        throw new TandemError({ code: 'revision_too_large', message });
      }
      const answer = await client.ask<{ revision: string }>('POST', '/api/revisions', body, {
        'if-match': `"${revision}"`,
      });
      return { difference, revision: answer.revision, published: true };
    },
    close: () => Promise.resolve(),
  };
};

/** Ids of groups begin with their carrier, and lists are in their order. */
const groupsOf = async (
  client: AdminClient,
  carrier: string,
): Promise<{ readonly groups: readonly NetworkGroup[]; readonly revision: string }> => {
  const groups: NetworkGroup[] = [];
  let after: string | null = `${carrier}/`;
  let revision = '';
  while (after !== null) {
    const page: GroupPage = await client.ask(
      'GET',
      `/api/network-groups?limit=${PAGE}&after=${encodeURIComponent(after)}`,
    );
    const own = page.items.filter((group) => group.carrier === carrier);
    groups.push(...own);
    revision = page.revision;
    after = own.length === page.items.length ? page.next : null;
  }
  return { groups, revision };
};
