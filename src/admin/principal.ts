/** Who asks, and what they may. */
import type { FastifyRequest } from 'fastify';
import type { Account, ApiKey } from '../call/routing/resources.js';

export type Scope = 'read' | 'write' | 'admin';

export interface Principal {
  /** Account of the key; undefined: the operator of the machine, over loopback. */
  readonly accountSid: string | undefined;
  /** Name of the key. */
  readonly key: string | undefined;
  readonly scope: Scope;
  /** May see and change what belongs to other accounts, and to the node. */
  readonly operator: boolean;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whoever asks; on routes that are open to anybody, the least that there is. */
    principal: Principal;
  }
}

export const NOBODY: Principal = { accountSid: undefined, key: undefined, scope: 'read', operator: false };
export const LOCAL_OPERATOR: Principal = { accountSid: undefined, key: undefined, scope: 'admin', operator: true };

/** @param operators accounts whose `admin` keys see the whole node */
export const principalOf = (account: Account, key: ApiKey, operators: readonly string[]): Principal => {
  const scope = key.scope ?? 'admin';
  return {
    accountSid: account.sid,
    key: key.key,
    scope,
    operator: scope === 'admin' && operators.includes(account.sid),
  };
};

const RANK: { readonly [scope in Scope]: number } = { read: 0, write: 1, admin: 2 };

export const hasScope = (principal: Principal, scope: Scope): boolean => RANK[principal.scope] >= RANK[scope];

/** Whether what belongs to this account may be seen. To all others it does not exist: answer 404, never 403. */
export const mayUse = ({ principal }: Pick<FastifyRequest, 'principal'>, accountSid: string | null | undefined) =>
  principal.operator || (principal.accountSid !== undefined && principal.accountSid === accountSid);
