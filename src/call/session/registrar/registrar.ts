/** The registrar of RFC 3261 §10: users of trunks say where they are, and calls find them there. */
import { type Clock, type EventChannel, hostPort } from '../../../kernel/index.js';
import type { HeaderEntry, OutOfDialogRequest } from '../../../signal/port.js';
import { reasonHeader } from '../../bridge/reason.js';
import { type Binding, type Registration, flowName, nodeOf, waysTo } from '../../registration/binding.js';
import type { RegistrationKeeper } from '../../registration/keeper.js';
import {
  type BindingChange,
  type BindingFacts,
  type RegisterRefusal,
  type RegistrarLimits,
  applyRegister,
  living,
} from '../../registration/rules.js';
import type { RoutingTable } from '../../routing/table.js';
import type { CallEvent } from '../events.js';
import { placeText, plainAddress } from '../request.js';
import { type RegisterFault, type RegisterRead, readRegister, recognised } from './readRegister.js';

export interface RegistrarSettings extends RegistrarLimits {
  /** Contacts of all users that this node knows. */
  readonly maxBindings: number;
}

export interface RegistrarOptions {
  readonly keeper: RegistrationKeeper;
  readonly clock: Clock;
  readonly settings: RegistrarSettings;
  readonly table: () => RoutingTable;
  readonly events: EventChannel<CallEvent>;
  /** Host names and addresses of ours besides the trunks' domains: lower case. */
  readonly domains: ReadonlySet<string>;
}

/** Why a REGISTER is refused; in the Reason header and in the log. */
export type RegistrarRefusal =
  | RegisterFault
  | RegisterRefusal
  | 'registration_not_yours'
  | 'registration_domain_unknown'
  | 'registration_ambiguous'
  | 'registration_node_full'
  | 'trunk_inactive';

const STATUS: { readonly [refusal in RegistrarRefusal]: number } = {
  registration_malformed: 400,
  registration_needs_outbound: 439, // RFC 5626 §11.6
  registration_out_of_order: 500, // RFC 3261 §10.3 step 7
  registration_too_brief: 423,
  registration_contacts_full: 403,
  registration_not_yours: 403,
  registration_domain_unknown: 404,
  registration_ambiguous: 403,
  registration_node_full: 503,
  trunk_inactive: 403,
};

const REASONS: { readonly [status: number]: string } = { 439: 'First Hop Lacks Outbound Support' };
const RETRY_AFTER_S = 10;
/** RFC 5626 §5.4: how long the far end may be silent on its connection before it must send a keep-alive. */
const FLOW_TIMER_S = 120;

export interface ProvedUser {
  readonly userName: string;
  readonly trunks: readonly string[];
}

/** A contact as the administration shows it. */
export interface RegistrationLine {
  readonly trunkSid: string;
  readonly accountSid: string | null;
  readonly userName: string;
  readonly contact: string;
  readonly q: number;
  readonly expiresInS: number;
  readonly source: string;
  readonly node: string;
  readonly userAgent?: string;
  readonly instance?: string;
  readonly path?: readonly string[];
}

