/** What binds resources to one another, checked before a change goes to any store. */
import { flowOfAgent } from '../call/routing/agents.js';
import type { AgentVersion, Flow, PhoneNumber, Resource, ResourceKey } from '../call/routing/resources.js';
import { resourceKey } from '../call/routing/schema.js';
import type { Change } from './change.js';
import type { Directory } from './directory.js';
import { type ControlProblem, controlProblem } from './problem.js';

const text = ({ type, id }: ResourceKey): string => `${type} ${id}`;

/**
 * Whether everything that the change writes refers to what is there afterwards, and nothing that stays refers to what it
 * deletes. What was wrong before and is not touched stays as it is. Linear in the change.
 */
export function checkReferences(directory: Directory, change: Change): ControlProblem | undefined {
  const after = new After(directory, change);
  for (const resource of change.upserts) {
    const missing = after.missingReference(resource);
    if (missing !== undefined) {
      const message = `${text(resourceKey(resource))} names the ${missing}, which does not exist`;
      return controlProblem('reference_missing', message);
    }
    if (resource.type === 'phone_number') {
      const foreign = after.foreign(resource.value);
      if (foreign !== undefined) {
        // Nothing is learnt of what others have, not even that they have it.
        const message = `phone_number ${resource.value.phone_number} names the ${foreign}, which does not exist`;
        return controlProblem('reference_missing', message);
      }
    }
  }
  for (const key of change.deletes) {
    const user = after.has(key.type, key.id) ? undefined : after.userOf(key);
    if (user !== undefined) return controlProblem('resource_in_use', `${text(key)} is still used by ${user}`);
  }
  return undefined;
}

/** The document as it would be. */
class After {
  readonly #directory: Directory;
  readonly #upserts: ReadonlyMap<string, Resource>;
  readonly #deletes: ReadonlySet<string>;

  constructor(directory: Directory, change: Change) {
    this.#directory = directory;
    this.#upserts = new Map(change.upserts.map((resource) => [text(resourceKey(resource)), resource]));
    this.#deletes = new Set(change.deletes.map(text));
  }

  has(type: ResourceKey['type'], id: string): boolean {
    const key = text({ type, id });
    if (this.#upserts.has(key)) return true;
    return !this.#deletes.has(key) && existing(this.#directory, { type, id }) !== undefined;
  }

  /** In words, with the id. */
  missingReference(resource: Resource): string | undefined {
    const miss = (type: ResourceKey['type'], id: string | undefined): string | undefined =>
      id === undefined || this.has(type, id) ? undefined : `${type.replace('_', ' ')} '${id}'`;
    switch (resource.type) {
      case 'trunk':
        return miss('account', resource.value.account_sid);
      case 'carrier':
        return miss('account', resource.value.account_sid);
      case 'network_group':
        return miss('carrier', resource.value.carrier);
      case 'phone_number': {
        const { trunk_sid, flow, carrier, inbound_agent, outbound_agent } = resource.value;
        return (
          miss('trunk', trunk_sid) ??
          miss('flow', flow) ??
          miss('carrier', carrier) ??
          this.#missingAgent(inbound_agent) ??
          this.#missingAgent(outbound_agent)
        );
      }
      case 'account':
        return resource.value.carriers?.map((id) => miss('carrier', id)).find((missing) => missing !== undefined);
      case 'flow':
        return miss('account', resource.value.account_sid);
    }
  }

  #flow(agent: AgentVersion | undefined): Flow | undefined {
    if (agent === undefined) return undefined;
    return flowOfAgent(agent, (id) => {
      if (!this.has('flow', id)) return undefined;
      const found = this.#get('flow', id);
      return found?.type === 'flow' ? found.value : undefined;
    });
  }

  #missingAgent(agent: AgentVersion | undefined): string | undefined {
    if (agent === undefined || this.#flow(agent) !== undefined) return undefined;
    return `version ${agent.version} of agent '${agent.agent_id}'`;
  }

