/** Numbers answered by an agent's version, and accounts that call listed numbers only. */
import t from 'tap';
import { TableBuilder } from '../../src/call/routing/compile.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';

const CARRIER = '192.0.2.1';
const PBX = '10.0.0.1';

const flow = (id: string, version: number) => ({ id, version, start: 'end', nodes: { end: { applet: 'hangup' } } });
const number = (last: number, more: object) => ({ phone_number: `+91804000000${last}`, mode: 'flow', ...more });
const agent = (agent_id: string, version: number) => ({ inbound_agent: { agent_id, version } });

const decider = async (account: object) => {
  const document = validateDocument({
    accounts: [{ sid: 'acc', ...account }],
    carriers: [
      { id: 'telco', source_acl: [{ ip: CARRIER }], gateways: [{ uri: 'sip:192.0.2.1' }] },
      { id: 'own', account_sid: 'acc', gateways: [{ uri: 'sip:192.0.2.2' }] },
    ],
    trunks: [
      {
        trunk_sid: 'trk',
        account_sid: 'acc',
        trunk_name: 't',
        whitelisted_ips: [{ ip: PBX }],
        phone_numbers: [
          number(1, agent('sales', 3)),
          number(2, agent('sales', 2)),
          number(3, agent('sales', 1)),
          number(4, { flow: 'sales', ...agent('sales', 2) }),
          number(5, { flow: 'sales' }),
          number(6, { mode: 'pstn', carrier: 'telco' }),
          number(7, { mode: 'pstn', carrier: 'own' }),
        ],
      },
    ],
    flows: [flow('sales', 3), flow('sales@2', 2)],
    network_groups: [
      { carrier: 'telco', country_iso: 'IN', name: 'India', prefixes: ['91'] },
      { carrier: 'own', country_iso: 'IN', name: 'India', prefixes: ['91'] },
    ],
  });
  if (!document.ok) throw new Error(JSON.stringify(document.error));
  const table = await new TableBuilder({}).compile({
    kind: 'full',
    revision: 'r',
    batches: [[...flatten(document.value)]],
  });
  return (sourceAddress: string, calledNumber: string, callerNumber: string) =>
    decide(
      table,
      { sourceAddress, sourcePort: 5060, transport: 'udp', calledNumber, callerNumber },
      { limits: NO_LIMITS, nowMs: 0, random: () => 0.5 },
    );
};

t.test('a version of an agent is a flow of its own, or what the flow is now', async (t) => {
  const ask = await decider({});
  const answeredBy = (last: number) => ask(CARRIER, `+91804000000${last}`, '+442071234567');
  t.match(answeredBy(1), { accepted: true, flow: { id: 'sales', version: 3 } });
  t.match(answeredBy(2), { accepted: true, flow: { id: 'sales@2', version: 2 } });
  t.match(answeredBy(3), { accepted: false, reasonCode: 'flow_not_available' }, 'not published any more');
  t.match(answeredBy(4), { flow: { id: 'sales@2' } }, 'before flow');
  t.match(answeredBy(5), { flow: { id: 'sales' } });
  t.match(
    validateDocument({
      trunks: [{ trunk_sid: 't', account_sid: 'a', trunk_name: 't', phone_numbers: [number(1, {})] }],
    }),
    {
      ok: false,
      error: [{ message: /mode flow/ }],
    },
  );
});

t.test('with allow_only_listed, what no group names is refused, but to carriers brought along', async (t) => {
  const [open, listed] = [await decider({}), await decider({ prefix_mode: 'allow_only_listed' })];
  const [byTelco, byOwn] = ['+918040000006', '+918040000007'] as const;
  t.match(open(PBX, '+442071234567', byTelco), { accepted: true });
  t.match(listed(PBX, '+442071234567', byTelco), { reasonCode: 'destination_not_listed', sipStatus: 403 });
  t.match(listed(PBX, '+919812345678', byTelco), { accepted: true });
  t.match(listed(PBX, '+442071234567', byOwn), { accepted: true });
});
