import t from 'tap';
import { TandemError } from '../../src/kernel/index.js';
import { TableBuilder, TableHolder, applyPatch } from '../../src/call/routing/compile.js';
import { DigitTrie } from '../../src/call/routing/digitTrie.js';
import { parseEndpoint } from '../../src/call/routing/endpoint.js';
import { formatNetwork, newAddressWords, parseAddress, parseNetwork } from '../../src/call/routing/ipAddress.js';
import { lintDocument } from '../../src/call/routing/lint.js';
import { normaliseNumber } from '../../src/call/routing/numbers.js';
import { orderTargets } from '../../src/call/routing/order.js';
import type { Resource, RoutingUpdate } from '../../src/call/routing/resources.js';
import {
  assemble,
  flatten,
  resourceKey,
  validateDocument,
  validateResource,
  validateShape,
} from '../../src/call/routing/schema.js';
import { NumberKeyMap } from '../../src/call/routing/shardedMap.js';
import { type RoutingTable } from '../../src/call/routing/table.js';

const raw = () => ({
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', source_acl: [{ ip: '192.0.2.0', mask: 24 }], gateways: [{ uri: 'sip:192.0.2.1:5060' }] }],
  trunks: [
    {
      trunk_sid: 'trk_a',
      account_sid: 'demo',
      trunk_name: 'a',
      whitelisted_ips: [{ ip: '10.0.0.1' }],
      destination_uris: [{ destination: '10.0.0.1:5060;transport=udp' }],
      phone_numbers: [{ phone_number: '+918040000001', mode: 'pstn', carrier: 'telco' }],
    },
  ],
});

type Raw = ReturnType<typeof raw>;

const problemsOf = (change: (document: Raw & { [key: string]: unknown }) => void): string[] => {
  const document = raw() as Raw & { [key: string]: unknown };
  change(document);
  const result = validateDocument(document);
  return result.ok ? [] : result.error.map((problem) => problem.message);
};

const documentOf = (data: unknown) => {
  const result = validateDocument(data);
  if (!result.ok) throw new Error(result.error.map((problem) => problem.message).join('; '));
  return result.value;
};

const full = (resources: readonly Resource[], revision = 'r1'): Extract<RoutingUpdate, { kind: 'full' }> => ({
  kind: 'full',
  revision,
  batches: [resources],
});

const compile = (data: unknown): Promise<RoutingTable> => new TableBuilder().compile(full(flatten(documentOf(data))));

t.test('a small document passes and gets its defaults', async (t) => {
  const document = documentOf(raw());
  t.equal(document.trunks[0]?.status, 'active');
  t.match(document.trunks[0]?.destination_uris[0], { priority: 0, weight: 1 });
  t.same(document.flows, []);
  t.equal(document.carriers[0]?.kind, 'byo');
  t.equal(documentOf({}).trunks.length, 0);
});

