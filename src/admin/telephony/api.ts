/** What the routes of `/api/telephony` share: the account that is meant, and the form of pages. */
import type { FastifyRequest } from 'fastify';
import type { Account } from '../../call/routing/resources.js';
import { type Directory, dateText } from '../../control/index.js';
import { err, ok, type Result, Type } from '../../kernel/index.js';
import type { AdminDeps } from '../deps.js';
import type { ApiFault } from '../errors.js';
import { notFoundFault } from '../api/publishing.js';

export const closed = { additionalProperties: false } as const;

/** Operators say whom they mean; the key of an account means its own. */
export const accountQuery = {
  account_sid: Type.Optional(
    Type.String({ minLength: 1, maxLength: 128, description: 'for operators: the account that is meant' }),
  ),
};

export const pageQuery = {
  limit: Type.String({ description: 'At most so many, up to 1000', pattern: '^[1-9][0-9]{0,3}$', default: '100' }),
  after: Type.Optional(Type.String({ maxLength: 400, description: '`next` of the page before' })),
};

export const MAX_PAGE = 1000;

/**
 * The account that is meant, and undefined where an operator means none. One of others is as unknown as one that never
 * was.
 */
export function meantAccount(
  { principal }: FastifyRequest,
  directory: Directory,
  wanted: string | undefined,
): Result<Account | undefined, ApiFault> {
  const sid = principal.operator ? wanted : (wanted ?? principal.accountSid ?? '');
  if (sid === undefined) return ok(undefined);
  const account = principal.operator || sid === principal.accountSid ? directory.account(sid) : undefined;
  return account === undefined ? err(notFoundFault(`account ${sid.slice(0, 128)}`)) : ok(account);
}

export const nowText = ({ clock }: AdminDeps): string => dateText(clock.wallMs());

export const wrong = (message: string, remedy: string): ApiFault => ({
  status: 400,
  code: 'invalid_request',
  message,
  remedy,
});
