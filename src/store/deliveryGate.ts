import type { Resource, RoutingUpdate } from '../call/routing/resources.js';
import { errorText, type StoreProblem } from './problem.js';

export type Deliver = (update: RoutingUpdate) => Promise<void>;
export type OnProblem = (problem: StoreProblem) => void;

/** Hands updates to the one follower, in order, each revision once, and knows which one it holds. */
export class DeliveryGate {
  readonly #deliver: Deliver;
  readonly report: OnProblem;
  #revision: string | undefined;

  constructor(deliver: Deliver, onProblem: OnProblem) {
    this.#deliver = deliver;
    this.report = onProblem;
  }

  /** The revision that the follower holds; undefined before the first. */
  get revision(): string | undefined {
    return this.#revision;
  }

  /** @returns false when the follower refused it: it still holds the revision before. */
  full(revision: string, batches: Iterable<readonly Resource[]>): Promise<boolean> {
    return this.#hand({ kind: 'full', revision, batches });
  }

  /** @returns false when the follower holds another base, or refused the patch. */
  async patch(update: Extract<RoutingUpdate, { kind: 'patch' }>): Promise<boolean> {
    return update.base === this.#revision && (await this.#hand(update));
  }

  async #hand(update: RoutingUpdate): Promise<boolean> {
    if (update.revision === this.#revision) return true;
    try {
      await this.#deliver(update);
    } catch (error) {
      this.report({ code: 'delivery_failed', message: `revision ${update.revision}: ${errorText(error)}` });
      return false;
    }
    this.#revision = update.revision;
    return true;
  }
}
