import t from 'tap';
import type { PhoneNumber, Resource, ResourceKey, Trunk } from '../../src/call/routing/resources.js';
import { type Author, DirectoryHolder, listedId, removalOfTrunk } from '../../src/control/index.js';
import { err, ok } from '../../src/kernel/index.js';
import { controlRig } from '../support/controlRig.js';

const AUTHOR: Author = { accountSid: 'acme', key: 'k', via: 'api' };

const DOCUMENT = {
  accounts: [{ sid: 'acme' }, { sid: 'other' }],
  carriers: [
    { id: 'telco', kind: 'byo', gateways: [{ uri: 'sip:127.0.65.10', priority: 0, weight: 1 }] },
    { id: 'own', kind: 'byo', account_sid: 'acme', gateways: [] },
  ],
  trunks: [
    {
      trunk_sid: 'trk_a',
      account_sid: 'acme',
      trunk_name: 'a',
      date_created: '2026-02-01T00:00:00Z',
      phone_numbers: [
        { phone_number: '+918040000002', mode: 'pstn', carrier: 'telco' },
        { phone_number: '+918040000001', mode: 'flow', flow: 'flw', friendly_name: 'desk' },
      ],
    },
    { trunk_sid: 'trk_b', account_sid: 'acme', trunk_name: 'b', date_created: '2026-01-01T00:00:00Z' },
    { trunk_sid: 'trk_c', account_sid: 'other', trunk_name: 'c' },
  ],
  flows: [
    { id: 'flw', start: 'end', nodes: { end: { applet: 'hangup' } } },
    { id: 'mine', account_sid: 'acme', start: 'end', nodes: { end: { applet: 'hangup' } } },
  ],
  network_groups: [{ carrier: 'telco', country_iso: 'IN', name: 'all', prefixes: ['91'] }],
};

const number = (phone_number: string, over: Partial<PhoneNumber> = {}): Resource => ({
  type: 'phone_number',
  value: { phone_number, trunk_sid: 'trk_a', mode: 'pstn', ...over },
});
const trunk = (trunk_sid: string, over: Partial<Trunk> = {}): Resource => ({
  type: 'trunk',
  value: { trunk_sid, account_sid: 'acme', trunk_name: 'x', whitelisted_ips: [], destination_uris: [], ...over },
});
const upsert = (...upserts: Resource[]) => ok({ upserts, deletes: [] as ResourceKey[], result: undefined });
const remove = (type: Resource['type'], id: string) => ok({ upserts: [], deletes: [{ type, id }], result: undefined });

t.test('the directory lists by owner, in order, and follows patches', async (t) => {
  const rig = await controlRig(DOCUMENT);
  t.teardown(() => rig.close());
  const before = rig.control.directory();
  t.same(
    [...before.trunksOf('acme')].map((one) => one.trunk_sid),
    ['trk_b', 'trk_a'],
    'oldest first',
  );
  t.same(
    [...before.numbersOf('trk_a')].map((one) => one.phone_number),
    ['+918040000001', '+918040000002'],
  );
  t.match(before.number('+918040000001'), { friendly_name: 'desk', flow: 'flw', trunk_sid: 'trk_a' });
  t.same(before.number('+918040000002'), {
    phone_number: '+918040000002',
    trunk_sid: 'trk_a',
    mode: 'pstn',
    carrier: 'telco',
  });
  t.equal(before.number('8040000002'), undefined);
  t.same(
    [...before.carriersOf('acme')].map((one) => one.id),
    ['own'],
  );
  t.same(
    [...before.groupsOf('telco')].map((one) => one.name),
    ['all'],
  );
  t.equal(before.numbersThatName('carrier', 'telco'), 1);
  t.same(
    [...before.accounts('acme')].map((one) => one.sid),
    ['other'],
    'after a cursor',
  );
  t.same(
    [...before.numbersOf('trk_a', '+918040000001')].map((one) => one.phone_number),
    ['+918040000002'],
  );

  const moved = await rig.control.change(AUTHOR, () => upsert(number('+918040000002', { trunk_sid: 'trk_b' })));
  t.match(moved, { ok: true, value: { revision: '1' } });
  const after = rig.control.directory();
  t.equal(after.revision, '1');
  t.same(
    [...after.numbersOf('trk_b')].map((one) => one.phone_number),
    ['+918040000002'],
  );
  t.equal(after.countNumbersOf('trk_a'), 1);
  t.equal(after.numbersThatName('carrier', 'telco'), 0);
  t.equal(before.countNumbersOf('trk_a'), 2, 'a directory is a value');
  t.same(
    [...after.numbersOfAccount('acme')].map((one) => one.phone_number),
    ['+918040000002', '+918040000001'],
  );
  t.same(after.size, { accounts: 2, trunks: 3, numbers: 2, carriers: 2, flows: 2, networkGroups: 1 });
});