export class Registrar {
  readonly #options: RegistrarOptions;

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** Answers a REGISTER whose sender has proved a password. */
  receive(request: OutOfDialogRequest, proved: ProvedUser): void {
    const read = readRegister(request.message);
    if (typeof read === 'string') return this.#refuse(request, proved, read);
    const trunkSid = this.#trunkOf(read, proved);
    if (typeof trunkSid !== 'string') return this.#refuse(request, proved, trunkSid.refusal);
    const address = { trunkSid, userName: proved.userName };
    void this.#apply(request, read, address).catch((error: unknown) => {
      this.#options.events.emit({ type: 'call_fault', callId: '', atMs: this.#wallMs(), where: 'register', error });
      request.respond(500);
    });
  }

  /**
   * A connection is gone, and with it whoever was reached over it (RFC 5626 §5.3).
   * @param flow of this node; or the route to one of another node, which has said so
   */
  flowClosed(flow: string): void {
    const { keeper } = this.#options;
    const { directory, owner } = keeper;
    const own = flowName(owner, flow);
    const way = directory.ofWay(own) === undefined ? flow : own;
    const entry = directory.ofWay(way);
    if (entry === undefined) return;
    const goes = (binding: Binding): boolean => waysTo(binding).includes(way);
    const lost = entry.bindings.filter(goes);
    void keeper.change(entry, (before) => without(before, goes));
    for (const binding of lost) this.#tell(entry, binding, 'flow_closed');
  }

  expired(registration: Registration, binding: Binding): void {
    this.#tell(registration, binding, 'expired');
  }

  *list(): Generator<RegistrationLine> {
    const wallMs = this.#wallMs();
    for (const { trunkSid, userName, bindings } of this.#options.keeper.directory.values()) {
      const accountSid = this.#options.table().trunk(trunkSid)?.trunk.account_sid ?? null;
      for (const binding of living(bindings, wallMs)) {
        yield { trunkSid, accountSid, userName, ...lineOf(binding, wallMs) };
      }
    }
  }

  /**
   * Drops contacts of a user, as an administrator may (RFC 3261 §10.3: by policy).
   * @param contact undefined: all of them
   * @returns how many went
   */
  async remove(trunkSid: string, userName: string, contact?: string): Promise<number> {
    const address = { trunkSid, userName };
    let dropped: readonly Binding[] = [];
    await this.#options.keeper.change(address, (before) => {
      dropped = before.filter((binding) => contact === undefined || binding.contact === contact);
      return without(before, (binding) => dropped.includes(binding));
    });
    for (const binding of dropped) this.#tell(address, binding, 'removed');
    return dropped.length;
  }

  async #apply(
    request: OutOfDialogRequest,
    read: RegisterRead,
    address: { readonly trunkSid: string; readonly userName: string },
  ): Promise<void> {
    const { keeper, settings } = this.#options;
    const facts = this.#factsOf(request, read);
    let refusal: RegistrarRefusal | undefined;
    let bindings: readonly Binding[] = [];
    let changes: readonly BindingChange[] = [];
    await keeper.change(address, (before) => {
      const wallMs = this.#wallMs();
      const outcome = applyRegister(before, recognised(read.wish, before), settings, { wallMs, facts });
      refusal = outcome.ok ? this.#noRoom(outcome.changes) : outcome.refusal;
      if (refusal !== undefined || !outcome.ok) return undefined;
      ({ bindings, changes } = outcome);
      return changes.length === 0 ? undefined : bindings;
    });
    if (refusal !== undefined) return this.#refuse(request, { userName: address.userName, trunks: [] }, refusal);
    request.respond(200, { headers: this.#answer(bindings, read) });
    for (const { act, binding } of changes) {
      this.#tell(address, binding, act === 'insert' ? 'registered' : act === 'replace' ? 'refreshed' : 'removed');
    }
  }

  #noRoom(changes: readonly BindingChange[]): RegistrarRefusal | undefined {
    const { keeper, settings } = this.#options;
    const inserted = changes.filter(({ act }) => act === 'insert').length;
    return inserted > 0 && keeper.directory.size + inserted > settings.maxBindings
      ? 'registration_node_full'
      : undefined;
  }

  /** Whose address of record it is: the trunk whose domain it names, or the only one whose password was proved. */
  #trunkOf(read: RegisterRead, { userName, trunks }: ProvedUser): string | { readonly refusal: RegistrarRefusal } {
    // RFC 3261 §10.3 step 4: users speak for themselves.
    if (read.user !== userName) return { refusal: 'registration_not_yours' };
    const table = this.#options.table();
    const named = trunks.filter((sid) => table.trunk(sid)?.trunk.domain_name?.toLowerCase() === read.host);
    const candidates = named.length > 0 ? named : this.#isOurs(read.host) ? trunks : [];
    const [only] = candidates;
    if (only === undefined) return { refusal: 'registration_domain_unknown' };
    if (candidates.length > 1) return { refusal: 'registration_ambiguous' };
    return table.trunk(only)?.trunk.status === 'inactive' ? { refusal: 'trunk_inactive' } : only;
  }

  /** An address names this exchange, however it got here; a name must be known. */
  #isOurs(host: string): boolean {
    return /^[\d.]+$/.test(host) || host.includes(':') || this.#options.domains.has(host);
  }

  #factsOf(request: OutOfDialogRequest, { path, asksForSource, wish, userAgent }: RegisterRead): BindingFacts {
    const { transport, address, port } = request.source;
    const source = { transport, address: plainAddress(address), port };
    const base = { source, owner: this.#options.keeper.owner, ...(userAgent === undefined ? {} : { userAgent }) };
    // RFC 3327 §5.3: the path is the way.
    if (path.length > 0) return { ...base, path };
    // A datagram's sender who did not ask for answers where it sends from, and is where it says, is meant by its Contact.
    const asItSays = transport === 'udp' && !asksForSource && wish.contacts !== 'all';
    if (asItSays && wish.contacts.every(({ contact }) => hostIn(contact) === source.address)) return base;
    const nextHop = `sip:${hostPort(source.address, port)};transport=${transport}`;
    const flow = wish.contacts.length === 0 || wish.contacts === 'all' ? undefined : request.keepFlow?.();
    if (wish.contacts === 'all' || flow === undefined || flow === '') return { ...base, nextHop };
    // Who sends datagrams from where its contact says can be called by any node; a NAT lets back in whom it saw.
    const open = transport === 'udp' && wish.contacts.every(({ contact }) => hostIn(contact) === source.address);
    const nodeRoute = open ? undefined : request.nodeRoute?.(flow);
    return { ...base, nextHop, flow, ...(nodeRoute === undefined ? {} : { nodeRoute }) };
  }

  /** RFC 3261 §10.3 step 8: all that there is, with the time that each has left. */
  #answer(bindings: readonly Binding[], read: RegisterRead): HeaderEntry[] {
    const wallMs = this.#wallMs();
    const headers: HeaderEntry[] = bindings.map((binding) => ['Contact', contactField(binding, wallMs)]);
    for (const value of read.path) headers.push(['Path', value]); // RFC 3327 §5.3
    const { contacts } = read.wish;
    if (contacts !== 'all' && contacts.some(({ regId }) => regId !== undefined)) {
      headers.push(['Require', 'outbound'], ['Flow-Timer', String(FLOW_TIMER_S)]); // RFC 5626 §6
    }
    headers.push(['Supported', 'path, outbound'], ['Date', new Date(wallMs).toUTCString()]);
    return headers;
  }

  #refuse(request: OutOfDialogRequest, { userName }: ProvedUser, refusal: RegistrarRefusal): void {
    const status = STATUS[refusal];
    const headers: HeaderEntry[] = [reasonHeader('SIP', status, refusal)];
    if (status === 423) headers.push(['Min-Expires', String(this.#options.settings.minExpiresS)]);
    if (status === 503) headers.push(['Retry-After', String(RETRY_AFTER_S)]);
    request.respond(status, { headers, reason: REASONS[status] });
    this.#options.events.emit({
      type: 'registration',
      atMs: this.#wallMs(),
      act: 'refused',
      userName,
      source: placeText(request.source),
      reasonCode: refusal,
    });
  }

  #tell(
    { trunkSid, userName }: { readonly trunkSid: string; readonly userName: string },
    { contact, source }: Binding,
    act: 'registered' | 'refreshed' | 'removed' | 'expired' | 'flow_closed',
  ): void {
    const { events } = this.#options;
    events.emit({
      type: 'registration',
      atMs: this.#wallMs(),
      act,
      trunkSid,
      userName,
      contact,
      source: placeText(source),
    });
  }

  #wallMs(): number {
    return this.#options.clock.wallMs();
  }
}

