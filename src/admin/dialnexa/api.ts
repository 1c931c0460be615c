/** What the routes of this API share: the account that asks, its numbers, and changes. */
import type { FastifyRequest } from 'fastify';
import type { Account, Carrier, PhoneNumber } from '../../call/routing/resources.js';
import { type Decided, type Directory, dateText, isControlProblem } from '../../control/index.js';
import { type Result, Type } from '../../kernel/index.js';
import type { AdminDeps } from '../deps.js';
import { numberId } from '../exotel/data.js';
import { NumberIds, numberWithId } from '../exotel/numberIds.js';
import { NexaError, type NexaFault, fault, faultOfProblem } from './faults.js';

export type NexaDeps = Pick<AdminDeps, 'config' | 'control' | 'clock' | 'random' | 'onError' | 'probe'>;
export type Outcome<T> = Result<T, NexaFault>;

/** Random octets in ids of numbers, carriers and trunks. */
const ID_BYTES = 6;
const SID_BYTES = 10;

export class NexaApi {
  readonly deps: NexaDeps;
  readonly ids = new NumberIds();

  constructor(deps: NexaDeps) {
    this.deps = deps;
  }

  directory(): Directory {
    return this.deps.control.directory();
  }

  now(): string {
    return dateText(this.deps.clock.wallMs());
  }

  newNumberId(): string {
    return String(parseInt(this.deps.random.hex(ID_BYTES), 16));
  }

  /** Nobody can guess one. */
  newSid(prefix: string): string {
    return prefix + this.deps.random.hex(SID_BYTES);
  }

  /** The account of the key. @throws NexaError */
  account({ principal }: FastifyRequest, directory = this.directory()): Account {
    const account = directory.account(principal.accountSid ?? '');
    if (account === undefined) throw new NexaError(fault(401, 'Unauthorized'));
    return account;
  }

  /** The account's number with this id; those of others are as unknown as those that never were. @throws NexaError */
  async number(request: FastifyRequest, id: string): Promise<PhoneNumber> {
    const directory = this.directory();
    const { sid } = this.account(request, directory);
    for (const { trunk_sid } of directory.trunksOf(sid)) {
      const found = await this.ids.find(directory, trunk_sid, id);
      if (found !== undefined) return found;
    }
    throw new NexaError(noSuchNumber);
  }

  /** The same number in a newer directory. */
  again(directory: Directory, { phone_number, trunk_sid }: PhoneNumber, id: string): PhoneNumber | undefined {
    return numberWithId(directory, phone_number, { trunkSid: trunk_sid, id });
  }

  /** One revision. @throws NexaError */
  async change<T>(request: FastifyRequest, work: (directory: Directory) => Outcome<Decided<T>>): Promise<T> {
    const { accountSid, key } = request.principal;
    const changed = await this.deps.control.change({ accountSid, key, via: 'v1' }, work);
    if (changed.ok) return changed.value.result;
    throw new NexaError(isControlProblem(changed.error) ? faultOfProblem(changed.error) : changed.error);
  }
}

export const noSuchNumber = fault(404, 'Phone number not found');

export const FaultSchema = Type.Object({
  statusCode: Type.Integer(),
  message: Type.String(),
  error: Type.String(),
});

export const answers = (ok: object, ...statuses: readonly number[]) => ({
  ...ok,
  ...Object.fromEntries([...statuses, 401, 403, 429].map((status) => [status, FaultSchema])),
});

const PROVIDERS = { plivo: 'plivo', twilio: 'twilio', byo: 'byo_sip' } as const;

export const providerOf = (carrier: Carrier | undefined): string | null =>
  carrier === undefined ? null : PROVIDERS[carrier.kind];

/** What an account brought along, in its own words: no password. */
const sipTrunkData = ({ nickname, gateways, credentials }: Carrier): object => ({
  nickname: nickname ?? null,
  termination_uri: gateways[0]?.uri.replace(/^sip:/i, '') ?? null,
  auth_mode: credentials === undefined ? 'ip' : 'userpass',
  sip_trunk_user_name: credentials?.user_name ?? null,
});

const agentData = (agent: PhoneNumber['inbound_agent']): object | null =>
  agent === undefined ? null : { agent_id: agent.agent_id, agent_version_number: agent.version };

/** A number as clients see it. */
export const numberData = (directory: Directory, number: PhoneNumber): object => {
  const carrier = number.carrier === undefined ? undefined : directory.carrier(number.carrier);
  const own = carrier?.account_sid !== undefined;
  return {
    id: numberId(number),
    phone_number: number.phone_number,
    provider: providerOf(carrier),
    status: number.status ?? 'active',
    is_sip_trunk: own,
    inbound_agent: agentData(number.inbound_agent),
    outbound_agent: agentData(number.outbound_agent),
    ...(own ? sipTrunkData(carrier) : { nickname: number.friendly_name ?? null }),
    created_at: number.date_created ?? null,
    updated_at: number.date_updated ?? null,
  };
};
