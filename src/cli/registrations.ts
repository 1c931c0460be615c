/** Registrations, put together: who is registered here, and where calls to them go. */
import { type Binding, isConnected, nodeOf } from '../call/registration/binding.js';
import { RegistrationKeeper } from '../call/registration/keeper.js';
import { ClusterNodes } from '../call/registration/nodes.js';
import type { RegistrationStore } from '../call/registration/store.js';
import type { ContactWay, ContactsView } from '../call/routing/decision.js';
import type { TableHolder } from '../call/routing/compile.js';
import type { RoutingTable } from '../call/routing/table.js';
import type { CallEvent } from '../call/session/events.js';
import type { CarrierRegistrationView } from '../call/session/registrar/carrierRegistration.js';
import { CarrierRegistrations } from '../call/session/registrar/carrierRegistrations.js';
import { Registrar, type RegistrationLine } from '../call/session/registrar/registrar.js';
import { UnlistedLog } from '../call/admission/sourceGate.js';
import { type Config, clusterListener, sipListeners } from '../config/index.js';
import type { Clock, EventChannel, Random } from '../kernel/index.js';
import type { LogSink } from '../observe/index.js';
import { flowToNode } from '../sip/index.js';
import type { SignalPort } from '../signal/index.js';
import { FileRegistrationStore, RedisNodes, RedisRegistrationStore } from '../store/index.js';

export interface RegistrationsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogSink['logger'];
  readonly events: EventChannel<CallEvent>;
  readonly table: () => RoutingTable;
  readonly signal: () => Pick<SignalPort, 'ask'>;
}

/** Challenges to REGISTERs of strangers, which are shorter than what they get: of one address in a minute, of all in a second. */
const CHALLENGES = { perSourcePerMinute: 120, perSecond: 500 };
const START_BYTES = 6;

export class Registrations implements ContactsView {
  readonly registrar: Registrar;
  /** Whether users may register here. */
  readonly enabled: boolean;
  readonly #keeper: RegistrationKeeper;
  readonly #challenges = new UnlistedLog(CHALLENGES);
  readonly #clock: Clock;
  readonly #carriers: CarrierRegistrations;
  /** Undefined where this node hears no others. */
  readonly #nodes: ClusterNodes | undefined;
  #up = false;

