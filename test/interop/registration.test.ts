/** Telephones without a fixed address: they register with a password, are called where they are, and call out. */
import t, { type Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Baresip } from '../support/endpointsBaresip.js';
import { bounded } from '../support/endpoints.js';
import { SipPeer } from '../support/sipPeer.js';
import { Sipp } from '../support/sipp.js';
import { has, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const NODE = '127.0.35.1';
const PORT = 35_000;
const CARRIER = '127.0.35.11';
const FOREIGN = '+919812345678';
const SECRET = 'gr8-secret';

interface Line {
  readonly user: string;
  readonly number: string;
  readonly trunkSid: string;
  readonly address: string;
}

const lineOf = (index: number): Line => ({
  user: `phone${index}`,
  number: `+91804000010${index}`,
  trunkSid: `trk_${index}`,
  address: `127.0.35.${20 + index}`,
});
const LINES = [0, 1, 2, 3, 4, 5].map(lineOf) as [Line, Line, Line, Line, Line, Line];

/** A trunk that has no address: only a user and a password. */
const trunkOf = ({ user, number, trunkSid }: Line): object => ({
  trunk_sid: trunkSid,
  account_sid: 'demo',
  trunk_name: user,
  domain_name: `${user}.pstn.example`,
  credentials: [{ user_name: user, password: SECRET }],
  destination_uris: [{ destination: `registered:${user}` }],
  phone_numbers: [{ phone_number: number, mode: 'pstn', carrier: 'telco' }],
  settings: { trunk_external_alias: number },
});

const routing = {
  accounts: [{ sid: 'demo' }],
  carriers: [
    {
      id: 'telco',
      kind: 'byo',
      source_acl: [{ ip: CARRIER }],
      gateways: [{ uri: `sip:${CARRIER}:35100` }],
    },
  ],
  trunks: LINES.map(trunkOf),
};

const node = await TandemNode.start({ address: NODE, port: PORT, routing });
t.teardown(() => node.stop());
let callerPort = 35_200;

interface Registered {
  readonly userName: string;
  readonly contact: string;
  readonly source: string;
  readonly expiresInS: number;
}

const registrations = async (line: Line, of = node): Promise<readonly Registered[]> => {
  const answer = (await (await of.get('/api/registrations')).json()) as { registrations: Registered[] };
  return answer.registrations.filter(({ userName }) => userName === line.user);
};

const registered = (line: Line, count: number, of = node): Promise<void> =>
  bounded(`${count} contacts of ${line.user}`, 8000, async () => (await registrations(line, of)).length === count);

const callFromCarrier = async (line: Line, scenario = 'answer'): Promise<CallRecord> => {
  const caller = await Sipp.run({
    scenario: `uac/${scenario}`,
    address: CARRIER,
    port: callerPort++,
    remote: node.hostPort,
    service: line.number,
    keys: { caller: FOREIGN },
    pauseMs: 200,
  });
  if (scenario === 'answer') went(t, caller);
  return node.record(callIdOf(caller));
};

const ANSWERED = { outcome: 'answered', sipStatus: 200, reasonCode: 'normal_clearing' } as const;

const startBaresip = async (t: Test, line: Line, transport: 'udp' | 'tcp'): Promise<Baresip> => {
  const baresip = await Baresip.start({
    address: line.address,
    port: 35_010,
    user: line.user,
    transport,
    rtpPorts: '35600-35700',
    register: { registrar: `${NODE}:${PORT}`, password: SECRET },
  });
  t.teardown(() => {
    if (!t.passing()) t.comment(baresip.output.slice(-6000));
    return baresip.stop();
  });
  return baresip;
};

for (const [transport, line] of [
  ['udp', LINES[0]],
  ['tcp', LINES[1]],
] as const) {
  void t.test(
    `baresip registers over ${transport.toUpperCase()}, is called through a number, and calls out`,
    async (t) => {
      has(t, await callFromCarrier(line, 'refused'), { sipStatus: 480, reasonCode: 'not_registered' });

      const baresip = await startBaresip(t, line, transport);
      await registered(line, 1);
      const [contact] = await registrations(line);
      t.match(contact?.source, `${transport}/`);

      const record = await callFromCarrier(line);
      await baresip.event('CALL_ESTABLISHED');
      await baresip.event('CALL_CLOSED');
      has(t, record, { ...ANSWERED, direction: 'inbound', trunkSid: line.trunkSid });
      t.equal(record.destination, contact?.contact, 'the Request-URI is the contact');
      t.match(
        baresip.output,
        new RegExp(`To: <sip:\\${line.number}@${line.user}.pstn.example>`),
        'To says which number',
      );

      const gateway = await Sipp.start({ scenario: 'uas/answer', address: CARRIER, port: 35_100 });
      t.teardown(() => gateway.stop());
      baresip.command('dial', `sip:${FOREIGN}@${node.hostPort}`);
      await baresip.event('CALL_ESTABLISHED');
      baresip.command('hangup');
      const callee = await gateway.result;
      went(t, callee);
      await baresip.event('CALL_CLOSED');
      t.match(callee.received[0]?.header('From'), `<sip:${line.number}@`, 'in the name of the number of its trunk');

      await baresip.stop();
      await registered(line, 0);
      has(t, await callFromCarrier(line, 'refused'), { sipStatus: 480, reasonCode: 'not_registered' });
    },
  );
}

void t.test('a connection that breaks takes its contact with it', async (t) => {
  const line = LINES[2];
  const peer = await SipPeer.open({ address: line.address, transport: 'tcp', name: 'phone' });
  t.teardown(() => peer.close());
  t.ok(peer);
});
