/** Every answer that is not a success has one shape: {error: {code, message, remedy}}. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AdminDeps } from './deps.js';

export interface ApiFault {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  /** The revision that is current, where the request named another. */
  readonly revision?: string;
}

export const envelope = ({ code, message, remedy, revision }: ApiFault) => ({
  error: { code, message, remedy, ...(revision === undefined ? {} : { revision }) },
});

/** Thrown by handlers to answer with a fault. */
export class ApiError extends Error {
  readonly fault: ApiFault;
  readonly headers: Readonly<Record<string, string>>;

  constructor(fault: ApiFault, headers: Readonly<Record<string, string>> = {}) {
    super(fault.message);
    this.fault = fault;
    this.headers = headers;
  }
}

const faultOf = (error: FastifyError): ApiFault => {
  const { message } = error;
  switch (error.code) {
    case 'FST_ERR_VALIDATION': {
      const remedy = 'GET / lists the routes; correct the named field';
      return { status: 400, code: 'invalid_request', message, remedy };
    }
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return { status: 400, code: 'invalid_json', message, remedy: 'send one JSON object as the body' };
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return { status: 415, code: 'unsupported_media_type', message, remedy: 'send Content-Type: application/json' };
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return { status: 413, code: 'body_too_large', message, remedy: 'send at most 64 kB, or 16 MB of changes' };
    default:
      return { status: error.statusCode ?? 400, code: 'bad_request', message, remedy: 'correct the request' };
  }
};

const INTERNAL: ApiFault = {
  status: 500,
  code: 'internal_error',
  message: 'the request could not be answered',
  remedy: 'the log of the process says why',
};

/** Methods that a path is served with; empty for an unknown path. */
const methodsOf = (app: FastifyInstance, url: string): string[] =>
  (['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).filter((method) => app.findRoute({ url, method }) !== null);

const notFound = (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
  const path = request.url.split('?', 1)[0] as string;
  const allowed = methodsOf(app, path);
  if (allowed.length === 0) {
    const message = `there is nothing at ${path.slice(0, 200)}`;
    return reply
      .code(404)
      .send(envelope({ status: 404, code: 'not_found', message, remedy: 'GET / lists the routes' }));
  }
  const remedy = `use ${allowed.join(' or ')}`;
  const message = `${path} is not served with ${request.method}`;
  return reply
    .code(405)
    .header('allow', allowed.join(', '))
    .send(envelope({ status: 405, code: 'method_not_allowed', message, remedy }));
};

/** Gives every failure of the server the one shape. */
export const installErrors = (app: FastifyInstance, deps: Pick<AdminDeps, 'onError'>): void => {
  app.setNotFoundHandler((request, reply) => notFound(app, request, reply));
  app.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    if (error instanceof ApiError) {
      return reply.code(error.fault.status).headers(error.headers).send(envelope(error.fault));
    }
    const known = error.code?.startsWith('FST_') === true && (error.statusCode ?? 500) < 500;
    if (!known) deps.onError(error, request.url);
    const fault = known ? faultOf(error) : INTERNAL;
    return reply.code(fault.status).send(envelope(fault));
  });
};