  constructor(config: Config, deps: RegistrationsDeps) {
    const { clock, random, logger, events, table } = deps;
    this.#clock = clock;
    this.enabled = config.registrar.enabled;
    this.#carriers = new CarrierRegistrations({
      clock,
      random,
      signal: deps.signal,
      onChange: (view) =>
        logger[view.state === 'failed' ? 'warn' : 'info'](view, `carrier registration is ${view.state}`),
    });
    const start = random.hex(START_BYTES);
    this.#keeper = new RegistrationKeeper({
      store: storeOf(config, clock, start),
      clock,
      nodeId: config.node.id,
      start,
      onExpired: (registration, binding) => this.registrar.expired(registration, binding),
      onStore: (up, detail) => {
        if (up) logger.info(detail);
        else logger.warn({ reason: detail }, 'registrations cannot be stored; this node goes on with its own');
      },
    });
    this.#nodes = nodesOf(config, clock, this.#keeper.owner);
    const { minExpiresSeconds, maxExpiresSeconds, defaultExpiresSeconds, maxContacts, maxBindings } = config.registrar;
    this.registrar = new Registrar({
      keeper: this.#keeper,
      clock,
      table,
      events,
      domains: namesOf(config),
      settings: {
        minExpiresS: minExpiresSeconds,
        maxExpiresS: maxExpiresSeconds,
        defaultExpiresS: defaultExpiresSeconds,
        maxContacts,
        maxBindings,
      },
    });
  }

  /** The other nodes are known, and know this one, before anybody registers here. */
  async start(): Promise<void> {
    await this.#nodes?.start();
    await this.#keeper.start();
  }

  /** Whether it is another node's address; undefined where none is heard. */
  get isNode(): ((address: string) => boolean) | undefined {
    const nodes = this.#nodes;
    return nodes && ((address) => nodes.isNode(address));
  }

  async stop(): Promise<void> {
    this.#carriers.close();
    await this.#keeper.close();
    await this.#nodes?.close();
  }

  /** Contacts known. */
  get size(): number {
    return this.#keeper.directory.size;
  }

  find(trunkSid: string, userName: string | undefined): ReturnType<ContactsView['find']> {
    let elsewhere = 0;
    const reachable: ReturnType<ContactsView['find']>['reachable'][number][] = [];
    for (const { userName: user, binding } of this.#keeper.directory.contacts(
      trunkSid,
      userName,
      this.#clock.wallMs(),
    )) {
      const way = this.#wayTo(binding);
      const { contact: uri, q, instance } = binding;
      if (way === undefined) elsewhere++;
      else reachable.push({ uri, userName: user, q, instance, way });
    }
    return { reachable, elsewhere };
  }

  /** @returns undefined when only another node reaches it, and not for this one */
  #wayTo(binding: Binding): ContactWay | undefined {
    const { owner, flow, nextHop, path: route, nodeRoute } = binding;
    if (owner === this.#keeper.owner) return { flow, nextHop, route };
    if (nodeRoute !== undefined && this.#nodes?.isUp(owner) === true) {
      return { flow: flowToNode(nodeRoute), route: [nodeRoute], node: nodeOf(owner) };
    }
    // A flow is of whoever took the REGISTER; a path, and the sender of datagrams, are there for all.
    return isConnected(binding) && (route?.length ?? 0) === 0 ? undefined : { nextHop, route };
  }

  knows(address: string): boolean {
    return this.#keeper.directory.knows(address);
  }

  /** Whether a stranger's REGISTER by datagram may get a challenge. */
  mayChallenge(address: string, nowMs: number): boolean {
    if (!this.enabled) return false;
    return this.#keeper.directory.knows(address) || this.#challenges.shouldLog(address, nowMs);
  }

  list(): Iterable<RegistrationLine> {
    return this.registrar.list();
  }

  remove(trunkSid: string, userName: string, contact?: string): Promise<number> {
    return this.registrar.remove(trunkSid, userName, contact);
  }

  /** Registers at the carriers of the table, now and whenever it changes. */
  follow(holder: TableHolder): void {
    holder.swapped.subscribe(() => {
      if (this.#up) this.#carriers.follow(holder.current);
    });
    this.#up = true;
    this.#carriers.follow(holder.current);
  }

  /** Takes this node off the carriers' lists: it will take no more calls. */
  leaveCarriers(): Promise<void> {
    return this.#carriers.leave();
  }

  carriers(): readonly CarrierRegistrationView[] {
    return this.#carriers.list();
  }

  carrierStates(): [state: string, count: number][] {
    return this.#carriers.counts();
  }

  unregistered(carrierId: string): string | undefined {
    const view = this.#carriers.of(carrierId);
    if (view === undefined || view.state === 'registered' || view.state === 'refreshing') return undefined;
    return view.cause === null ? view.state : `${view.state} (${view.cause})`;
  }

  dump(): object {
    const others = this.#nodes?.size;
    return { ...this.#keeper.dump(), ...(others === undefined ? {} : { otherNodes: others }) };
  }
}

function storeOf(config: Config, clock: Clock, start: string): RegistrationStore {
  const { store, node, registrar } = config;
  if (store.kind !== 'redis') return new FileRegistrationStore(registrar.path, () => clock.wallMs());
  return new RedisRegistrationStore({ url: store.url, prefix: store.prefix, node: `${node.id}#${start}` }, clock);
}

function nodesOf(config: Config, clock: Clock, owner: string): ClusterNodes | undefined {
  const listener = clusterListener(config);
  const { store } = config;
  if (listener === undefined || store.kind !== 'redis') return undefined;
  return new ClusterNodes(new RedisNodes(store, clock), clock, { owner, address: listener.host });
}

/** What peers may call this exchange. */
function namesOf(config: Config): ReadonlySet<string> {
  const names = sipListeners(config).flatMap(({ advertise }) => (advertise === undefined ? [] : [advertise.host]));
  return new Set([...names.map((name) => name.toLowerCase()), 'localhost']);
}
