/**
 * Exotel's trunk API below `/v2/accounts/{account_sid}`, so that its clients work unchanged. Everything here, faults of
 * Fastify included, is answered in its envelope.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Random } from '../../kernel/index.js';
import { ApiError } from '../errors.js';
import { mayUse } from '../principal.js';
import { ExotelApi, type ExotelDeps, type Path, newRequestId } from './api.js';
import { checkWith } from './checking.js';
import { credentialRoutes } from './credentials.js';
import { destinationUriRoutes } from './destinationUris.js';
import { type SingleEnvelope, failed } from './envelope.js';
import {
  ExotelError,
  type ExotelFault,
  badBody,
  echo,
  forbidden,
  internal,
  invalid,
  methodNotAllowed,
  notFound,
  tooManyRequests,
  unauthenticated,
  unsupportedType,
} from './faults.js';
import { phoneNumberRoutes } from './phoneNumbers.js';
import { RequestLimiter, limitRate } from './rateLimit.js';
import { activeStreamsRoute } from './activeStreams.js';
import { callsConnectRoute } from './callsConnect.js';
import { settingRoutes } from './settings.js';
import { trunkRoutes } from './trunks.js';
import { whitelistedIpRoutes } from './whitelistedIps.js';

const PREFIX = '/v2';
/** Seconds after which a client may try again when the store did not take a change. */
const RETRY_SECONDS = 1;

/** Mounts the API. */
export const exotelRoutes = (app: FastifyInstance, deps: ExotelDeps): void => {
  const api = new ExotelApi(deps);
  void app.register(
    (scope, _options, done) => {
      scope.decorateRequest('exotelRequestId', '');
      installParsing(scope);
      installFaults(scope, api);
      installAdmission(scope, api);
      trunkRoutes(scope, api);
      phoneNumberRoutes(scope, api);
      whitelistedIpRoutes(scope, api);
      destinationUriRoutes(scope, api);
      credentialRoutes(scope, api);
      settingRoutes(scope, api);
      done();
    },
    { prefix: PREFIX },
  );
  activeStreamsRoute(app, deps);
  callsConnectRoute(app, deps);
};

/** Whether the API's own envelope is due, where no route was found yet. */
export const isExotelUrl = (url: string): boolean => url === PREFIX || url.startsWith(`${PREFIX}/`);

/** The answer to a URL that cannot be decoded. */
export const unreadableUrl = (method: string, random: Random): SingleEnvelope =>
  failed({ requestId: newRequestId(random), method }, invalid('The URL cannot be read'));

/** JSON only; a DELETE that says JSON and has no body is what clients send. */
const installParsing = (scope: FastifyInstance): void => {
  const parseJson = scope.getDefaultJsonParser('error', 'error');
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body.length === 0) done(null, undefined);
    else void parseJson(request, body as string, done);
  });
  checkWith(scope);
};

/** Rate, and the account of the path: one that is not the key's own is as unknown as one that never was. */
const installAdmission = (scope: FastifyInstance, api: ExotelApi): void => {
  const limiter = new RequestLimiter(api.deps.clock);
  scope.addHook('onRequest', async (request, reply) => {
    const { accountSid } = request.principal;
    if (accountSid === undefined) throw new ExotelError(unauthenticated());
    const waitSeconds = limitRate(limiter, accountSid, reply, api.deps.clock);
    if (waitSeconds > 0) throw new ExotelError(tooManyRequests(limiter.limit, waitSeconds));
    const { account_sid: wanted } = request.params as Partial<Path>;
    if (wanted === undefined) return;
    if (mayUse(request, wanted) && api.deps.control.directory().account(wanted) !== undefined) return;
    throw new ExotelError(notFound(`There is no account ${echo(wanted)}`));
  });
};

const installFaults = (scope: FastifyInstance, api: ExotelApi): void => {
  const routes = new RouteList();
  scope.addHook('onRoute', (route) => routes.add(route));
  scope.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] as string;
    const allowed = routes.methodsOf(path);
    if (allowed.length === 0) return answer(api, request, reply, notFound(`There is nothing at ${echo(path)}`));
    reply.header('allow', allowed.join(', '));
    return answer(api, request, reply, methodNotAllowed(allowed));
  });
  scope.setErrorHandler((error: FastifyError | ExotelError | ApiError, request, reply) => {
    if (error instanceof ApiError) reply.headers(error.headers);
    const fault = faultOf(error);
    if (fault.status === 500) api.deps.onError(error, request.url);
    if (fault.status === 503) reply.header('retry-after', RETRY_SECONDS);
    return answer(api, request, reply, fault);
  });
};

const answer = (api: ExotelApi, request: FastifyRequest, reply: FastifyReply, fault: ExotelFault): FastifyReply => {
  const envelope = failed(api.asked(request), fault);
  return reply.code(envelope.http_code).send(envelope);
};

const faultOf = (error: FastifyError | ExotelError | ApiError): ExotelFault => {
  if (error instanceof ExotelError) return error.fault;
  if (error instanceof ApiError) {
    if (error.fault.status === 401) return unauthenticated();
    return error.fault.status === 403 ? forbidden(error.fault.message) : internal();
  }
  const { code, statusCode = 500 } = error;
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return unsupportedType();
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return badBody('The body may have 64 kB at most', 413);
  if (code?.startsWith('FST_ERR_CTP_') || error instanceof SyntaxError) return badBody('The body is not valid JSON');
  return statusCode < 500 ? invalid('The request cannot be read') : internal();
};

/** Which methods a path is served with: for 405, which must name them (RFC 9110 §15.5.6). */
class RouteList {
  readonly #routes: { readonly method: string; readonly pattern: RegExp }[] = [];

  add({ url, method }: RouteOptions): void {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replace(/:[a-z_]+/g, '[^/]+')}$`);
    for (const one of [method].flat()) this.#routes.push({ method: one, pattern });
  }

  methodsOf(path: string): string[] {
    return this.#routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
  }
}