  /** A carrier that one account brought along, or a flow of its own, is for no number of another. */
  foreign({ trunk_sid, carrier, flow, inbound_agent, outbound_agent }: PhoneNumber): string | undefined {
    const trunk = this.#get('trunk', trunk_sid);
    const account = trunk?.type === 'trunk' ? trunk.value.account_sid : undefined;
    for (const [type, id] of [['carrier', carrier] as const, ['flow', flow] as const]) {
      const named = id === undefined ? undefined : this.#get(type, id);
      const owned = named?.type === 'carrier' || named?.type === 'flow' ? named.value.account_sid : undefined;
      if (owned !== undefined && owned !== account) return `${type} '${id}'`;
    }
    for (const agent of [inbound_agent, outbound_agent]) {
      const owner = this.#flow(agent)?.account_sid;
      if (agent !== undefined && owner !== undefined && owner !== account) {
        return `version ${agent.version} of agent '${agent.agent_id}'`;
      }
    }
    return undefined;
  }

  /** Something that stays and refers to what is gone. */
  userOf({ type, id }: ResourceKey): string | undefined {
    const directory = this.#directory;
    switch (type) {
      case 'account':
        return (
          this.#first('trunk', directory.trunksOf(id), (trunk) => trunk.trunk_sid) ??
          this.#first('carrier', directory.carriersOf(id), (carrier) => carrier.id) ??
          this.#first('flow', flowsOf(directory, id), (flow) => flow.id)
        );
      case 'trunk':
        return this.#first('phone_number', directory.numbersOf(id), (number) => number.phone_number);
      case 'carrier':
        return (
          this.#numbersLeft('carrier', id) ??
          this.#first('network_group', directory.groupsOf(id), (g) => `${g.carrier}/${g.country_iso}/${g.name}`) ??
          this.#accountWith(id)
        );
      case 'flow':
        return this.#numbersLeft('flow', id);
      case 'phone_number':
      case 'network_group':
        return undefined;
    }
  }

  /** The first that the change leaves as it is. One that it writes anew was checked by itself. */
  #first<T>(type: ResourceKey['type'], values: Iterable<T>, idOf: (value: T) => string): string | undefined {
    for (const value of values) {
      const key = text({ type, id: idOf(value) });
      if (!this.#deletes.has(key) && !this.#upserts.has(key)) return `${type.replace('_', ' ')} ${idOf(value)}`;
    }
    return undefined;
  }

  #numbersLeft(type: 'carrier' | 'flow', id: string): string | undefined {
    let left = this.#directory.numbersThatName(type, id);
    if (left === 0) return undefined;
    for (const key of new Set([...this.#deletes, ...this.#upserts.keys()])) {
      if (!key.startsWith('phone_number ')) continue;
      if (this.#directory.number(key.slice('phone_number '.length))?.[type] === id) left--;
    }
    return left === 0 ? undefined : `${left} phone number${left === 1 ? '' : 's'}`;
  }

  #accountWith(carrier: string): string | undefined {
    for (const account of this.#directory.accounts()) {
      if (account.carriers?.includes(carrier) !== true) continue;
      const key = text({ type: 'account', id: account.sid });
      if (!this.#deletes.has(key) && !this.#upserts.has(key)) return `account ${account.sid}`;
    }
    return undefined;
  }

  #get(type: ResourceKey['type'], id: string): Resource | undefined {
    return this.#upserts.get(text({ type, id })) ?? existing(this.#directory, { type, id });
  }
}

/** Flows of an account's own: of the few that there are. */
export function* flowsOf(directory: Directory, accountSid: string): Generator<Flow> {
  for (const flow of directory.flows()) if (flow.account_sid === accountSid) yield flow;
}

/** One resource of the directory by its key. */
export function existing(directory: Directory, { type, id }: ResourceKey): Resource | undefined {
  switch (type) {
    case 'account':
      return wrap(type, directory.account(id));
    case 'trunk':
      return wrap(type, directory.trunk(id));
    case 'phone_number':
      return wrap(type, directory.number(id));
    case 'carrier':
      return wrap(type, directory.carrier(id));
    case 'network_group':
      return wrap(type, directory.group(id));
    case 'flow':
      return wrap(type, directory.flow(id));
  }
}

const wrap = (type: Resource['type'], value: Resource['value'] | undefined): Resource | undefined =>
  value === undefined ? undefined : ({ type, value } as Resource);
