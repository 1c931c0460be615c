import type { Resource, RoutingStore } from '../call/routing/resources.js';
import { type Clock, type Result, type Timer, err, ok } from '../kernel/index.js';
import type { ResourceChange, RevisionPage, RevisionRecord } from '../call/routing/history.js';
import { type Author, type Change, authorText } from './change.js';
import { changesBetween, difference, undo } from './difference.js';
import type { Directory } from './directory.js';
import type { DirectoryHolder } from './directoryHolder.js';
import { type ControlProblem, controlProblem, storeProblem } from './problem.js';
import { forbiddenTarget } from './callTargets.js';
import { checkReferences } from './references.js';
import { revisionNumber } from './revisionNumber.js';

/** How often work is done anew because another writer was first. */
const MAX_ATTEMPTS = 5;
/** Reading one's own writes: how long a publication may take to come back to this process. */
const SERVED_MS = 2_000;

/** Changes that wait for their turn; a store that is slow must not pile up more. */
const MAX_WAITING = 200;

export interface ControlDeps {
  readonly store: RoutingStore;
  readonly directory: DirectoryHolder;
  readonly clock: Clock;
  /** Whether what a tenant names may be called at this address; default: anywhere. */
  readonly mayCall?: ((address: string) => boolean) | undefined;
}

export interface ChangeOptions {
  /** The change is refused unless this revision is current. */
  readonly ifMatch?: string | undefined;
  /** Kept in the history. */
  readonly note?: string | undefined;
}

/** What work decides: what to publish, and what to answer once it is. */
export interface Decided<T> extends Change {
  readonly result: T;
}

export interface Published<T> {
  /** The current one, when there was nothing to change. */
  readonly revision: string;
  readonly result: T;
}

/**
 * Changes the routing document. Changes of one process wait for one another, so that they do not refuse each other;
 * those of other processes are noticed by their revision.
 */
export class Control {
  readonly #deps: ControlDeps;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
  }

  /** Of the newest revision that this process has. */
  directory(): Directory {
    return this.#deps.directory.current;
  }

  /**
   * Reads, decides, publishes as one revision, and waits (2 s at most) until this process serves it.
   * @param work without side effects, at once or in turns of its own: it runs again when another writer was first, unless `ifMatch` names a revision. Its
   *   failure is the answer, and nothing is published.
   */
  change<T, F>(
    author: Author,
    work: (directory: Directory) => Result<Decided<T>, F> | Promise<Result<Decided<T>, F>>,
    options: ChangeOptions = {},
  ): Promise<Result<Published<T>, F | ControlProblem>> {
    return this.#inTurn(() => this.#change(author, work, options));
  }

  /** Newest first. */
  revisions(query: {
    readonly before?: string | undefined;
    readonly limit: number;
  }): Promise<Result<RevisionPage, ControlProblem>> {
    return asked(() => this.#deps.store.history.list(query));
  }

  /** One revision with what it changed: secrets are in it, see `maskedChange`. */
  revision(id: string): Promise<Result<RevisionRecord, ControlProblem>> {
    return asked(() => this.#deps.store.history.get(id));
  }

  /** What leads from one revision to the other, each resource once. */
  diff(from: string, to: string): Promise<Result<readonly ResourceChange[], ControlProblem>> {
    return asked(() => difference(this.#deps.store.history, from, to));
  }

  /**
   * A new revision that makes everything that changed since this one what it was then.
   * @returns how many resources it wrote or deleted
   */
  rollback(
    author: Author,
    id: string,
    options: ChangeOptions = {},
  ): Promise<Result<Published<number>, ControlProblem>> {
    const work = async (directory: Directory): Promise<Result<Decided<number>, ControlProblem>> => {
      const since = await asked(() => changesBetween(this.#deps.store.history, id, directory.revision));
      if (!since.ok) return since;
      const back = undo(directory, since.value);
      return ok({ ...back, note: `rollback to ${id}`, result: back.upserts.length + back.deletes.length });
    };
    return this.#inTurn(() => this.#change(author, work, options));
  }

  #inTurn<T, E>(work: () => Promise<Result<T, E>>): Promise<Result<T, E | ControlProblem>> {
    if (this.#waiting >= MAX_WAITING) {
      return Promise.resolve(err(controlProblem('store_busy', `${MAX_WAITING} changes wait already`)));
    }
    this.#waiting++;
    const done = this.#queue.then(work).finally(() => this.#waiting--);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #change<T, F>(
    author: Author,
    work: (directory: Directory) => Result<Decided<T>, F> | Promise<Result<Decided<T>, F>>,
    { ifMatch, note }: ChangeOptions,
  ): Promise<Result<Published<T>, F | ControlProblem>> {
    for (let attempt = 1; ; attempt++) {
      const directory = this.directory();
      if (ifMatch !== undefined && ifMatch !== directory.revision) return err(conflict(ifMatch, directory.revision));
      const decided = await work(directory);
      if (!decided.ok) return decided;
      const { result, upserts, deletes, note: own } = decided.value;
      if (upserts.length + deletes.length === 0) return ok({ revision: directory.revision, result });
      const broken = checkReferences(directory, { upserts, deletes });
      if (broken !== undefined) return err(broken);
      const { mayCall } = this.#deps;
      const forbidden =
        author.accountSid === undefined || mayCall === undefined
          ? undefined
          : forbiddenTarget(upserts, directory, mayCall);
      if (forbidden !== undefined) {
        return err(controlProblem('invalid_document', `${forbidden} is at an address that calls must not go to`));
      }
      const told = note ?? own;
      const change = { author: authorText(author), upserts, deletes, ...(told === undefined ? {} : { note: told }) };
      const published = await this.#publish(directory.revision, change);
      if (published.ok) return ok({ revision: published.value, result });
      if (published.error.code !== 'revision_conflict') return published;
      await this.#until((current) => current.revision !== directory.revision);
      const current = this.directory().revision;
      if (ifMatch !== undefined || attempt >= MAX_ATTEMPTS) return err(conflict(directory.revision, current));
    }
  }

  async #publish(
    base: string,
    change: { readonly author: string; readonly note?: string } & {
      readonly upserts: readonly Resource[];
      readonly deletes: Change['deletes'];
    },
  ): Promise<Result<string, ControlProblem>> {
    let revision: string;
    try {
      revision = await this.#deps.store.publish({ base, ...change });
    } catch (error) {
      return err(storeProblem(error));
    }
    // Another writer may have been so quick after us that our revision was never delivered by itself.
    const number = revisionNumber(revision);
    await this.#until((current) => current.revision === revision || revisionNumber(current.revision) > number);
    return ok(revision);
  }

  /** Waits until a directory fits, 2 s at most. */
  #until(fits: (directory: Directory) => boolean): Promise<void> {
    const { directory, clock } = this.#deps;
    if (fits(directory.current)) return Promise.resolve();
    return new Promise((resolve) => {
      let timer: Timer | undefined = undefined;
      const unsubscribe = directory.changed.subscribe((current) => {
        if (fits(current)) done();
      });
      const done = (): void => {
        unsubscribe();
        timer?.cancel();
        resolve();
      };
      timer = clock.setTimer('control.served', SERVED_MS, done);
    });
  }
}

const asked = async <T>(ask: () => Promise<T>): Promise<Result<T, ControlProblem>> => {
  try {
    return ok(await ask());
  } catch (error) {
    return err(storeProblem(error));
  }
};

const conflict = (base: string, current: string): ControlProblem =>
  controlProblem('revision_conflict', `the change is based on revision ${base}, current is ${current}`, current);
