import type { Duplex } from 'node:stream';
import { type FastifyInstance, type FastifyReply, type RouteOptions, fastify } from 'fastify';
import { parseHostPort } from '../config/index.js';
import { TandemError } from '../kernel/index.js';
import { installAccess } from './access.js';
import { documentRoutes } from './api/documentRoutes.js';
import { keyRoutes } from './api/keyRoutes.js';
import { resourceRoutes } from './api/resourceRoutes.js';
import { revisionRoutes } from './api/revisionRoutes.js';
import { cdrRoutes } from './cdrs.js';
import type { AdminDeps } from './deps.js';
import { dialnexaRoutes } from './dialnexa/dialnexaApi.js';
import { envelope, installErrors } from './errors.js';
import { exotelRoutes, isExotelUrl, unreadableUrl } from './exotel/exotelApi.js';
import { installOpenApi, openApiRoutes } from './openapi.js';
import { placeCallRoutes } from './placeCalls.js';
import { registrationRoutes } from './registrations.js';
import { compilersFactory } from './routeChecks.js';
import { explainRoutes, healthRoutes, liveRoutes } from './routes.js';
import { IndexSchema } from './schemas.js';
import { telephonyRoutes } from './telephony/telephonyRoutes.js';

const BODY_LIMIT = 65_536;
const TIMEOUT_MS = 10_000;

export interface Admin {
  /** For tests: `app.inject`. */
  readonly app: FastifyInstance;
  /** Opens `admin.listen`; resolves to its URL. @throws TandemError `admin_listen_failed` */
  listen(): Promise<string>;
  /** Ends open connections too. */
  close(): Promise<void>;
}

interface RouteLine {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
}

/** What is not even HTTP. */
const onClientError = (_error: Error, socket: Duplex): void => {
  if (!socket.writable) return;
  const fault = { status: 400, code: 'bad_request', message: 'this is not an HTTP request', remedy: 'speak HTTP/1.1' };
  const body = JSON.stringify(envelope(fault));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
};

const createApp = (deps: AdminDeps): FastifyInstance => {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: TIMEOUT_MS,
    connectionTimeout: TIMEOUT_MS,
    forceCloseConnections: true,
    clientErrorHandler: onClientError,
    schemaController: { compilersFactory },
    frameworkErrors: (error, request, reply) => {
      if (isExotelUrl(request.url)) {
        const answer = unreadableUrl(request.method, deps.random);
        void (reply as FastifyReply).code(answer.http_code).send(answer);
        return;
      }
      const fault = { status: 400, code: 'bad_request', message: error.message, remedy: 'correct the URL' };
      void (reply as FastifyReply).code(400).send(envelope(fault));
    },
  });
  // Fastify reads text/plain by default; here it is refused like any other type but JSON.
  app.removeContentTypeParser('text/plain');
  // Answers hold keys when they are made, and what belongs to one account: no cache keeps them, no browser guesses.
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });
  installErrors(app, deps);
  installAccess(app, deps);
  return app;
};

const indexRoute = (app: FastifyInstance, deps: AdminDeps): void => {
  const routes: RouteLine[] = [];
  app.addHook('onRoute', (route: RouteOptions) => {
    const summary = route.schema?.summary ?? '';
    if (route.method !== 'HEAD') routes.push({ method: String(route.method), path: route.url, summary });
  });
  app.get('/', { schema: { summary: 'This list', response: { 200: IndexSchema } } }, async () => ({
    name: 'tandem',
    version: deps.version,
    routes,
  }));
};

/** The administration server: routes are there, the port is not open until `listen`. */
export const createAdmin = (deps: AdminDeps): Admin => {
  const app = createApp(deps);
  indexRoute(app, deps);
  installOpenApi(app, deps);
  // Routes that are made before the plugin has begun would not be in the OpenAPI document.
  void app.register((scope, _options, done) => {
    healthRoutes(scope, deps);
    explainRoutes(scope, deps);
    liveRoutes(scope, deps);
    registrationRoutes(scope, deps);
    placeCallRoutes(scope, deps);
    cdrRoutes(scope, deps);
    resourceRoutes(scope, deps);
    telephonyRoutes(scope, deps);
    keyRoutes(scope, deps);
    revisionRoutes(scope, deps);
    documentRoutes(scope, deps);
    openApiRoutes(scope);
    done();
  });
  dialnexaRoutes(app, deps);
  exotelRoutes(app, { ...deps, trunkDomain: deps.config.admin.trunkDomain });
  return {
    app,
    listen: async () => {
      const { host, port } = parseHostPort(deps.config.admin.listen) ?? { host: '127.0.0.1', port: 8080 };
      try {
        return await app.listen({ host, port });
      } catch (cause) {
        const message = `admin.listen ${deps.config.admin.listen} cannot be opened (${(cause as NodeJS.ErrnoException).code ?? String(cause)})`;
        throw new TandemError({ code: 'admin_listen_failed', message, cause });
      }
    },
    close: () => app.close(),
  };
};
