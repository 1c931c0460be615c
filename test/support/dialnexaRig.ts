/** DialNexa's API over a memory store, asked without a socket. */
import type { Test } from 'tap';
import { type ProbeResult, createAdmin } from '../../src/admin/index.js';
import { ManualClock } from '../../src/kernel/index.js';
import { adminDeps } from './adminDeps.js';
import { type Answer, type AskOptions, askApp } from './askApp.js';
import { controlRig } from './controlRig.js';

export const NOW = '2026-02-03T10:00:00Z';

const flow = (id: string, version: number, more: object = {}) => ({
  id,
  version,
  start: 'end',
  nodes: { end: { applet: 'hangup' } },
  ...more,
});

/** `acme` has a trunk; `bare` has none; `rival` is another customer. */
export const DIALNEXA_DOCUMENT = {
  accounts: [
    {
      sid: 'acme',
      prefix_mode: 'allow_only_listed',
      disabled_network_groups: ['telco/GB/UK Mobile'],
      api_keys: [
        { key: 'admin', token: 'a' },
        { key: 'write', token: 'w', scope: 'write' },
        { key: 'read', token: 'r', scope: 'read' },
      ],
    },
    { sid: 'bare', api_keys: [{ key: 'bare', token: 'b' }] },
    { sid: 'rival', api_keys: [{ key: 'rival', token: 'x' }] },
    { sid: 'ops', api_keys: [{ key: 'ops', token: 'o' }] },
  ],
  carriers: [
    { id: 'telco', kind: 'plivo', source_acl: [{ ip: '198.51.100.0', mask: 24 }] },
    { id: 'rivals_own', kind: 'byo', account_sid: 'rival', source_acl: [{ ip: '203.0.113.77' }] },
  ],
  trunks: [
    {
      trunk_sid: 'trk_acme',
      account_sid: 'acme',
      trunk_name: 'office',
      settings: { trunk_external_alias: '+918040000001' },
      phone_numbers: [
        { phone_number: '+918040000001', mode: 'pstn', carrier: 'telco' },
        { phone_number: '+442070000001', mode: 'flow', flow: 'sales' },
        { phone_number: '+442070000002', mode: 'pstn', status: 'pending' },
      ],
    },
    {
      trunk_sid: 'trk_rival',
      account_sid: 'rival',
      trunk_name: 'theirs',
      whitelisted_ips: [{ ip: '192.0.2.128', mask: 25 }],
      phone_numbers: [{ phone_number: '+918040000009', mode: 'pstn' }],
    },
  ],
  flows: [flow('sales', 3), flow('sales@2', 2), flow('theirs', 1, { account_sid: 'rival' })],
  network_groups: [
    { carrier: 'telco', country_iso: 'IN', name: 'India', prefixes: ['91'], outbound_price: '0.50', currency: 'INR' },
    {
      carrier: 'telco',
      country_iso: 'IN',
      name: 'India Mobile',
      prefixes: ['919'],
      outbound_price: '0.40',
      inbound_price: '0.1',
      currency: 'INR',
    },
    { carrier: 'telco', country_iso: 'GB', name: 'UK', prefixes: ['44'], outbound_price: '2' },
    { carrier: 'telco', country_iso: 'GB', name: 'UK Mobile', prefixes: ['447'], outbound_price: '3' },
    { carrier: 'telco', country_iso: 'US', name: 'USA', prefixes: ['1'], enabled: false },
    { carrier: 'rivals_own', country_iso: 'FR', name: 'France', prefixes: ['33'] },
  ],
};

/** Hosts that answer, by what is asked for. */
const HOSTS: { readonly [place: string]: ProbeResult } = {
  'sip.provider.example': { addresses: ['203.0.113.5', '2001:db8::5'], fault: undefined },
  'sip.provider.example:5070': { addresses: ['203.0.113.5'], fault: undefined },
  'reserved.example': { addresses: ['198.51.100.7'], fault: undefined },
  '192.0.2.200': { addresses: ['192.0.2.200'], fault: undefined },
  '203.0.113.77': { addresses: ['203.0.113.77'], fault: undefined },
};

export const dialnexaRig = async (t: Test, document: unknown = DIALNEXA_DOCUMENT) => {
  const clock = new ManualClock(Date.parse(NOW));
  const rig = await controlRig(structuredClone(document), clock);
  const errors: unknown[] = [];
  const probed: string[] = [];
  const flags = ['--admin.listen', '127.0.0.1:0', '--admin.operators', 'ops'];
  const admin = createAdmin({
    ...adminDeps(rig, clock, flags, errors),
    probe: async (place) => {
      probed.push(place);
      return HOSTS[place] ?? { addresses: [], fault: `${place} does not answer (timeout)` };
    },
  });
  t.teardown(async () => {
    await admin.close();
    await rig.close();
  });
  const ask = (method: string, path: string, body?: unknown, options: AskOptions = {}): Promise<Answer> => {
    const { as = 'admin:a', headers } = options;
    const url = path.startsWith('/') ? path : `/v1/${path}`;
    return askApp(admin, { method, url, authorization: as === '' ? undefined : `Bearer ${as}`, body, headers });
  };
  return {
    ask,
    clock,
    errors,
    probed,
    directory: () => rig.control.directory(),
    control: rig.control,
    document: rig.document,
  };
};
