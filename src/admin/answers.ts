import type { TSchema } from '../kernel/index.js';
import { ErrorSchema } from './schemas.js';

/** Statuses that carry the error shape; 401 and 403 always may. */
export const faults = (...statuses: number[]): { readonly [status: number]: TSchema } =>
  Object.fromEntries([...statuses, 401, 403].map((status) => [status, ErrorSchema]));

/** What a route answers: this when all is well, else the error shape. */
export const answers = (ok: TSchema, ...statuses: number[]) => ({
  200: ok,
  ...faults(...statuses),
});
