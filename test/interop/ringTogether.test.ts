/** Two registered telephones of one user ring together: one of them answers, or a colleague takes the call from both. */
import t, { type Test } from 'tap';
import { Baresip } from '../support/endpointsBaresip.js';
import { bounded } from '../support/endpoints.js';
import { Sipp, type SippResult, describe } from '../support/sipp.js';
import { has, ofKind, verdict, went } from '../support/sippChecks.js';
import { TandemNode } from '../support/tandemNode.js';
import { callIdOf } from '../support/tandemNodeSite.js';

const [NODE, CARRIER, PICKER] = ['127.0.73.1', '127.0.73.11', '127.0.73.31'] as const;
const PHONES = ['127.0.73.21', '127.0.73.22'] as const;
const PORT = 37_300;
const PHONE_PORT = 37_310;
const NUMBER = '+918040000073';
const OTHER_NUMBER = '+918040000074';
const FOREIGN = '+919812345673';
const SECRET = 'ring-secret';
const ELSEWHERE = /Reason: SIP;cause=200;text="Call completed elsewhere"/;

const trunkOf = (user: string, number: string): object => ({
  trunk_sid: `trk_${user}`,
  account_sid: 'demo',
  trunk_name: user,
  domain_name: `${user}.pstn.example`,
  credentials: [{ user_name: user, password: SECRET }],
  destination_uris: [{ destination: `registered:${user}` }],
  phone_numbers: [{ phone_number: number, mode: 'pstn', carrier: 'telco' }],
});

