/** What the routes of this API share: who asks, the trunk that is meant, changes, and the form of answers. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Listed, PhoneNumber, Trunk } from '../../call/routing/resources.js';
import { type ControlProblem, type Decided, type Directory, dateText, isControlProblem } from '../../control/index.js';
import { type Random, type Result, err, ok } from '../../kernel/index.js';
import type { AdminDeps } from '../deps.js';
import type { Asked } from './envelope.js';
import {
  ExotelError,
  type ExotelFault,
  conflict,
  echo,
  invalid,
  notFound,
  preconditionFailed,
  unavailable,
} from './faults.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** 32 hexadecimal digits; empty until asked for, and on requests to other APIs. */
    exotelRequestId: string;
  }
}

/** What this API needs of the administration. */
export type ExotelDeps = Pick<
  AdminDeps,
  'config' | 'control' | 'clock' | 'random' | 'liveCalls' | 'originate' | 'onError'
> & {
  /** What stands for `exotel.com` in the `domain_name` of new trunks. */
  readonly trunkDomain: string;
};

/** Parameters of the path; which of them there are depends on the route. */
export interface Path {
  readonly account_sid: string;
  readonly trunk_sid: string;
  readonly id: string;
}

export type Outcome<T> = Result<T, ExotelFault>;

/** What becomes of a trunk, and what is told of it. The same trunk: nothing is published. */
export interface Edited<T> {
  readonly trunk: Trunk;
  readonly result: T;
}

const ID_BYTES = 6;
const REQUEST_ID_BYTES = 16;

export const newRequestId = (random: Random): string => random.hex(REQUEST_ID_BYTES);

export class ExotelApi {
  readonly deps: ExotelDeps;

  constructor(deps: ExotelDeps) {
    this.deps = deps;
  }

  asked(request: FastifyRequest): Asked {
    // A request may fail before any hook of this API has seen it.
    if (request.exotelRequestId === '') request.exotelRequestId = newRequestId(this.deps.random);
    return { requestId: request.exotelRequestId, method: request.method };
  }

  /** The directory that a reading request is answered from; its revision goes into ETag. */
  directory(reply: FastifyReply): Directory {
    const directory = this.deps.control.directory();
    reply.header('etag', `"${directory.revision}"`);
    return directory;
  }

  /** Time of a change, as resources keep it. */
  now(): string {
    return dateText(this.deps.clock.wallMs());
  }

  /** Id and dates of a new entry. */
  fresh(): Required<Pick<Listed, 'id' | 'date_created' | 'date_updated'>> {
    const now = this.now();
    return { id: String(parseInt(this.deps.random.hex(ID_BYTES), 16)), date_created: now, date_updated: now };
  }

  /** The account's trunk of the path. One of another account is as unknown as one that never was. */
  trunk(request: FastifyRequest, directory: Directory): Outcome<Trunk> {
    const { account_sid, trunk_sid } = request.params as Path;
    return trunkOf(directory, account_sid, trunk_sid);
  }

  /** Decides by the newest directory, publishes as one revision. @throws ExotelError */
  async change<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    work: (directory: Directory) => Outcome<Decided<T>>,
  ): Promise<T> {
    const { accountSid, key } = request.principal;
    const ifMatch = revisionOf(request.headers['if-match']);
    const changed = await this.deps.control.change({ accountSid, key, via: 'v2' }, work, { ifMatch });
    if (!changed.ok) {
      const fault = isControlProblem(changed.error) ? faultOf(changed.error, ifMatch !== undefined) : changed.error;
      throw new ExotelError(fault);
    }
    reply.header('etag', `"${changed.value.revision}"`);
    return changed.value.result;
  }

  /** A change of the trunk of the path. @throws ExotelError */
  changeTrunk<T>(
    request: FastifyRequest,
    reply: FastifyReply,
    edit: (trunk: Trunk, directory: Directory) => Outcome<Edited<T>>,
  ): Promise<T> {
    const date_updated = this.now();
    return this.change(request, reply, (directory) => {
      const trunk = this.trunk(request, directory);
      if (!trunk.ok) return trunk;
      const edited = edit(trunk.value, directory);
      if (!edited.ok) return edited;
      const { trunk: next, result } = edited.value;
      const value = { ...next, date_updated };
      const upserts = next === trunk.value ? [] : [{ type: 'trunk' as const, value }];
      return ok({ upserts, deletes: [], result });
    });
  }
}

export const trunkOf = (directory: Directory, accountSid: string, trunkSid: string): Outcome<Trunk> => {
  const trunk = directory.trunk(trunkSid);
  if (trunk?.account_sid === accountSid) return ok(trunk);
  return err(notFound(`There is no trunk ${echo(trunkSid)}`));
};

/** The account's number; one of another account is as unknown as one that nobody has. */
export const numberOf = (directory: Directory, accountSid: string, e164: string): PhoneNumber | undefined => {
  const number = directory.number(e164);
  return number !== undefined && trunkOf(directory, accountSid, number.trunk_sid).ok ? number : undefined;
};

/** RFC 9110 §13.1.1: `"revision"`; `*` asks for nothing that would not be checked anyway. */
const revisionOf = (header: string | undefined): string | undefined => {
  const text = header?.trim();
  if (text === undefined || text === '*') return undefined;
  return /^(?:W\/)?"(.*)"$/.exec(text)?.[1] ?? text;
};

const faultOf = ({ code, message }: ControlProblem, conditional: boolean): ExotelFault => {
  switch (code) {
    case 'revision_conflict':
      return conditional ? preconditionFailed() : unavailable('Others are changing the configuration; try again');
    case 'revision_too_large':
      return invalid('This changes too much at once; take phone numbers away first');
    case 'store_busy':
    case 'store_unreachable':
      return unavailable('The configuration cannot be changed at the moment; try again');
    case 'reference_missing':
    case 'resource_in_use':
      return conflict('Something that this depends on was changed meanwhile');
    default:
      return invalid(echo(message));
  }
};
