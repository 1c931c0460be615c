/** DialNexa's telephony API below `/v1`, so that its clients work unchanged. Every fault is answered in its form. */
import type { FastifyError, FastifyInstance } from 'fastify';
import { ApiError } from '../errors.js';
import { RequestLimiter, limitRate } from '../exotel/rateLimit.js';
import { NexaApi, type NexaDeps } from './api.js';
import { NexaError, type NexaFault, bodyOf, fault } from './faults.js';
import { phoneNumberRoutes } from './phoneNumbers.js';
import { ruleRoutes } from './rules.js';
import { sipTrunkRoutes } from './sipTrunks.js';

const PREFIX = '/v1';
const REQUESTS_PER_MINUTE = 150;
/** Seconds after which a client may try again when the store did not take a change. */
const RETRY_SECONDS = 1;
const MAX_ECHO = 100;

/** Mounts the API. */
export const dialnexaRoutes = (app: FastifyInstance, deps: NexaDeps): void => {
  const api = new NexaApi(deps);
  void app.register(
    (scope, _options, done) => {
      installFaults(scope, deps);
      const limiter = new RequestLimiter(deps.clock, REQUESTS_PER_MINUTE);
      scope.addHook('onRequest', async (request, reply) => {
        const { sid } = api.account(request);
        const waitSeconds = limitRate(limiter, sid, reply, deps.clock);
        if (waitSeconds === 0) return;
        throw new NexaError(fault(429, `Too many requests: try again in ${waitSeconds} s`));
      });
      phoneNumberRoutes(scope, api);
      sipTrunkRoutes(scope, api);
      ruleRoutes(scope, api);
      done();
    },
    { prefix: PREFIX },
  );
};

const installFaults = (scope: FastifyInstance, deps: NexaDeps): void => {
  scope.setNotFoundHandler((request, reply) => {
    const path = (request.url.split('?', 1)[0] as string).slice(0, MAX_ECHO);
    return reply.code(404).send(bodyOf(fault(404, `Cannot ${request.method} ${path}`)));
  });
  scope.setErrorHandler((error: FastifyError | NexaError | ApiError, request, reply) => {
    if (error instanceof ApiError) reply.headers(error.headers);
    const told = faultOf(error);
    if (told.status === 500) deps.onError(error, request.url);
    if (told.status === 503) reply.header('retry-after', RETRY_SECONDS);
    return reply.code(told.status).send(bodyOf(told));
  });
};

const faultOf = (error: FastifyError | NexaError | ApiError): NexaFault => {
  if (error instanceof NexaError) return error.fault;
  if (error instanceof ApiError) {
    const { status, message } = error.fault;
    return fault(status, status === 401 ? 'Unauthorized' : message);
  }
  const { code, statusCode = 500, message } = error;
  if (code?.startsWith('FST_') && statusCode < 500) return fault(statusCode, message);
  return fault(500, 'Internal server error');
};