t.test('problems name the place and the rule', async (t) => {
  const acl = (ip: unknown, mask?: unknown) => (d: Raw) =>
    d.trunks[0]?.whitelisted_ips.push({ ip, ...(mask === undefined ? {} : { mask }) } as never);
  const cases: [string, Parameters<typeof problemsOf>[0], string | RegExp][] = [
    ['mask above the schema', acl('::1', 129), 'trunks[0].whitelisted_ips[1].mask must be <= 128'],
    ['mask above the family', acl('10.0.0.2', 33), 'trunks[0].whitelisted_ips[1].mask must be <= 32'],
    [
      'an address with a slash',
      acl('10.0.0.0/8'),
      /whitelisted_ips\[1\]\.ip must be an IPv4 or IPv6 address \(put the prefix/,
    ],
    ['octal', acl('010.0.0.1'), /ip must be an IPv4/],
    [
      'unknown key',
      (d) => Object.assign(d.trunks[0] as object, { whitelisted_ip: [] }),
      "trunks[0] has an unknown key 'whitelisted_ip' (did you mean 'whitelisted_ips'?)",
    ],
    [
      'far unknown key',
      (d) => (d['zzzzzzzzzz'] = 1),
      /the document has an unknown key 'zzzzzzzzzz' \(valid keys: accounts/,
    ],
    [
      'a codec that no engine speaks',
      (d) => Object.assign(d.trunks[0] as object, { media: { codecs: ['PCMA', 'opus'] } }),
      /^trunks\[0\]\.media\.codecs\[1\] names opus, which no media engine here speaks: name PCMU, PCMA or L16/,
    ],
    [
      'a packet time',
      (d) => Object.assign(d.trunks[0] as object, { media: { ptime_ms: 25 } }),
      /^trunks\[0\]\.media\.ptime_ms must be multiple of 10/,
    ],
    ['missing key', (d) => delete (d.trunks[0] as { trunk_sid?: string }).trunk_sid, 'trunks[0] must have trunk_sid'],
    [
      'number unquoted',
      (d) => (d.trunks[0]!.phone_numbers[0]!.phone_number = 918040000001 as never),
      'trunks[0].phone_numbers[0].phone_number must be a string (write it in quotes)',
    ],
    [
      'bad mode',
      (d) => (d.trunks[0]!.phone_numbers[0]!.mode = 'x' as never),
      'trunks[0].phone_numbers[0].mode must be one of pstn, flow, null',
    ],
    [
      'not E.164',
      (d) => (d.trunks[0]!.phone_numbers[0]!.phone_number = '0091 8040000001'),
      /must be E\.164.*did you mean '\+918040000001'/,
    ],
    [
      'number twice',
      (d) => d.trunks[0]!.phone_numbers.push(d.trunks[0]!.phone_numbers[0]!),
      /is the same number as trunks\[0\]\.phone_numbers\[0\]/,
    ],
    [
      'number in two formats',
      (d) => d.trunks[0]!.phone_numbers.push({ phone_number: '00918040000001', mode: 'pstn', carrier: 'telco' }),
      /is the same number as trunks\[0\]\.phone_numbers\[0\]/,
    ],
    [
      'trunk twice',
      (d) => d.trunks.push({ ...d.trunks[0]!, phone_numbers: [] }),
      "trunks[1] has the same trunk_sid as trunks[0]: 'trk_a'",
    ],
    [
      'unknown carrier',
      (d) => (d.trunks[0]!.phone_numbers[0]!.carrier = 'x'),
      "trunks[0].phone_numbers[0].carrier names the carrier 'x', which is not in carriers",
    ],
    [
      'group of nobody',
      (d) => (d['network_groups'] = [{ carrier: 'x', country_iso: 'IN', name: 'n', prefixes: ['91'], enabled: true }]),
      /network_groups\[0\]\.carrier names the carrier/,
    ],
    [
      'user in a destination',
      (d) => (d.trunks[0]!.destination_uris[0]!.destination = 'sip:a@b'),
      'trunks[0].destination_uris[0].destination must not have a user part',
    ],
    ['port', (d) => (d.carriers[0]!.gateways[0]!.uri = 'sip:h:70000'), /gateways\[0\]\.uri has a port/],
    ['flow mode without flow', (d) => (d.trunks[0]!.phone_numbers[0]!.mode = 'flow'), /mode flow but names no flow/],
    [
      'failover action',
      (d) => Object.assign(d.trunks[0] as object, { failover: { 503: 'again' } }),
      /trunks\[0\]\.failover\[503\] must be one of next, stop, \{rewrite\}/,
    ],
  ];
  for (const [name, change, expected] of cases) t.match(problemsOf(change).join('\n'), expected, name);
  for (const data of [null, 1, 'x', [], undefined]) t.notOk(validateDocument(data).ok);
});

t.test('single resources are checked by themselves', async (t) => {
  t.ok(validateResource({ type: 'phone_number', value: { phone_number: '+123', trunk_sid: 'x' } }).ok);
  const bad = validateResource({ type: 'phone_number', value: { phone_number: '123', trunk_sid: 'x' } });
  t.match(bad, { ok: false, error: [{ path: 'phone_number' }] });
  t.match(validateResource({ type: 'constructor', value: {} }), { ok: false, error: [{ path: 'type' }] });
  t.match(validateResource({ type: 'trunk', value: { trunk_sid: 'a' } }), { ok: false });
});

t.test('assemble undoes flatten', async (t) => {
  const document = documentOf(raw());
  t.same(assemble(flatten(document)), document);
  t.same(flatten(document).map(resourceKey), [
    { type: 'account', id: 'demo' },
    { type: 'carrier', id: 'telco' },
    { type: 'trunk', id: 'trk_a' },
    { type: 'phone_number', id: '+918040000001' },
  ]);
  t.throws(
    () => assemble([{ type: 'phone_number', value: { phone_number: '+1234', trunk_sid: 'gone', mode: null } }]),
    {
      code: 'trunk_not_found',
    },
  );
});

t.test('addresses are read strictly', async (t) => {
  const read = (text: string) => {
    const words = newAddressWords();
    return parseAddress(text, words)
      ? `${words.family}:${[...words.words].map((w) => w.toString(16)).join('.')}`
      : 'no';
  };
  t.equal(read('192.0.2.1'), '4:0.0.0.c0000201');
  t.equal(read('::ffff:192.0.2.1'), '4:0.0.ffff.c0000201');
  t.equal(read('::FFFF:c000:0201'), '4:0.0.ffff.c0000201');
  t.equal(read('2001:db8::1'), '6:20010db8.0.0.1'.replace('20010db8', '20010db8'));
  t.equal(read('fe80::1%eth0'), '6:fe800000.0.0.1');
  t.equal(read('::'), '6:0.0.0.0');
  t.equal(read('1:2:3:4:5:6:7:8'), '6:10002.30004.50006.70008');
  t.equal(read('1:2:3:4:5:6:7::'), '6:10002.30004.50006.70000');
  t.equal(read('64:ff9b::192.0.2.33'), '6:64ff9b.0.0.c0000221');
  for (const bad of [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4 ',
    '0x7f.0.0.1',
    ':::',
    ':',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7',
    '12345::',
    'g::',
    '1:',
    ':1',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1.2.3.4::',
    '[::1]',
  ]) {
    t.equal(read(bad), 'no', `'${bad}'`);
  }
  const shown = (ip: string, mask?: number) => formatNetwork(parseNetwork(ip, mask) as never);
  t.equal(shown('10.1.2.3', 8), '10.0.0.0/8');
  t.equal(shown('::ffff:10.1.2.3', 104), '10.0.0.0/8');
  t.equal(shown('2001:DB8:0:1:0:0:0:1'), '2001:db8:0:1::1/128');
  t.equal(shown('2001:db8::1', 32), '2001:db8::/32');
  t.equal(parseNetwork('::ffff:10.1.2.3', 95), undefined);
});

t.test('numbers come to E.164 or are refused with a reason', async (t) => {
  const india = { countryCode: '91', nationalPrefix: '0' };
  const local = { countryCode: '91', nationalPrefix: '' };
  const good: [string, string, object?][] = [
    ['+918040000001', '+918040000001'],
    ['00918040000001', '+918040000001'],
    ['918040000001', '+918040000001'],
    ['08040000001', '+918040000001', india],
    ['918040000001', '+918040000001', india],
    ['8040000001', '+918040000001', local],
    ['+1 (415) 555-01.00', '+14155550100'],
    ['tel:+91-80-4000-0001;ext=2', '+918040000001'],
    ['TEL:4000;phone-context=+91-80', '+91804000'],
    ['112', '+112'],
  ];
  for (const [text, expected, format] of good)
    t.same(normaliseNumber(text, format), { ok: true, value: expected }, text);
  const bad: [string, string][] = [
    ['', 'empty'],
    ['+', 'empty'],
    ['tel:', 'empty'],
    ['12', 'too_few_digits'],
    ['+1234567890123456', 'too_many_digits'],
    ['08040000001', 'leading_zero'],
    ['+0123', 'leading_zero'],
    ['alice', 'invalid_character'],
    ['+91+80', 'invalid_character'],
    ['*21#', 'invalid_character'],
    ['1234\r\nX: y', 'invalid_character'],
    ['4000;phone-context=example.com', 'local_number'],
    ['1'.repeat(65), 'too_long'],
  ];
  for (const [text, problem] of bad) t.same(normaliseNumber(text), { ok: false, error: problem }, JSON.stringify(text));
});

t.test('targets are read strictly and shown in one form', async (t) => {
  const text = (input: string) => {
    const endpoint = parseEndpoint(input);
    return endpoint.ok ? endpoint.value.text : `no: ${endpoint.error}`;
  };
  t.equal(text('pbx.example.com'), 'pbx.example.com');
  t.equal(text('SIP:PBX.example.com:5070;transport=TCP'), 'pbx.example.com:5070;transport=tcp');
  t.equal(text('[2001:DB8::0:1]:5060'), '[2001:db8::1]:5060');
  t.equal(text('127.0.0.1:5060;transport=udp'), '127.0.0.1:5060;transport=udp');
  for (const bad of [
    '',
    'a b',
    'sip:',
    'h:0',
    'h:99999',
    'h:',
    '::1',
    '[::1',
    '[1.2.3.4]',
    '2130706433',
    '0x7f.1',
    '010.0.0.1',
    '127.1',
    'h;lr',
    'h;transport=sctp',
    'h;transport=udp;lr',
    'u@h',
    'h\r\nX: y',
    '-a.example',
    'h?x=y',
  ]) {
    t.match(text(bad), /^no: /, JSON.stringify(bad));
  }
});

t.test('a longer prefix wins over a shorter one, and the rule is named', async (t) => {
  const data = raw();
  data.trunks.push({
    ...data.trunks[0]!,
    trunk_sid: 'trk_b',
    phone_numbers: [],
    whitelisted_ips: [{ ip: '10.0.0.0', mask: 8 } as never, { ip: '2001:db8::', mask: 32 } as never],
  });
  data.trunks.push({
    ...data.trunks[0]!,
    trunk_sid: 'trk_c',
    phone_numbers: [],
    whitelisted_ips: [{ ip: '10.9.9.9', mask: 8 } as never],
  });
  const table = await compile(data);
  t.match(table.matchSource('10.0.0.1'), { cidr: '10.0.0.1/32', owners: [{ kind: 'trunk', id: 'trk_a' }] });
  const outer = table.matchSource('10.0.0.2');
  t.equal(outer?.cidr, '10.0.0.0/8');
  t.same(
    outer?.owners.map((owner) => owner.id),
    ['trk_b', 'trk_c'],
  );
  t.equal(table.matchSource('::ffff:10.0.0.1')?.cidr, '10.0.0.1/32', 'IPv4-mapped IPv6 is IPv4');
  t.equal(table.matchSource('2001:db8:1::9')?.cidr, '2001:db8::/32');
  t.equal(table.matchSource('11.0.0.1'), undefined);
  t.equal(table.matchSource('not an address'), undefined);
});

t.test('a patch makes a new table and leaves the old one as it was', async (t) => {
  const old = await compile(raw());
  const trunk = flatten(documentOf(raw())).find((resource) => resource.type === 'trunk');
  if (trunk?.type !== 'trunk') throw new Error('no trunk');
  const next = applyPatch(old, {
    kind: 'patch',
    revision: 'r2',
    base: 'r1',
    deletes: [
      { type: 'phone_number', id: '+918040000001' },
      { type: 'account', id: 'demo' },
      { type: 'trunk', id: 'never was' },
    ],
    upserts: [
      { type: 'trunk', value: { ...trunk.value, whitelisted_ips: [{ ip: '10.0.0.9' }], status: 'inactive' } },
      { type: 'phone_number', value: { phone_number: '+918040000002', trunk_sid: 'trk_a', mode: 'flow', flow: 'f' } },
      {
        type: 'network_group',
        value: { carrier: 'telco', country_iso: 'US', name: 'us', prefixes: ['1'], enabled: true },
      },
      {
        type: 'network_group',
        value: { carrier: 'telco', country_iso: 'US', name: 'us', prefixes: ['1', '1900'], enabled: false },
      },
    ],
  });
  t.equal(old.revision, 'r1');
  t.ok(old.number('+918040000001'));
  t.ok(old.matchSource('10.0.0.1'));
  t.equal(old.trunk('trk_a')?.trunk.status, 'active');
  t.equal(old.hasNetworkGroups('telco'), false);
  t.equal(next.revision, 'r2');
  t.equal(next.number('+918040000001'), undefined);
  t.match(next.number('+918040000002'), { mode: 'flow', flow: 'f' });
  t.equal(next.matchSource('10.0.0.1'), undefined);
  t.ok(next.matchSource('10.0.0.9'));
  t.match(next.networkGroups('telco', '+19005551234'), { prefix: '1900', value: [{ group: { enabled: false } }] });
  t.same(next.size(), { numbers: 1, trunks: 1, carriers: 1, accounts: 0, flows: 0, networkGroups: 1, aclNetworks: 2 });
  const emptied = applyPatch(next, {
    kind: 'patch',
    revision: 'r3',
    base: 'r2',
    deletes: [
      { type: 'network_group', id: 'telco/US/us' },
      { type: 'trunk', id: 'trk_a' },
      { type: 'carrier', id: 'telco' },
    ],
    upserts: [],
  });
  t.equal(emptied.size().aclNetworks, 0);
  t.equal(emptied.matchSource('192.0.2.1'), undefined);
  t.equal(emptied.networkGroups('telco', '+1900'), undefined);
});

t.test('the holder keeps the good table when an update is bad, and serves updates in turn', async (t) => {
  let pauses = 0;
  const holder = new TableHolder({
    pause: async () => {
      pauses++;
      await Promise.resolve();
    },
  });
  t.equal(holder.current.loaded, false);
  const numbers = Array.from({ length: 9000 }, (_, i): Resource => ({
    type: 'phone_number',
    value: { phone_number: `+9180${String(i).padStart(8, '0')}`, trunk_sid: 'trk_a', mode: null },
  }));
  const swaps: string[] = [];
  holder.swapped.subscribe(({ previous, revision }) => swaps.push(`${previous}>${revision}`));
  const first = holder.apply(full([...flatten(documentOf(raw())), ...numbers]));
  const patch = { kind: 'patch', revision: 'r2', base: 'r1', deletes: [], upserts: [numbers[0] as Resource] } as const;
  await Promise.all([first, holder.apply(patch)]);
  t.ok(pauses > 3, 'it gives the thread away in between');
  t.same(swaps, ['none>r1', 'r1>r2']);
  t.equal(holder.current.size().numbers, 9001);
  await t.rejects(holder.apply({ ...patch, base: 'r1', revision: 'r9' }), {
    code: 'routing_base_mismatch',
    retryable: true,
  });
  const bad: Resource = {
    type: 'carrier',
    value: { id: 'x', kind: 'byo', source_acl: [{ ip: 'nonsense' }], gateways: [] },
  };
  await t.rejects(holder.apply(full([bad], 'r3')), { code: 'routing_update_invalid' });
  await t.rejects(
    holder.apply({ kind: 'patch', revision: 'r3', base: 'r2', deletes: [], upserts: [bad] }),
    TandemError,
  );
  const torn = (async function* (): AsyncGenerator<readonly Resource[]> {
    yield numbers.slice(0, 10);
    throw new Error('connection lost');
  })();
  await t.rejects(holder.apply({ kind: 'full', revision: 'r4', batches: torn }), { message: 'connection lost' });
  t.equal(holder.current.revision, 'r2');
  await holder.apply(full([], 'r5'));
  t.same([holder.current.revision, holder.current.size().numbers, holder.current.loaded], ['r5', 0, true]);
});

t.test('equal priorities are drawn by weight, weight 0 last', async (t) => {
  const targets = [
    { text: 'a', priority: 0, weight: 3 },
    { text: 'zero', priority: 0, weight: 0 },
    { text: 'b', priority: 0, weight: 1 },
    { text: 'c', priority: 5, weight: 1 },
  ];
  const order = (random: number) =>
    orderTargets(targets, () => random)
      .map((target) => target.text)
      .join(' ');
  t.equal(order(0), 'a b zero c');
  t.equal(order(0.74), 'a b zero c');
  t.equal(order(0.76), 'b a zero c');
  let first = 0;
  for (let i = 0; i < 1000; i++) if (orderTargets(targets, () => i / 1000)[0]?.text === 'a') first++;
  t.equal(first, 750);
});

t.test('frozen maps refuse writes, and long probe runs survive deletes', async (t) => {
  const map = new NumberKeyMap<number>();
  for (let i = 1; i <= 20_000; i++) map.set(i * 4096, i);
  for (let i = 1; i <= 20_000; i += 2) t.ok(map.delete(i * 4096) || t.fail(`key ${i}`));
  let wrong = 0;
  for (let i = 1; i <= 20_000; i++) if (map.get(i * 4096) !== (i % 2 === 1 ? undefined : i)) wrong++;
  t.equal(wrong, 0);
  t.equal(map.size, 10_000);
  t.throws(() => map.freeze().set(1, 1), TypeError);
  t.throws(() => new DigitTrie<number>().freeze().set('1', 1), TypeError);
});

t.test('lint finds what stands between the objects', async (t) => {
  const data = {
    accounts: [{ sid: 'demo' }, { sid: 'idle' }],
    carriers: [
      { id: 'quiet', gateways: [{ uri: 'sip:h' }] },
      { id: 'telco', source_acl: [{ ip: '10.0.0.1' }] },
    ],
    trunks: [
      {
        trunk_sid: 'a',
        account_sid: 'demo',
        trunk_name: 'a',
        status: 'inactive',
        whitelisted_ips: [{ ip: '10.0.0.0', mask: 24 }],
        destination_uris: [
          { destination: '10.1.0.1' },
          { destination: '10.0.0.9:5060' },
          { destination: 'pbx.example.com' },
        ],
        settings: { trunk_external_alias: '+999999' },
        phone_numbers: [
          { phone_number: '+918040000001', carrier: 'telco' },
          { phone_number: '00918040000001', carrier: 'telco' },
          { phone_number: '+918040000002', carrier: 'nobody' },
          { phone_number: '+918040000003', mode: 'flow', flow: 'missing', carrier: 'telco' },
          { phone_number: '+918040000004' },
        ],
      },
      { trunk_sid: 'b', account_sid: 'ghost', trunk_name: 'b', whitelisted_ips: [{ ip: '10.0.0.77' }] },
      {
        trunk_sid: 'c',
        account_sid: 'demo',
        trunk_name: 'c',
        whitelisted_ips: [{ ip: '10.0.0.0', mask: 24 }],
        phone_numbers: [{ phone_number: '+1234', carrier: 'telco' }],
      },
    ],
    network_groups: [
      { carrier: 'telco', country_iso: 'IN', name: 'x', prefixes: ['91'] },
      { carrier: 'telco', country_iso: 'IN', name: 'y', prefixes: ['91'] },
      { carrier: 'gone', country_iso: 'IN', name: 'z', prefixes: ['92'] },
    ],
  };
  const shape = validateShape(data);
  if (!shape.ok) throw new Error(JSON.stringify(shape.error));
  const findings = lintDocument(shape.value);
  const at = (code: string) => findings.filter((finding) => finding.code === code).map((finding) => finding.path);
  t.same(at('account_without_trunk'), ['accounts[1]']);
  t.same(at('unknown_account'), ['trunks[1].account_sid']);
  t.same(at('carrier_without_acl'), ['carriers[0]']);
  t.same(at('carrier_without_gateway'), ['carriers[1]']);
  t.same(at('trunk_without_destination'), ['trunks[1]', 'trunks[2]']);
  t.same(at('trunk_without_number'), ['trunks[1]']);
  t.same(at('inactive_trunk_with_numbers'), ['trunks[0]']);
  t.same(at('destination_not_whitelisted'), ['trunks[0].destination_uris[0]']);
  t.same(at('alias_not_mapped'), ['trunks[0].settings.trunk_external_alias']);
  t.same(at('duplicate_number'), ['trunks[0].phone_numbers[1]']);
  t.same(at('unknown_flow'), ['trunks[0].phone_numbers[3]']);
  t.same(at('number_without_carrier'), ['trunks[0].phone_numbers[4]']);
  t.same(at('unknown_carrier').sort(), ['network_groups[2]', 'trunks[0].phone_numbers[2]']);
  t.same(at('prefix_in_two_groups'), ['network_groups[1]']);
  t.same(at('acl_overlap').sort(), ['trunks[1].whitelisted_ips[0]', 'trunks[2].whitelisted_ips[0]']);
  t.same(at('acl_carrier_and_trunk'), ['carriers[1].source_acl[0]']);
  t.ok(findings.every((finding) => finding.message !== '' && finding.remedy !== ''));
  t.match(findings.find((finding) => finding.code === 'duplicate_number')?.message, /in two formats/);
});

t.test('lint of 100,000 networks is quick', async (t) => {
  const ranges = (n: number) => Array.from({ length: 100 }, (_, i) => ({ ip: `10.${n >> 8}.${n & 255}.${i}` }));
  const trunks = Array.from({ length: 1000 }, (_, n) => ({
    ...raw().trunks[0],
    trunk_sid: `t${n}`,
    phone_numbers: [],
    whitelisted_ips: ranges(n),
  }));
  const shape = validateShape({ trunks });
  if (!shape.ok) throw new Error('shape');
  const before = process.cpuUsage().user;
  lintDocument(shape.value);
  t.ok(process.cpuUsage(undefined).user - before < 5_000_000);
});
