/** Where transfers may go: as calls of whoever asks, by the routing table alone. */
import t from 'tap';
import { CallLimiter } from '../../src/call/admission/limiter.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import { type Owner, decideTransfer } from '../../src/call/routing/decideTransfer.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import type { CallRequest, DecideContext, Decision } from '../../src/call/routing/decision.js';
import { flattenBatches, validateDocument } from '../../src/call/routing/schema.js';
import type { RoutingTable } from '../../src/call/routing/table.js';

const CONTEXT: DecideContext = { limits: NO_LIMITS, nowMs: 0, random: () => 0 };
const CARRIER = '192.0.2.1';
const PBX = '192.0.2.9';

const document = (trunk: object = {}): object => ({
  accounts: [{ sid: 'demo' }],
  carriers: [
    {
      id: 'telco',
      source_acl: [{ ip: CARRIER }],
      gateways: [{ uri: `sip:${CARRIER}:5060` }],
      sip: { refer: 'terminate' },
    },
  ],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      whitelisted_ips: [{ ip: PBX }],
      destination_uris: [{ destination: `${PBX}:5060` }],
      phone_numbers: [
        { phone_number: '+918040000001', mode: 'pstn', carrier: 'telco' },
        { phone_number: '+918040000002', mode: 'flow', flow: 'flw', carrier: 'telco' },
      ],
      ...trunk,
    },
  ],
  flows: [{ id: 'flw', version: 1, start: 'end', nodes: { end: { applet: 'hangup' } } }],
  network_groups: [
    { carrier: 'telco', country_iso: 'IN', name: 'mobile', prefixes: ['9198'], outbound_price: '0.5', currency: 'USD' },
    { carrier: 'telco', country_iso: 'IN', name: 'premium', prefixes: ['91900'], enabled: false },
  ],
});

const tableOf = async (data: object): Promise<RoutingTable> => {
  const checked = validateDocument(data);
  if (!checked.ok) throw new Error(checked.error.map(({ message }) => message).join('\n'));
  const holder = new TableHolder();
  await holder.apply({ kind: 'full', revision: 'r1', batches: flattenBatches(checked.value) });
  return holder.current;
};

const inbound: CallRequest = {
  sourceAddress: CARRIER,
  sourcePort: 5060,
  transport: 'udp',
  calledNumber: '+918040000001',
  callerNumber: '+919812345678',
};
const outbound: CallRequest = {
  ...inbound,
  sourceAddress: PBX,
  calledNumber: '+919811111111',
  callerNumber: '+918040000001',
};
const TRUNK: Owner = { kind: 'trunk', id: 'trk' };
const TELCO: Owner = { kind: 'carrier', id: 'telco' };

interface Asked {
  readonly trunk?: object;
  readonly request?: CallRequest;
  readonly referrer?: Owner;
  readonly side?: 'a' | 'b';
  readonly context?: DecideContext;
}

const ask = async (target: string, asked: Asked = {}): Promise<Decision> => {
  const { request = inbound, referrer = TRUNK, side = 'b', context = CONTEXT } = asked;
  const table = await tableOf(document(asked.trunk));
  const decision = decide(table, request, CONTEXT);
  return decideTransfer(table, { target, referrer, side, decision, request }, context);
};

t.test("a trunk's transfer is a call of the trunk, in the name of its number, at its price", async (t) => {
  t.match(await ask('+919811111111'), {
    accepted: true,
    direction: 'outbound',
    trunkSid: 'trk',
    accountSid: 'demo',
    callerNumber: { sent: '+918040000001' },
    destinations: [{ uri: `sip:+919811111111@${CARRIER}:5060`, carrierId: 'telco', rate: { outbound_price: '0.5' } }],
    limits: [{ key: 'trunk:trk' }, { key: 'account:demo' }],
    steps: [{ step: 'referred', detail: 'a REFER of trunk trk: as a call of it' }],
  });
  t.match(await ask('+919822222222', { request: outbound, side: 'a' }), {
    accepted: true,
    callerNumber: { sent: '+918040000001' },
  });
});

t.test('with caller_id pass the other end is shown, and the trunk told as who diverts', async (t) => {
  t.match(
    await ask('+919811111111', { trunk: { settings: { caller_id: 'pass', trunk_external_alias: '+918040000001' } } }),
    {
      accepted: true,
      callerNumber: { sent: '+919812345678', asserted: '+918040000001' },
      diverting: '+918040000001',
    },
  );
});

t.test('whatever the trunk may not call it may not transfer to', async (t) => {
  t.match(await ask('+919001234567'), { accepted: false, reasonCode: 'destination_not_enabled', sipStatus: 403 });
  t.match(await ask('+919811111111', { trunk: { deny_prefixes: ['9198'] } }), { reasonCode: 'destination_denied' });
  t.match(await ask('reception'), { reasonCode: 'number_invalid' });
  t.match(await ask("1;drop'@evil"), { reasonCode: 'number_invalid' });
  const limiter = new CallLimiter();
  limiter.claim([{ key: 'trunk:trk', callsPerSecond: undefined, concurrentCalls: 1 }], 0);
  const full = { ...CONTEXT, limits: limiter.at() };
  const trunk = { limits: { concurrent_calls: 1 } };
  t.match(await ask('+919811111111', { trunk, context: full }), { reasonCode: 'trunk_concurrent_calls' });
  const spend = { committedMicros: () => 1_000_000 };
  const capped = { spend_per_day: { amount: '1', currency: 'USD' } };
  t.match(await ask('+919811111111', { trunk: capped, context: { ...CONTEXT, spend } }), {
    reasonCode: 'spend_cap_reached',
  });
});

t.test('by the table of now: a trunk that was shut off meanwhile transfers nobody', async (t) => {
  const before = await tableOf(document());
  const decision = decide(before, inbound, CONTEXT);
  const now = await tableOf(document({ status: 'inactive' }));
  const wish = { target: '+919811111111', referrer: TRUNK, side: 'b', decision, request: inbound } as const;
  t.match(decideTransfer(now, wish, CONTEXT), { accepted: false, reasonCode: 'trunk_inactive' });
  const gone = decideTransfer(now, { ...wish, referrer: { kind: 'trunk', id: 'trk_gone' } }, CONTEXT);
  t.equal(gone.accepted, false);
});

t.test('a carrier reaches the numbers that it delivers, and nothing else', async (t) => {
  const asked = { referrer: TELCO, side: 'a' } as const;
  t.match(await ask('+918040000001', asked), {
    accepted: true,
    direction: 'inbound',
    trunkSid: 'trk',
    callerNumber: { sent: '+919812345678' },
    destinations: [{ uri: `sip:+918040000001@${PBX}:5060` }],
  });
  t.match(await ask('+919811111111', asked), { accepted: false, reasonCode: 'number_not_found' });
  t.match(await ask('+918040000002', asked), { accepted: false, reasonCode: 'flow_not_available' });
  t.match(await ask('+918040000001', { ...asked, referrer: { kind: 'carrier', id: 'other' } }), {
    reasonCode: 'number_on_other_carrier',
  });
});
