/** OpenAPI 3.1 of all routes, from their schemas, and a page that shows it without anything from elsewhere. */
import swagger from '@fastify/swagger';
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { AdminDeps } from './deps.js';
import { DOCS_PAGE } from './docsPage.js';

interface Operation {
  readonly security?: readonly object[];
  responses?: Record<string, { description: string }>;
}

interface OpenApi {
  readonly paths: Record<string, Record<string, Operation>>;
}

const DESCRIPTION =
  'Routing, calls and health of a Tandem node. Credentials: key and token of an account, as HTTP Basic or as Bearer KEY:TOKEN. ' +
  'Where the administration listens on loopback, /api needs none. Changes take If-Match with a revision.';

/** Before any route: it learns of routes as they are made. Routes come after `app.after`. */
export const installOpenApi = (app: FastifyInstance, deps: AdminDeps): void => {
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tandem', version: deps.version, description: DESCRIPTION },
      components: {
        securitySchemes: { basic: { type: 'http', scheme: 'basic' }, bearer: { type: 'http', scheme: 'bearer' } },
      },
      security: [{ basic: [] }, { bearer: [] }],
    },
    transform: ({ schema, url, route }) => ({ schema: described(schema, route), url }),
  });
};

/** What the schemas do not say: who may ask. */
const described = (schema: object | undefined, { config, method }: RouteOptions): object => {
  const scope = config?.scope ?? (method === 'GET' ? 'read' : 'write');
  const who = config?.open === true ? 'Open to all.' : config?.operator === true ? 'Operators.' : `Scope: ${scope}.`;
  return { ...schema, description: who, ...(config?.open === true ? { security: [] } : {}) };
};

export const openApiRoutes = (app: FastifyInstance): void => {
  app.get('/docs', { config: { open: true }, schema: { summary: 'This API, for people', hide: true } }, (_, reply) =>
    reply
      .headers({
        'content-type': 'text/html; charset=utf-8',
        // Nothing from elsewhere, whatever stands in a description; the script is this page's own.
        'content-security-policy':
          "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'",
        'x-content-type-options': 'nosniff',
      })
      .send(DOCS_PAGE.html),
  );
  app.get('/docs/page.js', { config: { open: true }, schema: { summary: 'Script of /docs', hide: true } }, (_, reply) =>
    reply
      .headers({ 'content-type': 'text/javascript; charset=utf-8', 'x-content-type-options': 'nosniff' })
      .send(DOCS_PAGE.script),
  );
  app.get(
    '/docs/openapi.json',
    { config: { open: true }, schema: { summary: 'This API, OpenAPI 3.1', hide: true } },
    () => openApi(app),
  );
};

const openApi = (app: FastifyInstance): OpenApi => app.swagger() as unknown as OpenApi;
