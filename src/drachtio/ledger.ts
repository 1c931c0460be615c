/** Who owns what: transactions and dialogs by the ids that applications use, and the connection each belongs to. */
import { type Clock, type Random, Roster, type RosterMember, SlotMap } from '../kernel/index.js';
import type { HeaderField, ProxyPlan, ProxyRefusal, SipEngine } from '../sip/index.js';
import type { AppResponse } from './appMessage.js';
import type { AppConnection } from './connection.js';
import type { DialogEntry, DialogHome, Inbound } from './dialogEntry.js';
import type { Meters } from './meters.js';
import type { Records } from './records.js';
import { RegisteredFlows } from './registeredFlows.js';
import type { Reply } from './replies.js';

/** A request that an application must answer, or whose response it awaits. */
export interface Transaction extends RosterMember {
  readonly id: string;
  readonly owner: AppConnection;
  /** The application's response to it. */
  respond(response: AppResponse): Reply;
  /** Withdraws it, where it is an INVITE of the application's that is still pending. */
  cancel(headers: readonly HeaderField[]): Reply | undefined;
  /** Leaves it to the proxy, where it is a request from the network that has no answer yet. */
  proxy?(engine: SipEngine, plan: ProxyPlan, asked: Asked): ProxyRefusal | undefined;
  /** The application is gone. */
  abandon(): void;
}

/** The `proxy` frame that is being worked on. */
export interface Asked {
  readonly owner: AppConnection;
  readonly frameId: string;
  readonly fullResponse: boolean;
}

/** What becomes of established calls when their application's connection is lost. */
export type OnAppLost = 'hangup' | 'keep';

export interface LedgerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly records: Records;
  readonly meters: Meters;
  readonly onAppLost: OnAppLost;
  /** How long an application may leave a request without any response. */
  readonly answerTimeoutMs: number;
}

/** What goes down with a connection. */
interface Owned {
  readonly transactions: Roster<Transaction>;
  readonly dialogs: Roster<DialogEntry>;
}

export class Ledger implements DialogHome {
  readonly clock: Clock;
  readonly random: Random;
  readonly records: Records;
  readonly meters: Meters;
  readonly inbound: Inbound;
  readonly answerTimeoutMs: number;
  releasing = 0;
  readonly flows: RegisteredFlows;
  readonly #onAppLost: OnAppLost;
  readonly #dialogs = new SlotMap<DialogEntry>();
  readonly #transactions = new SlotMap<Transaction>();
  readonly #owned = new Map<AppConnection, Owned>();

  /** @param inbound makes the way by which dialogs hand on what comes in. */
  constructor(options: LedgerOptions, inbound: (ledger: Ledger) => Inbound) {
    this.clock = options.clock;
    this.random = options.random;
    this.flows = new RegisteredFlows(options.clock);
    this.records = options.records;
    this.meters = options.meters;
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

  /** Confirmed dialogs of calls, by who called. */
  get stableDialogs(): { readonly inbound: number; readonly outbound: number } {
    let inbound = 0;
    let outbound = 0;
    for (const entry of this.#dialogs.values()) {
      if (entry.dialog === undefined || entry.usage !== undefined) continue;
      if (entry.role === 'uas') inbound++;
      else outbound++;
    }
    return { inbound, outbound };
  }

  dump(): Record<string, unknown> {
    return {
      transactions: [...this.#transactions.keys()],
      dialogs: [...this.#dialogs.keys()],
      releasing: this.releasing,
    };
  }

  #ownedBy(owner: AppConnection): Owned {
    let owned = this.#owned.get(owner);
    if (owned === undefined) this.#owned.set(owner, (owned = { transactions: new Roster(), dialogs: new Roster() }));
    return owned;
  }

  #forget(owner: AppConnection): void {
    const owned = this.#owned.get(owner);
    if (owned !== undefined && owned.transactions.size + owned.dialogs.size === 0) this.#owned.delete(owner);
  }
}
