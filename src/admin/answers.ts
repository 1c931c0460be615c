import type { TSchema } from 'typebox';
import { ErrorSchema } from './schemas.js';

/** What a route answers: this when all is well, else the error shape. */
export const answers = (ok: TSchema, ...faults: number[]) => ({
  200: ok,
  ...Object.fromEntries([...faults, 401, 403].map((status) => [status, ErrorSchema])),
});
