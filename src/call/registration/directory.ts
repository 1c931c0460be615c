/** Registrations as this process knows them: what calls are routed by. */
import { type Binding, type Registration, aorKey, waysTo } from './binding.js';
import { byPreference, living } from './rules.js';
import type { StoredRegistration } from './store.js';

export interface RegistrationEntry extends StoredRegistration {
  /** Not in the store yet, which is out of reach. */
  readonly unsaved?: true;
}

const NONE: readonly Binding[] = Object.freeze([]);

export class RegistrationDirectory {
  readonly #entries = new Map<string, RegistrationEntry>();
  readonly #ofTrunk = new Map<string, Set<string>>();
  readonly #ofWay = new Map<string, string>();
  /** How many contacts registered from an address. */
  readonly #ofAddress = new Map<string, number>();
  #bindings = 0;

  /** Contacts known. */
  get size(): number {
    return this.#bindings;
  }

  get users(): number {
    return this.#entries.size;
  }

  get(aor: string): RegistrationEntry | undefined {
    return this.#entries.get(aor);
  }

  values(): IterableIterator<RegistrationEntry> {
    return this.#entries.values();
  }

  /** Whoever has a contact by this way. @param way one of `waysTo` */
  ofWay(way: string): RegistrationEntry | undefined {
    return this.#entries.get(this.#ofWay.get(way) ?? '');
  }

  /** Whether somebody is registered from this address. */
  knows(address: string): boolean {
    return this.#ofAddress.has(address);
  }

  /** Puts an entry in place of the one before; one without contacts is forgotten. */
  put(entry: RegistrationEntry): void {
    const aor = aorKey(entry);
    this.#forget(aor);
    if (entry.bindings.length === 0 && entry.unsaved === undefined) return;
    this.#entries.set(aor, entry);
    this.#bindings += entry.bindings.length;
    for (const binding of entry.bindings) {
      const { source } = binding;
      for (const way of waysTo(binding)) this.#ofWay.set(way, aor);
      this.#ofAddress.set(source.address, (this.#ofAddress.get(source.address) ?? 0) + 1);
    }
    const users = this.#ofTrunk.get(entry.trunkSid);
    if (users === undefined) this.#ofTrunk.set(entry.trunkSid, new Set([aor]));
    else users.add(aor);
  }

  /** Living contacts, the preferred first. @param userName undefined: of all users of the trunk */
  contacts(trunkSid: string, userName: string | undefined, wallMs: number): readonly ContactOfUser[] {
    const found: ContactOfUser[] = [];
    const aors = userName === undefined ? (this.#ofTrunk.get(trunkSid) ?? []) : [aorKey({ trunkSid, userName })];
    for (const aor of aors) {
      const entry = this.#entries.get(aor);
      for (const binding of living(entry?.bindings ?? NONE, wallMs)) {
        found.push({ userName: entry?.userName ?? '', binding });
      }
    }
    return found.sort((a, b) => byPreference(a.binding, b.binding));
  }

  /** Drops what has run out. @returns the contacts that did */
  sweep(wallMs: number): readonly (Registration & { readonly binding: Binding })[] {
    const gone: (Registration & { readonly binding: Binding })[] = [];
    for (const entry of [...this.#entries.values()]) {
      const left = living(entry.bindings, wallMs);
      if (left === entry.bindings) continue;
      for (const binding of entry.bindings) if (!left.includes(binding)) gone.push({ ...entry, binding });
      this.put({ ...entry, bindings: left });
    }
    return gone;
  }

  #forget(aor: string): void {
    const known = this.#entries.get(aor);
    if (known === undefined) return;
    this.#entries.delete(aor);
    this.#bindings -= known.bindings.length;
    for (const binding of known.bindings) {
      const { source } = binding;
      for (const way of waysTo(binding)) if (this.#ofWay.get(way) === aor) this.#ofWay.delete(way);
      const left = (this.#ofAddress.get(source.address) ?? 1) - 1;
      if (left === 0) this.#ofAddress.delete(source.address);
      else this.#ofAddress.set(source.address, left);
    }
    const users = this.#ofTrunk.get(known.trunkSid);
    users?.delete(aor);
    if (users?.size === 0) this.#ofTrunk.delete(known.trunkSid);
  }
}

export interface ContactOfUser {
  readonly userName: string;
  readonly binding: Binding;
}
