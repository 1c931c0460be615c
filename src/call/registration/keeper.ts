/**
 * Keeps what this process knows of registrations and what the store has of them together. Every change is computed on what
 * the store holds, so that nodes that take REGISTERs of one user at once lose none. While the store is out of reach this
 * node goes on by itself, and tells the store when it is back.
 */
import type { Clock, Timer } from '../../kernel/index.js';
import { type Binding, type Registration, aorKey, isConnected } from './binding.js';
import { type RegistrationEntry, RegistrationDirectory } from './directory.js';
import { living } from './rules.js';
import type { RegistrationStore, StoredRegistration } from './store.js';

export interface RegistrationAddress {
  readonly trunkSid: string;
  readonly userName: string;
}

/** @returns the contacts that shall be; undefined: leave them as they are */
export type Compute = (before: readonly Binding[]) => readonly Binding[] | undefined;

export interface KeeperOptions {
  readonly store: RegistrationStore;
  readonly clock: Clock;
  /** `node.id`, and what tells this start of it from others. */
  readonly nodeId: string;
  readonly start: string;
  readonly onExpired: (registration: Registration, binding: Binding) => void;
  /** The store went out of reach, or is back. */
  readonly onStore: (up: boolean, detail: string) => void;
}

const SWEEP_MS = 1000;
const SAVE_AGAIN_MS = 2000;
/** Nodes that race for one user's contacts: beyond it somebody has a loop. */
const MAX_RACES = 8;

export class RegistrationKeeper {
  readonly directory = new RegistrationDirectory();
  readonly owner: string;
  readonly #options: KeeperOptions;
  /** Changes of one user, one after the other. */
  readonly #queues = new Map<string, Promise<unknown>>();
  #sweeper: Timer | undefined;
  #saver: Timer | undefined;
  #away = false;
  #closed = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.owner = `${options.nodeId}#${options.start}`;
  }

  async start(): Promise<void> {
    await this.#options.store.follow({
      all: (registrations) => this.#load(registrations),
      changed: (registration) => this.#hear(registration),
    });
    this.#sweep();
  }

  /** Changes one user's contacts. @returns when the store has it, or is known to be out of reach */
  change(address: RegistrationAddress, compute: Compute): Promise<void> {
    const aor = aorKey(address);
    const before = this.#queues.get(aor) ?? Promise.resolve();
    const done = before.then(() => this.#change(address, compute));
    const settled = done.catch(() => undefined);
    this.#queues.set(aor, settled);
    void settled.then(() => {
      if (this.#queues.get(aor) === settled) this.#queues.delete(aor);
    });
    return done;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#sweeper?.cancel();
    this.#saver?.cancel();
    await Promise.all(this.#queues.values());
    await this.#options.store.close();
  }

  dump(): object {
    let unsaved = 0;
    for (const entry of this.directory.values()) if (entry.unsaved === true) unsaved++;
    return { users: this.directory.users, bindings: this.directory.size, unsaved, storeAway: this.#away };
  }

  async #change(address: RegistrationAddress, compute: Compute): Promise<void> {
    const aor = aorKey(address);
    for (let race = 0; race < MAX_RACES; race++) {
      const known = this.directory.get(aor);
      const bindings = compute(known?.bindings ?? []);
      if (bindings === undefined) return;
      const next: Registration = { ...address, bindings };
      let written;
      try {
        written = await this.#options.store.write(next, known?.version ?? 0);
      } catch (error) {
        this.#lost(error);
        return this.directory.put({ ...next, version: known?.version ?? 0, unsaved: true });
      }
      this.#found();
      if (written.ok) {
        // News of a later change by another node may have come before this answer.
        const later = (this.directory.get(aor)?.version ?? 0) > written.version;
        return later ? undefined : this.directory.put({ ...next, version: written.version });
      }
      this.directory.put(known?.unsaved === true ? merged(known, written.current) : written.current);
    }
  }

  #load(registrations: readonly StoredRegistration[]): void {
    const unsaved: RegistrationEntry[] = [];
    const stored = new Set(registrations.map(aorKey));
    for (const entry of [...this.directory.values()]) {
      if (entry.unsaved === true) unsaved.push(entry);
      else if (stored.has(aorKey(entry))) continue;
      else {
        // A store that has lost what this node told it is told again; what others told it, they tell.
        const own = living(entry.bindings, this.#wallMs()).filter(({ owner }) => owner === this.owner);
        const kept: RegistrationEntry = { ...entry, bindings: own };
        this.directory.put(own.length === 0 ? kept : { ...kept, unsaved: true });
        if (own.length > 0) unsaved.push(kept);
      }
    }
    for (const registration of registrations) this.#hear(registration);
    this.#found();
    for (const entry of unsaved) this.#save(entry);
  }

  /** What another node says; what this one could not save is added to it. */
  #hear(registration: StoredRegistration): void {
    const known = this.directory.get(aorKey(registration));
    if (known !== undefined && known.version > registration.version) return;
    const alive = registration.bindings.filter((binding) => !this.#isDead(binding));
    const heard = { ...registration, bindings: alive };
    this.directory.put(known?.unsaved === true ? merged(known, heard) : heard);
    // The store is told what this start of the node alone can know.
    if (alive.length < registration.bindings.length)
      void this.change(registration, (now) => now.filter((binding) => !this.#isDead(binding)));
  }

  /** A connection of an earlier start of this node. */
  #isDead(binding: Binding): boolean {
    return isConnected(binding) && binding.owner !== this.owner && binding.owner.startsWith(`${this.#options.nodeId}#`);
  }

  #save(entry: RegistrationEntry): void {
    void this.change(entry, () => living(this.directory.get(aorKey(entry))?.bindings ?? [], this.#wallMs()));
  }

  #lost(error: unknown): void {
    if (!this.#away) this.#options.onStore(false, error instanceof Error ? error.message : String(error));
    this.#away = true;
    if (this.#closed || this.#saver?.active === true) return;
    this.#saver = this.#options.clock.setTimer('registrations.save', SAVE_AGAIN_MS, () => {
      for (const entry of [...this.directory.values()]) if (entry.unsaved === true) this.#save(entry);
    });
  }

  #found(): void {
    if (this.#away) this.#options.onStore(true, 'registrations are shared again');
    this.#away = false;
  }

  #sweep(): void {
    if (this.#closed) return;
    for (const { binding, ...registration } of this.directory.sweep(this.#wallMs())) {
      this.#options.onExpired(registration, binding);
    }
    this.#sweeper = this.#options.clock.setTimer('registrations.sweep', SWEEP_MS, () => this.#sweep());
  }

  #wallMs(): number {
    return this.#options.clock.wallMs();
  }
}

/** Of each contact what was heard of it last. */
function merged(own: RegistrationEntry, stored: StoredRegistration): RegistrationEntry {
  const bindings = new Map(stored.bindings.map((binding) => [binding.key, binding]));
  for (const binding of own.bindings) {
    const other = bindings.get(binding.key);
    if (other === undefined || other.updatedMs <= binding.updatedMs) bindings.set(binding.key, binding);
  }
  return { ...stored, bindings: [...bindings.values()], unsaved: true };
}
