/** Port to whoever keeps registrations beyond this process (`src/store`): by file for one node, by Redis for several. */
import type { Registration } from './binding.js';

export interface StoredRegistration extends Registration {
  /** Counts the changes of this user's contacts; 0: there is nothing. */
  readonly version: number;
}

export interface RegistrationNews {
  /** Everything that is stored: at the start, and after news may have been missed. */
  all(registrations: readonly StoredRegistration[]): void;
  /** Another node changed one; no bindings: it is gone. */
  changed(registration: StoredRegistration): void;
}

export type RegistrationWrite =
  | { readonly ok: true; readonly version: number }
  /** Somebody else was first: what is stored now. */
  | { readonly ok: false; readonly current: StoredRegistration };

export interface RegistrationStore {
  /**
   * Delivers what there is, then news, until `close`. Resolves when the first delivery was made, or cannot be for now.
   */
  follow(news: RegistrationNews): Promise<void>;
  /**
   * Replaces the contacts of one user, if they are at `version`. It is kept until its last contact runs out.
   * @throws TandemError when the store is out of reach: nothing is known to be written
   */
  write(registration: Registration, version: number): Promise<RegistrationWrite>;
  close(): Promise<void>;
}
