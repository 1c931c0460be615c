/**
 * The early dialogs of one INVITE that we answer for several callees (RFC 3261 §12.1): each has a To tag, a route and
 * reliable provisionals of its own. The INVITE speaks within one at a time; what the others need is kept here.
 */
import type { Dialog } from '../face.js';
import type { InviteDialog } from './dialog.js';
import type { ReliableProvisionals } from './reliable.js';

/** What early dialogs of one INVITE do not share. */
export interface EarlyPart {
  tag: string | undefined;
  readonly dialog: InviteDialog | undefined;
  readonly reliable: ReliableProvisionals | undefined;
}

/** The one that answers name no fork for: the first, and the one of every failure. */
export const FIRST_FORK = '';

const NOTHING_YET: EarlyPart = { tag: undefined, dialog: undefined, reliable: undefined };

export class EarlyForks {
  /** In which the INVITE speaks. */
  current = FIRST_FORK;
  readonly #parts = new Map<string, EarlyPart>();
  /** Ended by the caller, or not acknowledged in time. */
  readonly #lost = new Set<string>();

  /** @returns what the INVITE has to go on with, in place of `left` */
  turn(to: string, left: EarlyPart): EarlyPart {
    this.#parts.set(this.current, left);
    this.current = to;
    const part = this.#parts.get(to) ?? NOTHING_YET;
    this.#parts.set(to, part);
    return part;
  }

  /** Of the first, while the INVITE speaks in another. */
  get first(): EarlyPart | undefined {
    return this.#parts.get(FIRST_FORK);
  }

  /** @returns the reliable provisionals of a dialog that the INVITE does not speak in */
  reliableOf(dialog: Dialog | undefined): ReliableProvisionals | undefined {
    for (const part of this.#parts.values()) if (part.dialog === dialog) return part.reliable;
    return undefined;
  }

  nameOf(dialog: Dialog): string {
    for (const [name, part] of this.#parts) if (name !== this.current && part.dialog === dialog) return name;
    return this.current;
  }

  isLost(name: string): boolean {
    return this.#lost.has(name);
  }

  /** @returns whether one is left that the caller may still be answered in */
  lose(name: string): boolean {
    this.#lost.add(name);
    for (const [other, { dialog }] of this.#parts) {
      if ((dialog !== undefined || other === this.current) && !this.#lost.has(other)) return true;
    }
    return false;
  }

  /** The INVITE has its final answer: in no other of them will anything follow. */
  endOthers(): void {
    for (const [name, { dialog, reliable }] of this.#parts) {
      if (name === this.current) continue;
      reliable?.stop();
      if (dialog === undefined) continue;
      dialog.pendingIn = undefined;
      dialog.terminate('failed', undefined);
    }
    this.#parts.clear();
  }
}
