/** The administration over a memory store, asked through `app.inject`. */
import { type Admin, type AdminDeps, createAdmin } from '../../src/admin/index.js';
import { ManualClock } from '../../src/kernel/index.js';
import { adminDeps } from './adminDeps.js';
import { askApp, basic } from './askApp.js';
import { type ControlRig, controlRig } from './controlRig.js';

export interface Asked {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** Parsed body. */
  readonly body: never;
}

export interface Question {
  /** `key:token`; none: no credentials. */
  readonly as?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly from?: string;
}

export interface AdminRig extends ControlRig {
  readonly admin: Admin;
  readonly clock: ManualClock;
  readonly errors: unknown[];
  ask(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, question?: Question): Promise<Asked>;
}

/**
 * @param listen an address that is not loopback makes every route ask for a key
 * @param over what the process does otherwise
 */
export const adminRig = async (
  document: unknown,
  listen = '192.0.2.65:31000',
  over: Partial<AdminDeps> = {},
): Promise<AdminRig> => {
  const clock = new ManualClock();
  const rig = await controlRig(document, clock);
  const errors: unknown[] = [];
  const flags = ['--admin.listen', listen, '--admin.operators', 'ops'];
  const admin = createAdmin({ ...adminDeps(rig, clock, flags, errors), ...over });
  await admin.app.ready();
  return {
    ...rig,
    admin,
    clock,
    errors,
    ask: async (method, url, { as, body, headers, from = '198.51.100.1' } = {}) => {
      const authorization = as === undefined ? undefined : basic(as);
      const { json, ...answer } = await askApp(admin, { method, url, authorization, body, headers, from });
      return { ...answer, body: json as never };
    },
    close: async () => {
      await admin.close();
      await rig.close();
    },
  };
};
