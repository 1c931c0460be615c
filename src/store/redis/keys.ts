import { RESOURCE_TYPES } from '../resourceType.js';
import type { ResourceType } from '../../call/routing/resources.js';

/** Braces make all keys of one document live in one slot of a cluster, where one script may change them together. */
export const DEFAULT_PREFIX = '{tandem}:';

/** Names of the keys of a routing document. */
export class RoutingKeys {
  readonly head: string;
  readonly changes: string;
  readonly #prefix: string;

  constructor(prefix: string = DEFAULT_PREFIX) {
    this.#prefix = `${prefix}routing:`;
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
