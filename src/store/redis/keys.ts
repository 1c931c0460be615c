import { RESOURCE_TYPES } from '../resourceType.js';
import type { ResourceType } from '../../call/routing/resources.js';
import { hashTagged } from './hashTag.js';

/** Names of the keys of a routing document. */
export class RoutingKeys {
  readonly head: string;
  readonly changes: string;
  /** Hash of count -> summary of the revision. */
  readonly history: string;
  /** Hash of `count:part` -> what the revision changed. */
  readonly historyChanges: string;
  readonly #prefix: string;

  /** @param prefix before every key; one without a hash tag (`tandem:`) becomes one (`{tandem}:`). */
  constructor(prefix?: string) {
    this.#prefix = `${hashTagged(prefix)}routing:`;
    this.head = `${this.#prefix}head`;
    this.changes = `${this.#prefix}changes`;
    this.history = `${this.#prefix}history`;
    this.historyChanges = `${this.#prefix}historyChanges`;
  }

  /** Hash of id -> JSON. */
  resources(type: ResourceType): string {
    return this.#prefix + type;
  }

  /** As publishRevision.lua lists them. */
  all(): string[] {
    const { head, changes, history, historyChanges } = this;
    return [head, changes, history, historyChanges, ...RESOURCE_TYPES.map((type) => this.resources(type))];
  }
}
