/** The registrar: who is where, in which order, until when; in one process and in several. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Binding } from '../../src/call/registration/binding.js';
import {
  type BindingAct,
  REGISTER_TABLE,
  type RegisterWish,
  type Standing,
  applyRegister,
  standingOf,
} from '../../src/call/registration/rules.js';
import type { RegistrationStore } from '../../src/call/registration/store.js';
import { lintDocument } from '../../src/call/routing/lint.js';
import { validateDocument } from '../../src/call/routing/schema.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import { ManualClock } from '../../src/kernel/index.js';
import { FileRegistrationStore, MemoryRegistrationStore, MemoryRegistrations } from '../../src/store/index.js';
import { adminRig } from '../support/adminRig.js';
import { ALICE, DOCUMENT, HERE, RegistrarRig, tableOf } from '../support/registrarRig.js';

const CONTACT = '<sip:alice@10.0.0.9:5060>';
const LIMITS = { minExpiresS: 60, maxExpiresS: 3600, defaultExpiresS: 1800, maxContacts: 3 };
const FACTS = { source: HERE, owner: 'n1#s1' };

const bound = (key: string, callId: string, cseq: number): Binding => ({
  key,
  contact: key,
  q: 1000,
  expiresMs: 1_000_000,
  updatedMs: 0,
  callId,
  cseq,
  ...FACTS,
});

t.test('every cell of the table: how a REGISTER stands to a binding, and what becomes of it', async (t) => {
  const expected: { readonly [standing in Standing]: readonly [add: BindingAct, remove: BindingAct] } = {
    none: ['insert', 'ignore'],
    other_call: ['replace', 'remove'],
    newer: ['replace', 'remove'],
    older: ['refuse', 'refuse'],
  };
  const made: { readonly [standing in Standing]: readonly Binding[] } = {
    none: [],
    other_call: [bound('sip:x@h', 'another', 900)],
    newer: [bound('sip:x@h', 'c', 4)],
    older: [bound('sip:x@h', 'c', 5)],
  };
  for (const standing of Object.keys(expected) as Standing[]) {
    for (const [i, wish] of (['add', 'remove'] as const).entries()) {
      const act = expected[standing][i] as BindingAct;
      t.equal(REGISTER_TABLE[standing][wish], act, `${standing}, ${wish}`);
      const contact = { key: 'sip:x@h', contact: 'sip:x@h', q: 500, expiresS: wish === 'add' ? 100 : 0 };
      const request: RegisterWish = { contacts: [contact], callId: 'c', cseq: 5 };
      t.equal(standingOf(made[standing][0], request), standing);
      const outcome = applyRegister(made[standing], request, LIMITS, { wallMs: 0, facts: FACTS });
      if (act === 'refuse') {
        t.strictSame(outcome, { ok: false, refusal: 'registration_out_of_order' });
        continue;
      }
      t.ok(outcome.ok);
      if (!outcome.ok) continue;
      t.strictSame(
        outcome.changes.map((change) => change.act),
        act === 'ignore' ? [] : [act],
      );
      t.strictSame(
        outcome.bindings.map(({ q, cseq }) => [q, cseq]),
        wish === 'add' ? [[500, 5]] : [],
        `${standing}, ${wish}: what is left`,
      );
    }
  }
});

t.test('a contact is bound, shown with the time that it has left, prolonged, and runs out', async (t) => {
  const rig = await RegistrarRig.make();
  const first = await rig.register({ contacts: [`${CONTACT};expires=120;q=0.5`] });
  t.equal(first.status, 200);
  t.strictSame(first.all('Contact'), ['<sip:alice@10.0.0.9:5060>;expires=120;q=0.5']);
  t.equal(first.all('Date').length, 1);
  rig.clock.advance(50_000);
  t.strictSame((await rig.register()).all('Contact'), ['<sip:alice@10.0.0.9:5060>;expires=70;q=0.5'], 'a question');
  t.strictSame((await rig.register({ contacts: [CONTACT] })).all('Contact'), [`${CONTACT};expires=1800`], 'the usual');
  t.strictSame((await rig.register({ contacts: [CONTACT], expires: 99_999 })).all('Contact'), [
    `${CONTACT};expires=3600`,
  ]);
  rig.clock.advance(3_600_500);
  t.strictSame((await rig.register()).all('Contact'), []);
  t.strictSame(rig.acts, [
    'registered sip:alice@10.0.0.9:5060',
    'refreshed sip:alice@10.0.0.9:5060',
    'refreshed sip:alice@10.0.0.9:5060',
    'expired sip:alice@10.0.0.9:5060',
  ]);
  await rig.close();
  t.equal(rig.clock.pending, 0);
});

t.test('several contacts: each with its own time, taken off one by one or all at once', async (t) => {
  const rig = await RegistrarRig.make();
  const both = await rig.register({
    contacts: [`${CONTACT};expires=100`, '"Desk" <sip:alice@10.0.0.8;transport=tcp>'],
    expires: 200,
  });
  t.strictSame(
    both.all('Contact').map((one) => /expires=(\d+)/.exec(one)?.[1]),
    ['100', '200'],
  );
  const one = await rig.register({ contacts: [`${CONTACT};expires=0`] });
  t.strictSame(one.all('Contact'), ['<sip:alice@10.0.0.8;transport=tcp>;expires=200']);
  t.equal((await rig.register({ contacts: ['*'] })).status, 400, '* without Expires: 0');
  t.equal((await rig.register({ contacts: ['*', CONTACT], expires: 0 })).status, 400, '* with others');
  t.equal((await rig.register({ contacts: ['*'], expires: 60 })).status, 400);
  t.strictSame((await rig.register({ contacts: ['*'], expires: 0 })).all('Contact'), []);
  t.equal(rig.keeper.directory.size, 0);
  await rig.close();
});

t.test('one contact, spelt in two ways, is one (RFC 3261 §19.1.4)', async (t) => {
  const rig = await RegistrarRig.make();
  await rig.register({ contacts: ['<sip:%61lice@EXAMPLE.com;Transport=TCP>'] });
  const again = await rig.register({ contacts: ['<sip:alice@example.com;transport=tcp>'] });
  t.equal(again.all('Contact').length, 1);
  t.match(rig.acts, [/^registered/, /^refreshed/]);
  await rig.close();
});

t.test('a REGISTER that comes late spoils nothing: 500, and all stays as it was', async (t) => {
  const rig = await RegistrarRig.make();
  await rig.register({ contacts: [CONTACT], cseq: 10 });
  const late = await rig.register({ contacts: ['<sip:alice@10.0.0.8>', `${CONTACT};expires=0`], cseq: 10 });
  t.equal(late.status, 500);
  t.match(late.all('Reason'), [/registration_out_of_order/]);
  t.equal(rig.keeper.directory.size, 1, 'neither of the two contacts counts');
  t.equal((await rig.register({ contacts: ['*'], expires: 0, cseq: 9 })).status, 500);
  t.equal((await rig.register({ contacts: [`${CONTACT};expires=0`], cseq: 1, callId: 'after a restart' })).status, 200);
  t.equal(rig.keeper.directory.size, 0);
  await rig.close();
});

t.test('who asks for too little time is told the least; an hour or more is never too brief', async (t) => {
  const rig = await RegistrarRig.make();
  const brief = await rig.register({ contacts: [`${CONTACT};expires=59`] });
  t.strictSame([brief.status, brief.all('Min-Expires')], [423, ['60']]);
  t.equal((await rig.register({ contacts: [CONTACT], expires: 60 })).status, 200);
  t.equal((await rig.register({ contacts: [CONTACT], expires: 3600 })).status, 200);
  t.equal((await rig.register({ contacts: [`${CONTACT};expires=soon`] })).status, 200, 'malformed: as not said');
  await rig.close();
});

t.test('nobody has more contacts than the limit, and the node has no more than its own', async (t) => {
  const rig = await RegistrarRig.make();
  const at = (i: number): string => `<sip:alice@10.0.0.${i}>`;
  t.equal((await rig.register({ contacts: [at(1), at(2), at(3)] })).status, 200);
  const fourth = await rig.register({ contacts: [at(4)] });
  t.equal(fourth.status, 403);
  t.match(fourth.all('Reason'), [/registration_contacts_full/]);
  t.equal((await rig.register({ contacts: [at(3)] })).status, 200, 'those that are there are prolonged');
  const other = { userName: 'alice', trunks: ['trk_b'] };
  t.equal((await rig.register({ contacts: [at(1), at(2)], to: '<sip:alice@b.example>' }, other)).status, 200);
  const full = await rig.register({ contacts: [at(3)], to: '<sip:alice@b.example>' }, other);
  t.strictSame([full.status, full.all('Retry-After')], [503, ['10']]);
  await rig.close();
});

t.test('users speak for themselves, at a domain of ours', async (t) => {
  const rig = await RegistrarRig.make();
  const both = { userName: 'alice', trunks: ['trk_a', 'trk_b'] };
  const asked = async (to: string, proved: typeof both | typeof ALICE = ALICE) => {
    const { status, all } = await rig.register({ contacts: [CONTACT], to }, proved);
    return `${status} ${/text="(\w+)"/.exec(all('Reason')[0] ?? '')?.[1] ?? ''}`;
  };
  t.equal(await asked('<sip:bob@192.0.2.1>'), '403 registration_not_yours');
  t.equal(await asked('<sip:alice@elsewhere.example>'), '404 registration_domain_unknown');
  t.equal(await asked('<sip:alice@b.example>'), '404 registration_domain_unknown', "another trunk's domain");
  t.equal(await asked('<sip:alice@192.0.2.1>', both), '403 registration_ambiguous', 'one password on two trunks');
  t.equal(await asked('<sip:alice@B.example>', both), '200 ');
  t.equal(rig.keeper.directory.get('trk_b/alice')?.bindings.length, 1);
  t.equal(await asked('<sip:alice@sip.example>'), '200 ', 'our own name');
  t.equal(await asked('<sip:alice@[2001:db8::1]:5060>'), '200 ');
  t.equal(await asked('nonsense'), '400 registration_malformed');
  await rig.close();
});

t.test('hostile contacts are refused, and none of the request counts', async (t) => {
  const rig = await RegistrarRig.make();
  for (const contact of [
    'tel:+918040000001',
    '<sip:alice@10.0.0.9?Route=%3Csip:victim%3E>',
    '<sip:alice@10.0.0.9>;q=7',
    '<sip:>',
    '<mailto:alice@example.com>',
    `<sip:${'a'.repeat(600)}@10.0.0.9>`,
    '<sip:alice@10.0.0.9>;+sip.instance="<a\\"b>";reg-id=1',
    'sip:alice@10.0.0.9>, garbage',
  ]) {
    t.equal((await rig.register({ contacts: [CONTACT, contact] })).status, 400, contact.slice(0, 60));
  }
  const many = Array.from({ length: 25 }, (_, i) => `<sip:alice@10.0.1.${i}>`);
  t.equal((await rig.register({ contacts: many })).status, 400);
  t.equal(rig.keeper.directory.size, 0);
  await rig.close();
});

t.test('RFC 5626: a user agent keeps several flows; each replaces its own, and dies with its connection', async (t) => {
  const rig = await RegistrarRig.make();
  const instance = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"';
  const source = { transport: 'wss', address: '192.0.2.9', port: 5555 };
  const contact = (host: string, regId: number): string =>
    `<sip:x@${host}.invalid;transport=ws>;${instance};reg-id=${regId}`;
  const first = await rig.register({ contacts: [contact('one', 1)], source, flow: 'wss/f1' });
  t.strictSame(first.all('Require'), ['outbound']);
  t.equal(first.all('Flow-Timer').length, 1);
  t.match(first.all('Contact'), [/reg-id=1/]);
  await rig.register({ contacts: [contact('two', 2)], source, flow: 'wss/f2', callId: 'c2' });
  const again = await rig.register({ contacts: [contact('three', 1)], source, flow: 'wss/f3', callId: 'c3' });
  t.equal(again.all('Contact').length, 2, 'the same flow anew, at another URI');
  rig.registrar.flowClosed('wss/f1');
  rig.registrar.flowClosed('wss/f2');
  const left = await rig.register();
  t.match(left.all('Contact'), [/three\.invalid/]);
  t.equal(left.all('Contact').length, 1);
  t.ok(rig.acts.includes('flow_closed sip:x@two.invalid;transport=ws'));
  const hop = await rig.register({
    contacts: [contact('four', 1)],
    headers: [['Via', 'SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2']],
  });
  t.strictSame([hop.status, hop.reason], [439, 'First Hop Lacks Outbound Support']);
  const kept = await rig.register({
    contacts: [contact('five', 3)],
    headers: [
      ['Via', 'SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2'],
      ['Path', '<sip:token@edge.example;lr;ob>'],
    ],
    callId: 'c5',
  });
  t.equal(kept.status, 200);
  t.strictSame(kept.all('Path'), ['<sip:token@edge.example;lr;ob>']);
  await rig.close();
});

t.test(
  'how a contact is reached: over its flow; behind NAT where it sent from; else by its URI, or its path',
  async (t) => {
    const rig = await RegistrarRig.make();
    const wayOf = (contact: string) => {
      const found = rig.keeper.directory.get('trk_a/alice')?.bindings.find((one) => one.contact === contact);
      return found === undefined ? undefined : [found.flow, found.nextHop, found.path];
    };
    await rig.register({ contacts: [CONTACT], flow: 'udp/192.0.2.1:5060>192.0.2.7:40000' });
    t.strictSame(wayOf('sip:alice@10.0.0.9:5060'), [
      'udp/192.0.2.1:5060>192.0.2.7:40000',
      'sip:192.0.2.7:40000;transport=udp',
      undefined,
    ]);
    await rig.register({ contacts: ['*'], expires: 0 });
    await rig.register({ contacts: ['<sip:alice@192.0.2.7:5070>'], headers: [['Via', 'x']], flow: 'f' });
    t.strictSame(wayOf('sip:alice@192.0.2.7:5070')?.[0], 'f', 'rport: answers are wanted where it sends from');
    await rig.register({ contacts: ['<sip:pbx@10.1.1.1>'], headers: [['Path', '<sip:p.example;lr>']], flow: 'f2' });
    t.strictSame(wayOf('sip:pbx@10.1.1.1'), [undefined, undefined, ['<sip:p.example;lr>']]);
    await rig.close();
  },
);

t.test(
  'calls to a trunk go to whoever is registered, the preferred first, then whoever was heard of last',
  async (t) => {
    const rig = await RegistrarRig.make();
    const table = await tableOf({
      ...DOCUMENT,
      carriers: [{ id: 'telco', source_acl: [{ ip: '192.0.2.99' }] }],
      trunks: [
        {
          ...DOCUMENT.trunks[0],
          destination_uris: [
            { destination: 'registered:alice', priority: 0 },
            { destination: 'pbx.example:5060', priority: 1 },
          ],
          phone_numbers: [{ phone_number: '+918040000001', carrier: 'telco' }],
        },
        { ...DOCUMENT.trunks[1], phone_numbers: [{ phone_number: '+918040000002', carrier: 'telco' }] },
      ],
    });
    const contacts = {
      find: (trunkSid: string, userName: string | undefined) => ({
        reachable: rig.keeper.directory
          .contacts(trunkSid, userName, rig.clock.wallMs())
          .map(({ userName: user, binding }) => ({
            uri: binding.contact,
            userName: user,
            q: binding.q,
            way: { flow: binding.flow },
          })),
        elsewhere: 0,
      }),
    };
    const request = { sourceAddress: '192.0.2.99', sourcePort: 5060, transport: 'udp', callerNumber: '+447700900123' };
    const call = (calledNumber: string) =>
      decide(table, { ...request, calledNumber }, { limits: NO_LIMITS, nowMs: 0, random: () => 0, contacts });
    const uris = (number: string): string[] => call(number).destinations.map(({ uri }) => uri);

    t.strictSame(uris('+918040000001'), ['sip:+918040000001@pbx.example:5060'], 'nobody: the next priority');
    const nobody = call('+918040000002');
    t.strictSame([nobody.accepted, nobody.reasonCode, nobody.sipStatus], [false, 'not_registered', 480]);
    t.match(nobody.steps.find(({ step }) => step === 'registration')?.detail, 'alice is registered at 0 contacts');

    await rig.register({ contacts: ['<sip:low@10.0.0.1>;q=0.2', '<sip:old@10.0.0.2>;q=0.9'] });
    rig.clock.advance(10);
    await rig.register({ contacts: ['<sip:new@10.0.0.3>;q=0.9'], flow: 'f3' });
    t.strictSame(uris('+918040000001'), ['sip:new@10.0.0.3', 'sip:low@10.0.0.1', 'sip:+918040000001@pbx.example:5060']);
    const [first] = call('+918040000001').destinations;
    t.match(
      first,
      { beside: [{ uri: 'sip:old@10.0.0.2', gateway: 'registered:alice' }] },
      'equal q: both ring at once',
    );
    t.match(first, { gateway: 'registered:alice', reach: { flow: 'f3', domain: 'a.example' } });
    await rig.close();
  },
);

t.test('an administrator drops contacts of a user: one, or all', async (t) => {
  const rig = await RegistrarRig.make();
  await rig.register({ contacts: ['<sip:a@10.0.0.1>', '<sip:b@10.0.0.2>', '<sip:c@10.0.0.3>'] });
  t.equal(await rig.registrar.remove('trk_a', 'alice', 'sip:b@10.0.0.2'), 1);
  t.strictSame(
    [...rig.registrar.list()].map(({ contact, accountSid }) => [contact, accountSid]),
    [
      ['sip:a@10.0.0.1', 'acme'],
      ['sip:c@10.0.0.3', 'acme'],
    ],
  );
  t.equal(await rig.registrar.remove('trk_a', 'alice', 'sip:nobody@10.0.0.1'), 0);
  t.equal(await rig.registrar.remove('trk_a', 'alice'), 2);
  t.equal(await rig.registrar.remove('trk_a', 'alice'), 0);
  await rig.close();
});

t.test('REGISTERs of one user at once are taken one after the other', async (t) => {
  const rig = await RegistrarRig.make();
  const answers = await Promise.all(
    [1, 2, 3].map((i) => rig.register({ contacts: [`<sip:alice@10.0.0.${i}>`], callId: `c${i}` })),
  );
  t.strictSame(
    answers.map(({ status, all }) => [status, all('Contact').length]),
    [
      [200, 1],
      [200, 2],
      [200, 3],
    ],
  );
  await rig.close();
});

t.test('nodes share what they know, and lose none of two REGISTERs at once', async (t) => {
  const shared = new MemoryRegistrations();
  const clock = new ManualClock();
  const one = await RegistrarRig.make(new MemoryRegistrationStore(shared), { clock, nodeId: 'n1' });
  await one.register({ contacts: ['<sip:alice@10.0.0.1>'], callId: 'before' });
  const two = await RegistrarRig.make(new MemoryRegistrationStore(shared), { clock, nodeId: 'n2' });
  t.equal(two.keeper.directory.size, 1, 'what was there when it started');
  await Promise.all([
    one.register({ contacts: ['<sip:alice@10.0.0.2>'], callId: 'c1' }),
    two.register({ contacts: ['<sip:alice@10.0.0.3>'], callId: 'c2' }),
  ]);
  t.strictSame([one.keeper.directory.size, two.keeper.directory.size], [3, 3]);
  await two.register({ contacts: ['*'], expires: 0, callId: 'c3' });
  t.strictSame([one.keeper.directory.size, two.keeper.directory.size], [0, 0]);
  await one.close();
  await two.close();
  t.equal(clock.pending, 0);
});

t.test('while the store is away a node goes on by itself, and tells it all when it is back', async (t) => {
  const shared = new MemoryRegistrations();
  const store = new MemoryRegistrationStore(shared);
  let away = false;
  const fickle: RegistrationStore = {
    follow: (news) => store.follow(news),
    write: (registration, version) =>
      away ? Promise.reject(new Error('out of reach')) : store.write(registration, version),
    close: () => store.close(),
  };
  const rig = await RegistrarRig.make(fickle);
  await rig.register({ contacts: ['<sip:alice@10.0.0.1>'] });
  away = true;
  t.equal((await rig.register({ contacts: ['<sip:alice@10.0.0.2>'] })).status, 200);
  t.equal((await rig.register()).all('Contact').length, 2);
  t.equal(shared.entries.get('trk_a/alice')?.bindings.length, 1, 'the store does not know yet');
  away = false;
  rig.clock.advance(2_000);
  await rig.register();
  t.equal(shared.entries.get('trk_a/alice')?.bindings.length, 2);
  t.strictSame(rig.storeNews, ['down', 'up']);
  await rig.close();
});

t.test('a file brings registrations over a restart; connections of before it are nobody’s', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-registrations-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'deeper', 'registrations.jsonl');
  const clock = new ManualClock();
  const make = () => RegistrarRig.make(new FileRegistrationStore(path, () => clock.wallMs()), { clock });
  const before = await make();
  await before.register({ contacts: ['<sip:alice@10.0.0.1>'], flow: 'udp/192.0.2.1:5060>192.0.2.7:40000' });
  await before.register({ contacts: ['<sip:alice@10.0.0.2>;expires=100'], flow: 'udp/192.0.2.1:5060>192.0.2.7:40000' });
  const tcp = { transport: 'tcp', address: '192.0.2.7', port: 40_001 };
  await before.register({ contacts: ['<sip:alice@10.0.0.3;transport=tcp>'], source: tcp, flow: 'tcp/f#1' });
  await before.close();
  clock.advance(150_000);
  const after = await make();
  t.strictSame(
    after.keeper.directory.get('trk_a/alice')?.bindings.map(({ contact }) => contact),
    ['sip:alice@10.0.0.1'],
    'neither what has run out nor what was reached over a connection of then',
  );
  t.strictSame((await after.register()).all('Contact'), ['<sip:alice@10.0.0.1>;expires=1650']);
  await after.close();
  const text = await readFile(path, 'utf8');
  t.match(text, /"userName":"alice"/);
});

t.test('lint finds users who cannot register; others are destinations like any', async (t) => {
  const [trunk] = DOCUMENT.trunks;
  const lint = (destinations: readonly string[], credentials: readonly object[]) => {
    const destination_uris = destinations.map((destination) => ({ destination }));
    const valid = validateDocument({ ...DOCUMENT, trunks: [{ ...trunk, credentials, destination_uris }] });
    if (!valid.ok) return valid.error.map(({ path }) => path);
    return lintDocument(valid.value).flatMap(({ code, path }) =>
      path.includes('destination') ? [`${code} ${path}`] : [],
    );
  };
  const alice = { user_name: 'alice', password: 'secret' };
  t.strictSame(lint(['registered:alice', 'registered'], [alice]), []);
  t.strictSame(lint(['registered:bob'], [alice]), ['registered_user_unknown trunks[0].destination_uris[0]']);
  t.strictSame(lint(['registered'], []), ['registered_user_unknown trunks[0].destination_uris[0]']);
  t.strictSame(lint(['registered:'], [alice]), ['trunks[0].destination_uris[0].destination'], 'nobody');
  t.strictSame(lint(['sip:registered'], [alice]), [], 'a host of that name');
});

t.test('an account sees and drops its own contacts alone', async (t) => {
  const contacts = [
    { trunkSid: 'trk_a', accountSid: 'acme', userName: 'alice', contact: 'sip:alice@10.0.0.1' },
    { trunkSid: 'trk_r', accountSid: 'rival', userName: 'rob', contact: 'sip:rob@10.0.0.2' },
  ];
  const dropped: string[] = [];
  const document = {
    accounts: ['acme', 'rival', 'ops'].map((sid) => ({ sid, api_keys: [{ key: sid, token: 'secret' }] })),
  };
  const rig = await adminRig(document, undefined, {
    registrations: {
      list: () => contacts,
      carriers: () => [{ carrierId: 'telco', state: 'registered' }],
      remove: async (trunkSid, userName) => {
        dropped.push(`${trunkSid} ${userName}`);
        return 1;
      },
    },
  });
  t.teardown(() => rig.close());
  const list = async (as: string, query = ''): Promise<unknown> =>
    (await rig.ask('GET', `/api/registrations${query}`, { as: `${as}:secret` })).body;
  t.strictSame(await list('acme'), { total: 1, registrations: [contacts[0]] });
  t.strictSame(await list('rival', '?trunk=trk_a'), { total: 0, registrations: [] });
  t.match(await list('ops'), { total: 2, carriers: [{ carrierId: 'telco', state: 'registered' }] });
  const drop = async (as: string, query: string): Promise<number> =>
    (await rig.ask('DELETE', `/api/registrations?${query}`, { as: `${as}:secret` })).status;
  t.equal(await drop('rival', 'trunk=trk_a&user=alice'), 404, 'to others it does not exist');
  t.equal(await drop('acme', 'trunk=trk_a'), 400);
  t.equal(await drop('acme', 'trunk=trk_a&user=alice'), 200);
  t.equal(await drop('ops', 'trunk=trk_r&user=rob'), 200);
  t.strictSame(dropped, ['trk_a alice', 'trk_r rob']);
});