t.test('what refers to nothing, or is referred to, is refused', async (t) => {
  const rig = await controlRig(DOCUMENT);
  t.teardown(() => rig.close());
  const cases: [string, RegExp, ReturnType<typeof upsert> | ReturnType<typeof remove>][] = [
    ['reference_missing', /account 'none'/, upsert(trunk('trk_x', { account_sid: 'none' }))],
    ['reference_missing', /trunk 'none'/, upsert(number('+918040000009', { trunk_sid: 'none' }))],
    ['reference_missing', /flow 'none'/, upsert(number('+918040000009', { mode: 'flow', flow: 'none' }))],
    ['reference_missing', /carrier 'none'/, upsert(number('+918040000009', { carrier: 'none' }))],
    [
      'reference_missing',
      /carrier 'own', which does not/,
      upsert(number('+918040000009', { trunk_sid: 'trk_c', carrier: 'own' })),
    ],
    [
      'reference_missing',
      /flow 'mine', which does not/,
      upsert(number('+918040000009', { trunk_sid: 'trk_c', mode: 'flow', flow: 'mine' })),
    ],
    ['resource_in_use', /phone number \+918040000001/, remove('trunk', 'trk_a')],
    ['resource_in_use', /1 phone number/, remove('flow', 'flw')],
    ['resource_in_use', /1 phone number/, remove('carrier', 'telco')],
    ['resource_in_use', /trunk trk_c/, remove('account', 'other')],
    ['resource_in_use', /trunk trk_b/, remove('account', 'acme')],
  ];
  for (const [code, message, decided] of cases) {
    t.match(await rig.control.change(AUTHOR, () => decided), { ok: false, error: { kind: 'control', code, message } });
  }
  t.equal(rig.document.revision, '0', 'nothing was published');
  const all = await rig.control.change(AUTHOR, (directory) =>
    ok({ upserts: [], deletes: [...removalOfTrunk(directory, 'trk_a')], result: 'gone' }),
  );
  t.match(all, { ok: true, value: { result: 'gone' } });
  t.equal(rig.control.directory().number('+918040000001'), undefined);
  t.match(await rig.control.change(AUTHOR, () => remove('flow', 'flw')), { ok: true });
  t.match(await rig.control.change(AUTHOR, () => upsert(number('+918040000009', { trunk_sid: 'trk_b' }))), {
    ok: true,
  });
});

t.test('a refusal of the work is the answer, and nothing to change is no revision', async (t) => {
  const rig = await controlRig(DOCUMENT);
  t.teardown(() => rig.close());
  t.same(await rig.control.change(AUTHOR, () => err('no')), { ok: false, error: 'no' });
  const idle = await rig.control.change(AUTHOR, () => ok({ upserts: [], deletes: [], result: 7 }));
  t.same(idle, { ok: true, value: { revision: '0', result: 7 } });
  t.equal(rig.document.revision, '0');
});

