/** Who owns what: transactions and dialogs by the ids that applications use, and the connection each belongs to. */
import type { Clock, Random } from '../kernel/index.js';
import type { HeaderField } from '../sip/index.js';
import type { AppResponse } from './appMessage.js';
import type { AppConnection } from './connection.js';
import type { DialogEntry, DialogHome, Inbound } from './dialogEntry.js';
import type { Reply } from './replies.js';

/** A request that an application must answer, or whose response it awaits. */
export interface Transaction {
  readonly id: string;
  readonly owner: AppConnection;
  /** The application's response to it. */
  respond(response: AppResponse): Reply;
  /** Withdraws it, where it is an INVITE of the application's that is still pending. */
  cancel(headers: readonly HeaderField[]): Reply | undefined;
  /** The application is gone. */
  abandon(): void;
}

/** What becomes of established calls when their application's connection is lost. */
export type OnAppLost = 'hangup' | 'keep';

export interface LedgerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly onAppLost: OnAppLost;
  /** How long an application may leave a request without any response. */
  readonly answerTimeoutMs: number;
}

/** What goes down with a connection. */
interface Owned {
  readonly transactions: Set<Transaction>;
  readonly dialogs: Set<DialogEntry>;
}

export class Ledger implements DialogHome {
  readonly clock: Clock;
  readonly random: Random;
  readonly inbound: Inbound;
  readonly answerTimeoutMs: number;
  readonly #onAppLost: OnAppLost;
  readonly #dialogs = new Map<string, DialogEntry>();
  readonly #transactions = new Map<string, Transaction>();
  readonly #owned = new Map<AppConnection, Owned>();

  /** @param inbound makes the way by which dialogs hand on what comes in. */
  constructor(options: LedgerOptions, inbound: (ledger: Ledger) => Inbound) {
    this.clock = options.clock;
    this.random = options.random;
    this.answerTimeoutMs = options.answerTimeoutMs;
    this.#onAppLost = options.onAppLost;
    this.inbound = inbound(this);
  }

  transaction(id: string): Transaction | undefined {
    return this.#transactions.get(id);
  }

  openTransaction(transaction: Transaction): void {
    this.#transactions.set(transaction.id, transaction);
    this.#ownedBy(transaction.owner).transactions.add(transaction);
  }

  closeTransaction(transaction: Transaction): void {
    this.#transactions.delete(transaction.id);
    this.#owned.get(transaction.owner)?.transactions.delete(transaction);
    this.#forget(transaction.owner);
  }

  dialog(id: string): DialogEntry | undefined {
    return this.#dialogs.get(id);
  }

  /** A later dialog of the same id replaces an earlier one, which then can no longer be addressed. */
  addDialog(entry: DialogEntry): void {
    this.#dialogs.set(entry.id, entry);
    this.#ownedBy(entry.owner).dialogs.add(entry);
  }

  removeDialog(entry: DialogEntry): void {
    if (this.#dialogs.get(entry.id) === entry) this.#dialogs.delete(entry.id);
    this.#owned.get(entry.owner)?.dialogs.delete(entry);
    this.#forget(entry.owner);
  }

  /** A dialog whose application is gone goes to the connection that uses it next. */
  adopt(entry: DialogEntry, owner: AppConnection): void {
    this.removeDialog(entry);
    entry.owner = owner;
    this.addDialog(entry);
  }

  /** Everything of a lost connection: requests are answered, attempts withdrawn, calls ended or kept. */
  connectionLost(owner: AppConnection): void {
    const owned = this.#owned.get(owner);
    if (owned === undefined) return;
    for (const transaction of [...owned.transactions]) transaction.abandon();
    if (this.#onAppLost === 'keep') return;
    for (const entry of [...owned.dialogs]) entry.hangup();
  }

  dump(): Record<string, unknown> {
    return { transactions: [...this.#transactions.keys()], dialogs: [...this.#dialogs.keys()] };
  }

  #ownedBy(owner: AppConnection): Owned {
    let owned = this.#owned.get(owner);
    if (owned === undefined) this.#owned.set(owner, (owned = { transactions: new Set(), dialogs: new Set() }));
    return owned;
  }

  #forget(owner: AppConnection): void {
    const owned = this.#owned.get(owner);
    if (owned !== undefined && owned.transactions.size + owned.dialogs.size === 0) this.#owned.delete(owner);
  }
}
