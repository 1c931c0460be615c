/** `/api/telephony`: providers, countries, network groups, prices and switches, as people set them. */
import type { FastifyInstance } from 'fastify';
import type { AdminDeps } from '../deps.js';
import { configRoutes } from './configRoutes.js';
import { groupRoutes } from './groupRoutes.js';

export const telephonyRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  configRoutes(app, deps);
  groupRoutes(app, deps);
};
