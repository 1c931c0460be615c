import type { FastifyInstance } from 'fastify';
import type { Static } from '../kernel/index.js';
import { redactedConfig } from '../config/index.js';
import { answers } from './answers.js';
import type { AdminDeps, LiveCallView } from './deps.js';
import { ApiError } from './errors.js';
import { mayUse } from './principal.js';
import * as s from './schemas.js';

export { explainRoutes } from './explain.js';

/** Health: what a supervisor, a load balancer and Prometheus ask for. */
export const healthRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get(
    '/healthz',
    { config: { open: true }, schema: { summary: 'The process is up', response: { 200: s.HealthSchema } } },
    async () => ({ status: 'ok', node: deps.config.node.id, version: deps.version }),
  );
  app.get(
    '/readyz',
    {
      config: { open: true },
      schema: {
        summary: 'New calls can be taken; 503 with the reasons when not',
        response: { 200: s.ReadinessSchema, 503: s.ReadinessSchema },
      },
    },
    async (_request, reply) => {
      const { tableLoaded, signallingUp, draining } = deps.state();
      const reasons = [
        ...(tableLoaded ? [] : ['table_not_loaded']),
        ...(signallingUp ? [] : ['signalling_down']),
        ...(draining ? ['draining'] : []),
      ];
      return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons });
    },
  );
  app.get(
    '/metrics',
    { config: { operator: true }, schema: { summary: 'Metrics for Prometheus' } },
    async (_request, reply) => {
      const { contentType, body } = await deps.metrics();
      return reply.header('content-type', contentType).send(body);
    },
  );
};

/** What lives in the process now. */
export const liveRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get<{ Querystring: Static<typeof s.CallsQuerySchema> }>(
    '/api/calls',
    { schema: { summary: 'Live calls', querystring: s.CallsQuerySchema, response: answers(s.CallsSchema, 400) } },
    async (request) => {
      const limit = Math.min(1000, Number(request.query.limit));
      const calls: LiveCallView[] = [];
      let total = 0;
      for (const call of deps.liveCalls()) {
        if (mayUse(request, call.accountSid) && ++total <= limit) calls.push(call);
      }
      return { total, calls };
    },
  );
  app.get<{ Params: Static<typeof s.CallIdSchema> }>(
    '/api/calls/:id',
    { schema: { summary: 'One live call', params: s.CallIdSchema, response: answers(s.CallSchema, 404) } },
    async (request) => {
      const call = deps.liveCall(request.params.id);
      if (call !== undefined && mayUse(request, call.accountSid)) return call;
      throw new ApiError({
        status: 404,
        code: 'call_not_found',
        message: `no live call has the id ${request.params.id}`,
        remedy: 'calls that have ended are in the call records',
      });
    },
  );
  app.get(
    '/api/gateways',
    {
      config: { operator: true },
      schema: {
        summary: 'Where calls may go, and which of these places did not answer lately',
        response: answers(s.GatewaysSchema),
      },
    },
    async () => ({ gateways: deps.gateways?.() ?? [] }),
  );
  app.get(
    '/api/dump',
    {
      config: { operator: true },
      schema: { summary: 'Everything that lives: calls, engine, timers', response: answers(s.OpenObjectSchema) },
    },
    async () => deps.dump(),
  );
  app.get(
    '/api/config',
    {
      config: { operator: true },
      schema: { summary: 'The configuration in use, secrets masked', response: answers(s.OpenObjectSchema) },
    },
    async () => redactedConfig(deps.config),
  );
};
