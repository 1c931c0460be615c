import { RESOURCE_TYPES } from '../resourceType.js';
import type { ResourceType } from '../../call/routing/resources.js';

const DEFAULT_PREFIX = '{tandem}:';

/** Braces make all keys of one document live in one slot of a cluster, where one script may change them together. */
const withHashTag = (prefix: string): string => (/\{[^}]+\}/.test(prefix) ? prefix : `{${prefix.replace(/:+$/, '')}}:`);

/** Names of the keys of a routing document. */
export class RoutingKeys {
  readonly head: string;
  readonly changes: string;
  readonly #prefix: string;

  /** @param prefix before every key; one without a hash tag (`tandem:`) becomes one (`{tandem}:`). */
  constructor(prefix: string = DEFAULT_PREFIX) {
    this.#prefix = `${withHashTag(prefix)}routing:`;
    this.head = `${this.#prefix}head`;
    this.changes = `${this.#prefix}changes`;
  }

  /** Hash of id -> JSON. */
  resources(type: ResourceType): string {
    return this.#prefix + type;
  }

  /** As publishRevision.lua lists them. */
  all(): string[] {
    return [this.head, this.changes, ...RESOURCE_TYPES.map((type) => this.resources(type))];
  }
}
