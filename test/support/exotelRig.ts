/** Exotel's trunk API over a memory store, asked without a socket. */
import type { Test } from 'tap';
import { createAdmin } from '../../src/admin/index.js';
import { ManualClock } from '../../src/kernel/index.js';
import { adminDeps } from './adminDeps.js';
import { type Answer, type AskOptions, askApp, basic } from './askApp.js';
import { controlRig } from './controlRig.js';

export const NOW = '2026-01-23T09:24:59Z';

const flow = (id: string) => ({ id, start: 'end', nodes: { end: { applet: 'hangup' } } });

/** Two accounts with a trunk each written by hand; `acme` has a key of every scope. */
export const EXOTEL_DOCUMENT = {
  accounts: [
    {
      sid: 'acme',
      api_keys: [
        { key: 'admin', token: 'a' },
        { key: 'write', token: 'w', scope: 'write' },
        { key: 'read', token: 'r', scope: 'read' },
      ],
    },
    { sid: 'rival', api_keys: [{ key: 'rival', token: 'x' }] },
    { sid: 'ops', api_keys: [{ key: 'ops', token: 'o' }] },
  ],
  carriers: [
    { id: 'telco', kind: 'byo', source_acl: [{ ip: '198.51.100.0', mask: 24 }] },
    { id: 'rivals_own', kind: 'byo', account_sid: 'rival', source_acl: [{ ip: '203.0.113.77' }] },
    { id: 'acmes_own', kind: 'byo', account_sid: 'acme', source_acl: [{ ip: '203.0.113.88' }] },
  ],
  trunks: [
    {
      trunk_sid: 'trk_hand',
      account_sid: 'acme',
      trunk_name: 'by_hand',
      whitelisted_ips: [{ ip: '192.0.2.1' }],
      credentials: [{ user_name: 'pbx', password: 'hidden' }],
      destination_uris: [{ destination: 'sip:192.0.2.1:5060;transport=tcp' }],
      phone_numbers: [{ phone_number: '+918040000001', mode: 'pstn' }],
    },
    {
      trunk_sid: 'trk_rival',
      account_sid: 'rival',
      trunk_name: 'theirs',
      phone_numbers: [{ phone_number: '+918040000009', mode: 'pstn' }],
    },
  ],
  flows: [flow('flw_one')],
};

const LIVE_CALLS = [
  { callId: 'c1', accountSid: 'acme', streams: 1 },
  { callId: 'c2', accountSid: 'acme', streams: 2 },
  { callId: 'c3', accountSid: 'acme' },
  { callId: 'c4', accountSid: 'rival', streams: 5 },
  { callId: 'c5', accountSid: null, streams: 9 },
];

/** Time stands still: tests advance `clock`. */
export const exotelRig = async (t: Test, document: unknown = EXOTEL_DOCUMENT) => {
  const clock = new ManualClock(Date.parse(NOW));
  const rig = await controlRig(structuredClone(document), clock);
  const errors: unknown[] = [];
  const flags = ['--admin.listen', '127.0.0.1:0', '--admin.trunkDomain', 'tandem.test'];
  const admin = createAdmin({ ...adminDeps(rig, clock, flags, errors), liveCalls: () => LIVE_CALLS });
  t.teardown(async () => {
    await admin.close();
    await rig.close();
  });
  const ask = (method: string, path: string, body?: unknown, options: AskOptions = {}): Promise<Answer> => {
    const { as = 'admin:a', headers } = options;
    const url = path.startsWith('/') ? path : `/v2/accounts/acme/${path}`;
    return askApp(admin, { method, url, authorization: as === '' ? undefined : basic(as), body, headers });
  };
  return { ask, clock, errors, directory: () => rig.control.directory(), document: rig.document, admin };
};

export type ExotelRig = Awaited<ReturnType<typeof exotelRig>>;

/** The failure envelope with these codes; `http_code` and HTTP status are `outer` where that differs. */
export const isFault = (
  t: Test,
  answer: Answer,
  [status, code, description]: readonly [status: number, code: number, description?: RegExp | string],
  outer = status,
): void => {
  const { request_id, ...rest } = answer.json as { request_id: string; response: { error_data: { message: string } } };
  const told = rest.response.error_data as { message: string; description: string };
  t.match(request_id, /^[0-9a-f]{32}$/);
  t.equal(answer.status, outer, `HTTP ${outer}`);
  t.match(rest, {
    method: String,
    http_code: outer,
    response: { code: status, error_data: { code, message: /./, description: /./ }, status: 'failure', data: null },
  });
  if (description !== undefined) t.match(told.description, description);
};
