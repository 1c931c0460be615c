/** `tandem import rates`: price decks as carriers send them, made into network groups. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { countryNamed, countryOf, countryOfDigits } from '../../src/call/routing/countries.js';
import type { NetworkGroup } from '../../src/call/routing/resources.js';
import { importRates } from '../../src/cli/importRates.js';
import { loadConfig } from '../../src/config/index.js';
import { CsvReader, type Deck, DeckReader, deckChange } from '../../src/control/index.js';
import { adminRig } from '../support/adminRig.js';

const LISTEN = '127.0.69.2:35020';

const read = (text: string, currency?: string, size = text.length) => {
  const csv = new CsvReader();
  const deck = new DeckReader({ currency });
  for (let at = 0; at < text.length; at += size) for (const row of csv.push(text.slice(at, at + size))) deck.take(row);
  for (const row of csv.end()) deck.take(row);
  return deck.finish();
};

const deckOf = (text: string, currency?: string): Deck => {
  const deck = read(text, currency);
  if (!deck.ok) throw new Error(deck.error);
  return deck.value;
};

t.test('countries by calling code, shared codes and names included', async (t) => {
  const found = ['91', '9198', '1212', '1876', '1416', '7495', '7701', '44', '441624', '39', '3906698'].map(
    countryOfDigits,
  );
  t.strictSame(found, ['IN', 'IN', 'US', 'JM', 'CA', 'RU', 'KZ', 'GB', 'IM', 'IT', 'VA']);
  t.strictSame(['9', '', '999', '0'].map(countryOfDigits), [undefined, undefined, undefined, undefined]);
  t.strictSame(countryOf('IN'), { iso: 'IN', name: 'India', callingCode: '91', maxLength: 13 });
  t.equal(countryOf('XX'), undefined);
  t.strictSame(['in', 'India', 'united kingdom', 'UK', 'Nowhere'].map(countryNamed), [
    'IN',
    'IN',
    'GB',
    'GB',
    undefined,
  ]);
});

t.test('rows become groups of one country, name and rate', async (t) => {
  const deck = deckOf(
    'Dial Code,Destination,Price (USD),Increment,Setup Fee\n' +
      '91,India,0.0100,60/60,\n+91 98,India Mobile,0.0125,1/1,0.01\n0091 99,India Mobile,0.0125,1/1,0.01\n' +
      '44;4420,United Kingdom,0.002,,0\n447000-447002,UK personal,0.2,30,\n',
  );
  t.strictSame(deck.bad, []);
  t.strictSame(deck.groups, [
    {
      country_iso: 'GB',
      name: 'UK personal',
      rate: { outbound_price: '0.2', currency: 'USD', first_seconds: 30, next_seconds: 30 },
      prefixes: ['447000', '447001', '447002'],
    },
    {
      country_iso: 'GB',
      name: 'United Kingdom',
      rate: { outbound_price: '0.002', currency: 'USD' },
      prefixes: ['44', '4420'],
    },
    {
      country_iso: 'IN',
      name: 'India',
      rate: { outbound_price: '0.01', currency: 'USD', first_seconds: 60, next_seconds: 60 },
      prefixes: ['91'],
    },
    {
      country_iso: 'IN',
      name: 'India Mobile',
      rate: { outbound_price: '0.0125', setup_fee: '0.01', currency: 'USD', first_seconds: 1, next_seconds: 1 },
      prefixes: ['9198', '9199'],
    },
  ]);
  t.strictSame([deck.rows, deck.prefixes], [5, 8]);
});

t.test('delimiters, quotes, byte order marks, line ends', async (t) => {
  const plain = deckOf('prefix,name,price\n91,"A, ""B""\nC",1.5\n');
  t.equal(plain.groups[0]?.name, 'A, "B"\nC');
  for (const text of [
    '\ufeffprefix;name;price\r\n91;India;1,5\r\n',
    'prefix\tname\tprice\n91\tIndia\t1.5',
    '"prefix","name","price"\n"91","India","1.5"',
  ]) {
    t.match(deckOf(text).groups, [{ name: 'India', rate: { outbound_price: '1.5' } }], JSON.stringify(text));
  }
  t.match(deckOf('prefix,price\n44,1\n').groups, [{ name: 'United Kingdom' }], 'without names: the country');
  t.match(deckOf('Country,Country Code,Price\nIN,91,1\n', 'INR').groups, [{ country_iso: 'IN', prefixes: ['91'] }]);
  t.match(deckOf('Prefix,Country Code,Price\n91,GB,1\n').groups, [{ country_iso: 'GB', prefixes: ['91'] }]);
  t.match(deckOf('Country Code;Price\n91;1\n', 'INR').groups, [{ rate: { currency: 'INR' } }]);
  t.match(read('a,b\n1,2\n'), { ok: false, error: /names no column for prefix .* and price/ });
  t.match(read('prefix,prefix,price\n'), { ok: false, error: /twice/ });
  t.match(read(''), { ok: false, error: 'the file is empty' });
});

t.test('every bad row is told with its line, and the good ones go on', async (t) => {
  const rows = [
    'x91,A,1,,',
    ',A,1,,',
    '9.19E+11,A,1,,',
    '91,A,free,,',
    '91,A,1.1234567,,',
    '91,A,-1,,',
    '91,A,1,0/60,',
    '91,A,1,60/60/60,',
    '999,A,1,,',
    `91,${'n'.repeat(129)},1,,`,
    '91,A,1,,US Dollars',
    '91-9,A,1,,',
    '1234567890123456,A,1,,',
  ];
  const deck = deckOf(
    ['prefix,name,price,increment,currency', '44,Good,1,,', ...rows, '44,Other,2,,', '44,Good,1,,', '"45,x'].join('\n'),
  );
  t.strictSame(
    deck.bad.map((bad) => bad.line),
    [...rows.map((_, i) => i + 3), rows.length + 3, rows.length + 5],
  );
  t.match(deck.bad.at(-2)?.why, /names the prefix 44 again/);
  t.match(deck.bad.at(-1)?.why, /quote/);
  t.match(deck.warnings, [/1 prefixes stand twice/]);
  t.equal(deck.groups.length, 1);
  const warned = deckOf('prefix,price,effective date,remark\n91,1,2026-01-01,x\n');
  t.match(warned.warnings, [/"effective date" is left out/, /"remark" is not known/]);
  t.match(deckOf('prefix,price,minimum\n91,0.01,60\n').bad, [{ line: 2, why: /minimum seconds/ }]);
  t.match(deckOf('prefix,price,minimum\n91,0.01,0.02\n').groups, [{ rate: { minimum_charge: '0.02' } }]);
  t.match(deckOf('prefix,price,min seconds\n91,0.01,30\n').groups, [{ rate: { first_seconds: 30 } }]);
  t.match(deckOf('prefix,price (USD)\n91,1\n', 'INR').bad, [{ why: /in USD, not in INR/ }]);
});

t.test('one name at several rates: most prefixes keep it, the others say what they cost', async (t) => {
  const deck = deckOf('prefix,name,price\n911,India,1\n912,India,1\n913,India,2\n914,India,0.5\n');
  t.strictSame(
    deck.groups.map(({ name, prefixes }) => [name, ...prefixes]),
    [
      ['India', '911', '912'],
      ['India (0.5)', '914'],
      ['India (2)', '913'],
    ],
  );
});

t.test('what a deck changes', async (t) => {
  const group = (name: string, price: string, prefixes: string[], more: object = {}): NetworkGroup => ({
    carrier: 'telco',
    country_iso: 'IN',
    name,
    prefixes,
    enabled: true,
    outbound_price: price,
    ...more,
  });
  const current = [
    group('Same', '0.010', ['912', '911']),
    group('Dearer', '1', ['92'], { enabled: false, inbound_price: '3', date_created: 'then' }),
    group('Gone', '5', ['93']),
  ];
  const deck = deckOf('prefix,name,price,country\n911,Same,0.01,IN\n912,Same,0.01,IN\n92,Dearer,2,IN\n95,New,1,IN\n');
  const change = deckChange('telco', deck.groups, current, 'now');
  t.strictSame(change.groups, { added: 1, removed: 1, changed: 1, same: 1 });
  t.strictSame(change.prefixes, { added: 1, removed: 1, changed: 1, same: 2, dearer: 1, cheaper: 0 });
  t.strictSame(change.deletes, [{ type: 'network_group', id: 'telco/IN/Gone' }]);
  t.strictSame(
    change.upserts.map(({ value }) => value),
    [
      group('Dearer', '2', ['92'], { enabled: false, inbound_price: '3', date_created: 'then', date_updated: 'now' }),
      group('New', '1', ['95'], { date_created: 'now', date_updated: 'now' }),
    ],
  );
  t.match(change.prices, [
    { group: 'IN/Dearer', before: '1', after: '2', prefixes: 1 },
    { group: 'IN/New', before: undefined, after: '1' },
    { group: 'IN/Gone', before: '5', after: undefined },
  ]);
});

t.test('text of any kind is read the same in pieces of any size, and makes no exception', async (t) => {
  const piece = fc.constantFrom(
    '91',
    '"',
    '""',
    ',',
    ';',
    '\n',
    '\r\n',
    'prefix',
    'price',
    '1.5',
    ' ',
    'é',
    '-',
    '\t',
    '\ufeff',
    '\u0000',
  );
  const text = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 7 }), (body, size) => {
      const whole = `prefix,name,price\n${body}`;
      return isDeepStrictEqual(read(whole, undefined, size), read(whole));
    }),
    { numRuns: 300 },
  );
  t.pass('300 texts');
});

const capture = async (t: Test, run: () => Promise<number>) => {
  const [out, told] = [process.stdout, process.stderr].map((stream) => t.capture(stream, 'write', () => true));
  const textOf = (calls: typeof out) =>
    calls?.()
      .map((call) => String(call.args[0]))
      .join('') ?? '';
  try {
    const code = await run();
    return { code, out: textOf(out), told: textOf(told) };
  } finally {
    out?.restore();
    told?.restore();
  }
};

const folderOf = async (t: { teardown: (f: () => unknown) => void }): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-rates-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

t.test('into the store of the configuration: one revision, or none', async (t) => {
  const folder = await folderOf(t);
  const routing = join(folder, 'routing.yaml');
  const deck = join(folder, 'deck.csv');
  await writeFile(routing, 'carriers: [{ id: telco, gateways: [] }]\n');
  const config = loadConfig({ env: {}, flags: ['--store.kind', 'file', '--store.path', routing] });
  const run = (...argv: string[]) => capture(t, () => importRates(config, ['rates', deck, ...argv]));
  const groups = async () => (parse(await readFile(routing, 'utf8')) as { network_groups?: unknown[] }).network_groups;
  await writeFile(deck, 'prefix,name,price\n91,India,1\nx,India,1\n44,UK,2\n');
  const refused = await run('--carrier', 'telco');
  t.equal(refused.code, 1);
  t.match(refused.told, /deck\.csv:3: the row has a prefix .*\nnothing is published/s);
  t.equal(await groups(), undefined);
  const dry = await run('--carrier', 'telco', '--skip-bad', '--dry-run', '--currency', 'INR');
  t.match(dry, { code: 1, out: /prefixes: 2 added, .*dry run: revision .* stays/s });
  t.equal(await groups(), undefined);
  await writeFile(deck, 'prefix,name,price\n91,India,1\n44,UK,2\n');
  t.match(await run('--carrier', 'telco', '--currency', 'INR'), {
    code: 0,
    out: /IN\/India: new -> 1 INR .*revision 1-/s,
  });
  t.match(await groups(), [
    { name: 'UK', prefixes: ['44'] },
    { name: 'India', outbound_price: '1', currency: 'INR' },
  ]);
  const again = await run('--carrier', 'telco', '--currency', 'INR', '--json');
  t.match(JSON.parse(again.out), { published: false, groups: { same: 2 }, bad: [] });
  await t.rejects(run('--carrier', 'nobody'), { code: 'unknown_carrier' });
  await t.rejects(run(), { code: 'bad_arguments', message: /--carrier is missing/ });
  await t.rejects(run('--carrier', 'telco', '--currency', 'rupees'), { code: 'bad_arguments' });
  await t.rejects(run('more', '--carrier', 'telco'), { code: 'bad_arguments' });
  const lost = capture(t, () => importRates(config, ['rates', join(folder, 'none.csv'), '--carrier', 'telco']));
  await t.rejects(lost, { code: 'unreadable_deck' });
});

t.test('into a running node, group by group of its own answer', async (t) => {
  const rig = await adminRig(
    {
      accounts: [{ sid: 'ops', api_keys: [{ key: 'o', token: 'to' }] }],
      carriers: [{ id: 'telco' }, { id: 'telco2' }],
      network_groups: [{ carrier: 'telco2', country_iso: 'IN', name: 'theirs', prefixes: ['91'] }],
    },
    LISTEN,
  );
  t.teardown(() => rig.close());
  await rig.admin.listen();
  const deck = join(await folderOf(t), 'deck.csv');
  const config = loadConfig({ env: {}, flags: ['--admin.listen', LISTEN] });
  const run = (...argv: string[]) =>
    capture(t, () =>
      importRates(config, ['rates', deck, '--carrier', 'telco', '--key', 'o', '--token', 'to', ...argv]),
    );
  const lines = Array.from({ length: 450 }, (_, i) => `91${1000 + i},Zone ${i},0.${i + 1}`);
  await writeFile(deck, ['prefix,name,price', ...lines].join('\n'));
  t.match(await run(), { code: 0, out: /groups: 450 added.*revision 1\n$/s });
  t.equal([...rig.control.directory().groupsOf('telco')].length, 450);
  await writeFile(deck, ['prefix,name,price', ...lines.slice(1), '44,UK,1'].join('\n'));
  t.match(await run(), { code: 0, out: /groups: 1 added, 1 removed, 0 changed, 449 as they were.*revision 2\n$/s });
  t.match(rig.control.directory().group('telco2/IN/theirs'), { prefixes: ['91'] });
  const page = (await rig.ask('GET', '/api/revisions?limit=1', { as: 'o:to' })).body as { revisions: object[] };
  t.match(page.revisions, [{ author: 'cli:ops/o', changes: 2, note: 'rates of telco from deck.csv: 450 prefixes' }]);
  await t.rejects(run('--token', 'wrong'), { code: 'node_refused' });
  await t.rejects(run('--carrier', 'none'), { code: 'node_refused', message: /there is no carrier none/ });
});
