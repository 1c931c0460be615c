import { type Registration, aorKey } from '../../call/registration/binding.js';
import type {
  RegistrationNews,
  RegistrationStore,
  RegistrationWrite,
  StoredRegistration,
} from '../../call/registration/store.js';

/** What several stores of one process share, as nodes share a Redis. */
export class MemoryRegistrations {
  readonly entries = new Map<string, StoredRegistration>();
  readonly followers = new Set<RegistrationNews>();
}

/** Registrations in memory: for tests, and the part that the file store keeps a journal of. */
export class MemoryRegistrationStore implements RegistrationStore {
  readonly #shared: MemoryRegistrations;
  #news: RegistrationNews | undefined;

  constructor(shared: MemoryRegistrations = new MemoryRegistrations()) {
    this.#shared = shared;
  }

  async follow(news: RegistrationNews): Promise<void> {
    this.#news = news;
    this.#shared.followers.add(news);
    news.all([...this.#shared.entries.values()]);
  }

  async write(registration: Registration, version: number): Promise<RegistrationWrite> {
    const { trunkSid, userName, bindings } = registration;
    const aor = aorKey(registration);
    const current = this.#shared.entries.get(aor) ?? { trunkSid, userName, bindings: [], version: 0 };
    if (current.version !== version) return { ok: false, current };
    const next = { trunkSid, userName, bindings, version: version + 1 };
    if (bindings.length === 0) this.#shared.entries.delete(aor);
    else this.#shared.entries.set(aor, next);
    for (const follower of this.#shared.followers) if (follower !== this.#news) follower.changed(next);
    return { ok: true, version: next.version };
  }

  async close(): Promise<void> {
    if (this.#news !== undefined) this.#shared.followers.delete(this.#news);
  }
}