t.test('two processes write at once: both succeed, unless they name a revision', async (t) => {
  const left = await controlRig(DOCUMENT);
  const right = await controlRig(left.document);
  t.teardown(() => Promise.all([left.close(), right.close()]));
  let runs = 0;
  const count = () => {
    runs++;
    return upsert(number(`+9180400001${10 + runs}`));
  };
  const many = await Promise.all(
    Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? left : right).control.change(AUTHOR, count)),
  );
  t.ok(many.every((one) => one.ok));
  t.equal(left.document.revision, '10');
  t.ok(runs >= 10, `${runs} runs`);
  const stale = await left.control.change(AUTHOR, count, { ifMatch: '9' });
  t.match(stale, { ok: false, error: { code: 'revision_conflict', revision: '10' } });
  const raced = await Promise.all([
    left.control.change(AUTHOR, () => upsert(number('+918040000201')), { ifMatch: '10' }),
    right.control.change(AUTHOR, () => upsert(number('+918040000202')), { ifMatch: '10' }),
  ]);
  t.same(raced.map((one) => one.ok).sort(), [false, true]);
});

t.test('changes wait for one another, but not without bound', async (t) => {
  const rig = await controlRig(DOCUMENT);
  t.teardown(() => rig.close());
  const nothing = () => ok({ upserts: [], deletes: [], result: undefined });
  const all = await Promise.all(Array.from({ length: 250 }, () => rig.control.change(AUTHOR, nothing)));
  t.equal(all.filter((one) => one.ok).length, 200);
  t.match(all.at(-1), { ok: false, error: { kind: 'control', code: 'store_busy' } });
  t.match(await rig.control.change(AUTHOR, nothing), { ok: true });
});

t.test('ids of entries without one come from what they are', async (t) => {
  const id = listedId({}, 'trk_a', 'whitelisted_ip', '203.0.113.7/32');
  t.match(id, /^[0-9]{1,15}$/);
  t.equal(id, listedId({}, 'trk_a', 'whitelisted_ip', '203.0.113.7/32'));
  t.not(id, listedId({}, 'trk_b', 'whitelisted_ip', '203.0.113.7/32'));
});

t.test('the directory is that of brute force after any series of changes', async (t) => {
  const holder = new DirectoryHolder();
  let state = 7;
  const draw = (bound: number): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % bound;
  const model = new Map<string, PhoneNumber>();
  const of = (key: number): string => `+9180${String(40_000_000 + key)}`;
  const value = (key: number): PhoneNumber => ({
    phone_number: of(key),
    trunk_sid: `trk_${draw(3)}`,
    mode: draw(2) === 0 ? 'pstn' : null,
    ...(draw(3) === 0 ? { carrier: `c${draw(2)}` } : {}),
    ...(draw(5) === 0 ? { friendly_name: `n${draw(9)}` } : {}),
  });
  const first = Array.from({ length: 3000 }, () => value(draw(4000)));
  for (const one of first) model.set(one.phone_number, one);
  const batches = [first.map((one): Resource => ({ type: 'phone_number', value: one }))];
  await holder.apply({ kind: 'full', revision: '0', batches });
  for (let round = 1; round <= 60; round++) {
    const before = holder.current;
    const was = before.size.numbers;
    const upserts = Array.from({ length: draw(60) }, () => value(draw(4000)));
    const gone = Array.from({ length: draw(60) }, () => of(draw(4000)));
    for (const id of gone) model.delete(id);
    for (const one of upserts) model.set(one.phone_number, one);
    await holder.apply({
      kind: 'patch',
      revision: String(round),
      base: String(round - 1),
      upserts: upserts.map((one) => ({ type: 'phone_number', value: one })),
      deletes: gone.map((id) => ({ type: 'phone_number', id })),
    });
    if (before.size.numbers !== was) t.fail('a directory changed');
  }
  const { current } = holder;
  t.equal(current.size.numbers, model.size);
  for (const trunkSid of ['trk_0', 'trk_1', 'trk_2']) {
    const expected = [...model.values()].filter((one) => one.trunk_sid === trunkSid);
    expected.sort((a, b) => (a.phone_number < b.phone_number ? -1 : 1));
    t.same([...current.numbersOf(trunkSid)], expected, trunkSid);
    t.equal(current.countNumbersOf(trunkSid), expected.length);
  }
  for (const carrier of ['c0', 'c1']) {
    const named = [...model.values()].filter((one) => one.carrier === carrier).length;
    t.equal(current.numbersThatName('carrier', carrier), named);
  }
});