/** @returns undefined when nothing goes */
const without = (bindings: readonly Binding[], goes: (binding: Binding) => boolean): readonly Binding[] | undefined =>
  bindings.some(goes) ? bindings.filter((binding) => !goes(binding)) : undefined;

const contactField = ({ contact, q, expiresMs, instance, regId }: Binding, wallMs: number): string => {
  const parts = [`<${contact}>`, `expires=${Math.max(0, Math.round((expiresMs - wallMs) / 1000))}`];
  if (q !== 1000) parts.push(`q=${(q / 1000).toFixed(3).replace(/(?<!0)0+$/, '')}`);
  if (instance !== undefined && regId !== undefined) parts.push(`+sip.instance="${instance}"`, `reg-id=${regId}`);
  return parts.join(';');
};

const lineOf = (binding: Binding, wallMs: number): Omit<RegistrationLine, 'trunkSid' | 'accountSid' | 'userName'> => {
  const { contact, q, expiresMs, source, owner, userAgent, instance, path } = binding;
  return {
    contact,
    q: q / 1000,
    expiresInS: Math.max(0, Math.round((expiresMs - wallMs) / 1000)),
    source: placeText(source),
    node: nodeOf(owner),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(instance === undefined ? {} : { instance }),
    ...(path === undefined ? {} : { path }),
  };
};

const hostIn = (uri: string): string => {
  const rest = uri.slice(Math.max(uri.lastIndexOf('@'), uri.indexOf(':')) + 1);
  return rest.startsWith('[') ? rest.slice(1, rest.indexOf(']')) : rest.replace(/[:;?>].*$/s, '').toLowerCase();
};
