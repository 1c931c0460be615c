/** What all routes that change the document have in common: author, If-Match, ETag, faults. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  type Author,
  type ControlProblem,
  type Decided,
  type Directory,
  isControlProblem,
  notOwned,
} from '../../control/index.js';
import { err, type Result, Type } from '../../kernel/index.js';
import type { AdminDeps } from '../deps.js';
import { ApiError, type ApiFault } from '../errors.js';
import type { Principal } from '../principal.js';

/** Seconds after which a client may try again when the store did not take a change. */
const RETRY_SECONDS = '1';

export const notFoundFault = (what: string): ApiFault => ({
  status: 404,
  code: 'resource_not_found',
  message: `there is no ${what}`,
  remedy: 'list what there is',
});

export const IfMatchSchema = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 100,
      description: 'Revision that must be current: 412 otherwise',
      examples: ['"17-7adf"'],
    }),
  ),
});

export const RevisionAnswer = Type.Object({ revision: Type.String({ description: 'Revision that now serves' }) });

/** What work gives in an answer with its revision. */
export interface Answer<T> {
  readonly revision: string;
  readonly result: T;
}

export const authorOf = ({ principal, headers }: FastifyRequest): Author => ({
  accountSid: principal.accountSid,
  key: principal.key,
  via: headers['x-tandem-client'] === 'cli' ? 'cli' : 'api',
});

/** RFC 9110 §13.1.1; `*` is any revision. */
export const ifMatchOf = (request: FastifyRequest): string | undefined => {
  const text = request.headers['if-match'];
  if (text === undefined || text.trim() === '*') return undefined;
  return text.trim().replace(/^"([^"]*)"$/, '$1');
};

export const tagged = (reply: FastifyReply, revision: string): FastifyReply => reply.header('etag', `"${revision}"`);

type Decision<T> = Result<Decided<T>, ApiFault>;

export interface PublishOptions {
  readonly note?: string | undefined;
  /** The route itself has seen to it that nothing of others is touched. */
  readonly checked?: boolean;
}

/**
 * Publishes what `work` decides, as far as it is the asking account's own to decide.
 * @throws ApiError with the fault of work, or of the document
 */
export const publish = async <T>(
  deps: AdminDeps,
  request: FastifyRequest,
  work: (directory: Directory) => Decision<T> | Promise<Decision<T>>,
  { note, checked = false }: PublishOptions = {},
): Promise<Answer<T>> => {
  const ifMatch = ifMatchOf(request);
  const guarded = async (directory: Directory): Promise<Decision<T>> => {
    const decided = await work(directory);
    if (!decided.ok || checked) return decided;
    const foreign = foreignKey(request.principal, directory, decided.value);
    return foreign === undefined ? decided : err(notFoundFault(foreign));
  };
  const changed = await deps.control.change(authorOf(request), guarded, { ifMatch, note });
  if (changed.ok) return changed.value;
  throw failed(changed.error, ifMatch !== undefined);
};

const foreignKey = (principal: Principal, directory: Directory, change: Decided<unknown>): string | undefined => {
  if (principal.operator) return undefined;
  const key = notOwned(directory, change, principal.accountSid ?? '');
  return key === undefined ? undefined : `${key.type.replace('_', ' ')} ${key.id}`;
};

const STATUS: { readonly [code in ControlProblem['code']]: number } = {
  revision_conflict: 409,
  invalid_document: 422,
  reference_missing: 422,
  resource_in_use: 409,
  revision_too_large: 413,
  revision_not_found: 404,
  history_trimmed: 410,
  store_unreachable: 503,
  store_busy: 503,
};

const REMEDY: { readonly [code in ControlProblem['code']]: string } = {
  revision_conflict: 'read the current revision and try again',
  invalid_document: 'correct what the message names',
  reference_missing: 'create it first, or in the same revision',
  resource_in_use: 'remove or move what refers to it, in the same revision if need be',
  revision_too_large: 'publish several revisions',
  revision_not_found: 'GET /api/revisions lists those that are kept',
  history_trimmed: 'GET /api/revisions lists those that are kept',
  store_unreachable: 'try again when the store is back: calls are served meanwhile',
  store_busy: 'try again',
};

/** @param named the client named the revision that it wants to change */
export const failed = (error: ApiFault | ControlProblem, named = false): ApiError => {
  if (!isControlProblem(error)) return new ApiError(error);
  const { code, message, revision } = error;
  const status = code === 'revision_conflict' && named ? 412 : STATUS[code];
  return new ApiError(
    { status, code, message, remedy: REMEDY[code], ...(revision === undefined ? {} : { revision }) },
    {
      ...(revision === undefined ? {} : { etag: `"${revision}"` }),
      ...(status === 503 ? { 'retry-after': RETRY_SECONDS } : {}),
    },
  );
};

/** The value of a result of the control, or its fault as an answer. @throws ApiError */
export const valueOf = <T>(result: Result<T, ControlProblem>): T => {
  if (result.ok) return result.value;
  throw failed(result.error);
};