const node = await TandemNode.start({
  address: NODE,
  port: PORT,
  routing: {
    accounts: [{ sid: 'demo' }],
    carriers: [
      { id: 'telco', kind: 'byo', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:37390` }] },
    ],
    trunks: [trunkOf('desk', NUMBER), trunkOf('other', OTHER_NUMBER)],
  },
});
t.teardown(() => node.stop());

const phones = await Promise.all(
  PHONES.map((address, i) =>
    Baresip.start({
      address,
      port: PHONE_PORT,
      user: 'desk',
      rings: true,
      rtpPorts: `${37_600 + 100 * i}-${37_690 + 100 * i}`,
      register: { registrar: `${NODE}:${PORT}`, password: SECRET },
    }),
  ),
);
t.teardown(() => Promise.all(phones.map((phone) => phone.stop())));
const [desk, second] = phones as [Baresip, Baresip];
await bounded('two contacts', 8000, async () => {
  const answer = (await (await node.get('/api/registrations')).json()) as { registrations: unknown[] };
  return answer.registrations.length === 2;
});

let callerPort = 37_400;

interface Calling {
  readonly legs: { readonly bLeg?: { readonly branches?: readonly { readonly sipStatus: number }[] } | null };
}

/** Whether the node has heard from both that they ring. */
const bothRing = async (): Promise<boolean> => {
  const { calls } = (await (await node.get('/api/calls')).json()) as { readonly calls: readonly Calling[] };
  return calls.some(({ legs }) => legs.bLeg?.branches?.map(({ sipStatus }) => sipStatus).join() === '180,180');
};

/** A carrier's call, once both telephones ring. */
const ringBoth = async (t: Test): Promise<Sipp> => {
  for (const phone of phones) phone.forget();
  const caller = await Sipp.start({
    scenario: 'uac/answer',
    address: CARRIER,
    port: callerPort++,
    remote: node.hostPort,
    service: NUMBER,
    keys: { caller: FOREIGN },
    pauseMs: 300,
  });
  t.teardown(() => caller.stop());
  await Promise.all(phones.map((phone) => phone.event('CALL_INCOMING')));
  await bounded('180 of both', 5000, bothRing);
  return caller;
};

/** What a trace has of the latest 180 that a telephone sent: the names of its early dialog. */
const earlyDialog = (phone: Baresip): { readonly [key: string]: string } => {
  const ringing = phone.output.slice(phone.output.lastIndexOf('SIP/2.0 180 '));
  const field = (pattern: RegExp): string => {
    const found = pattern.exec(ringing)?.[1];
    if (found === undefined) throw new Error(`no ${pattern} in\n${ringing.slice(0, 1500)}`);
    return found;
  };
  return {
    ringing_call: field(/^Call-ID: *(\S+?)\r?$/im),
    our_tag: field(/^From:.*;tag=([^;\s]+)/im),
    their_tag: field(/^To:.*;tag=([^;\s]+)/im),
  };
};

/** Resolves when both have printed so many CANCELs with the reason. */
const cancelled = (phone: Baresip, times: number): Promise<void> =>
  bounded(`CANCEL number ${times} with its reason`, 5000, () =>
    Promise.resolve(phone.output.split(ELSEWHERE).length - 1 >= times),
  );

void t.test('both ring, the second answers, the first is told that the call was completed elsewhere', async (t) => {
  const caller = await ringBoth(t);
  second.command('accept');
  await second.event('CALL_ESTABLISHED');
  await desk.event('CALL_CLOSED');
  await cancelled(desk, 1);
  const called = await caller.result;
  await second.event('CALL_CLOSED');
  went(t, called);
  t.match(verdict(called).text, `c=IN IP4 ${PHONES[1]}`, 'with the media of who answered');
  t.notMatch(second.output, /CANCEL sip:/, 'who answered was not cancelled');
  const record = await node.record(callIdOf(called));
  has(t, record, { outcome: 'answered', sipStatus: 200, endedBy: 'caller', trunkSid: 'trk_desk' });
  t.match(record.destination, `@${PHONES[1]}:`);
  t.equal(record.attempts.length, 1);
  t.match(record.attempts[0], { sipStatus: 200, result: 'answered', uri: record.destination });
  const branches = record.attempts[0]?.branches ?? [];
  t.strictSame(
    branches.map(({ uri, result }) => result === (uri === record.destination ? 'answered' : 'cancelled')),
    [true, true],
    'one answered, the other was cancelled',
  );
  t.ok(
    branches.every(({ sipStatus }) => sipStatus >= 180),
    'both rang',
  );
});

const pickUp = (user: string): Promise<SippResult> =>
  Sipp.run({
    scenario: 'uac/pickup',
    address: PICKER,
    port: callerPort++,
    remote: node.hostPort,
    service: NUMBER,
    keys: { user, ...earlyDialog(desk) },
    login: { user, password: SECRET },
  });

void t.test('both ring, and a colleague takes the call; somebody of another trunk may not', async (t) => {
  const caller = await ringBoth(t);
  const before = node.records().length;
  const stranger = await pickUp('other');
  const refusal = ofKind(stranger.received, '403 INVITE')[0];
  t.match(refusal?.header('Reason'), /replaces_not_allowed/, describe(stranger));

  const picked = await pickUp('desk');
  const called = await caller.result;
  went(t, picked, called);
  await Promise.all([desk.event('CALL_CLOSED'), second.event('CALL_CLOSED')]);
  await cancelled(desk, 2);
  await cancelled(second, 1);
  t.match(
    verdict(called).text,
    /c=IN IP4 127\.0\.73\.31\r\n[^]*m=audio 41000 RTP\/AVP 0 8\r\n/,
    'the caller hears the colleague',
  );
  t.match(
    ofKind(picked.received, '200 INVITE')[0]?.text,
    /c=IN IP4 127\.0\.73\.11\r\n[^]*m=audio 40000 RTP\/AVP 8 0\r\n/,
    'and the colleague the caller, by what both can do',
  );
  const record = await node.record(callIdOf(called));
  has(t, record, { outcome: 'answered', sipStatus: 200, endedBy: 'caller', trunkSid: 'trk_desk' });
  t.match(record.destination, `@${PICKER}:`);
  t.equal(record.bLegCallId, callIdOf(picked));
  t.match(record.attempts, [
    { sipStatus: 180, result: 'picked_up', branches: [{ result: 'cancelled' }, { result: 'cancelled' }] },
    { sipStatus: 200, result: 'answered', uri: record.destination },
  ]);
  t.equal(node.records().length, before + 2, 'one record of the call, one of the refusal');
});
