/**
 * Which early dialog of the callee's side is which of the caller's (RFC 3261 §12.1, §13.2.2.4). A callee's first session
 * description or reliable response takes the caller's first early dialog; whatever another fork says from then on has one
 * of its own, with a To tag of its own. Before that all of them ring in the first: a caller loses nothing by it.
 */
import type { Content } from '../../signal/port.js';
import type { Attempt } from './attempt.js';

/** An early dialog of the callee's side: the attempt, and the callee's tag. */
interface Seat {
  readonly attempt: Attempt;
  readonly tag: string;
  /** What the caller was told of its media by unreliable responses. */
  content: Content;
}

export class Forks {
  /** Whose the caller's first early dialog is. Its attempt lives, or its media have been heard there. */
  #first: Seat | undefined;
  #firstHeard = false;
  /** The caller's others, by the name that its leg knows them by. */
  #others: Map<string, Seat> | undefined;

  /** There are several. */
  get several(): boolean {
    return this.#others !== undefined;
  }

  /**
   * The caller's early dialog for what this attempt has just received.
   * @param binds a session description or a reliable response came with it
   * @returns its name; undefined for the first
   */
  take(attempt: Attempt, binds: boolean, described: boolean): string | undefined {
    const tag = attempt.leg?.remoteTag ?? '';
    // A signalling plane that does not tell forks apart.
    if (tag === '') return undefined;
    const first = this.#first;
    if (first === undefined || (!first.attempt.open && !this.#firstHeard)) {
      if (!binds) return undefined;
      this.#first = { attempt, tag, content: {} };
      this.#firstHeard = described;
      return undefined;
    }
    if (first.attempt === attempt && first.tag === tag) {
      this.#firstHeard ||= described;
      return undefined;
    }
    const known = this.#nameOf(attempt, tag);
    if (known !== undefined) return known;
    const others = (this.#others ??= new Map<string, Seat>());
    const name = `fork${others.size + 1}`;
    others.set(name, { attempt, tag, content: {} });
    return name;
  }

  /** Where a callee's request goes. @param fork as its leg names it */
  towardsCaller(attempt: Attempt, fork: string | undefined): string | undefined {
    return this.#nameOf(attempt, fork ?? attempt.leg?.remoteTag ?? '');
  }

  /** Where a caller's request goes. @returns the callee's tag; undefined: to whoever spoke last */
  towardsCallee(fork: string | undefined): string | undefined {
    return fork === undefined ? this.#first?.tag : this.#others?.get(fork)?.tag;
  }

  /** Whether the caller has heard of the dialog that this attempt has just received something in. */
  knows(attempt: Attempt): boolean {
    const tag = attempt.leg?.remoteTag ?? '';
    const first = this.#first?.attempt === attempt && this.#first.tag === tag;
    return first || this.#nameOf(attempt, tag) !== undefined;
  }

  keep(name: string, content: Content): void {
    const seat = this.#others?.get(name);
    if (seat !== undefined) seat.content = content;
  }

  contentOf(name: string): Content | undefined {
    return this.#others?.get(name)?.content;
  }

  #nameOf(attempt: Attempt, tag: string): string | undefined {
    if (this.#others !== undefined) {
      for (const [name, seat] of this.#others) if (seat.attempt === attempt && seat.tag === tag) return name;
    }
    return undefined;
  }
}
