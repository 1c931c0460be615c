/** The way of a newcomer: start, call, explain, lint, dump - the commands themselves, as processes. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { spawnBound } from '../support/endpoints.js';
import { MAIN, TandemNode } from '../support/tandemNode.js';

/** Of the compiled test: build/test/interop. */
const packageFile = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const readYaml = (path: string): unknown => parse(readFileSync(packageFile(path), 'utf8'));

/** The demonstration, with every address moved aside: other tests, and people, may run the real one. */
const NODE = '127.0.20.40';
const CARRIER = '127.0.20.50';
const PBX = '127.0.20.60';
const moved = (routing: unknown): object =>
  JSON.parse(
    JSON.stringify(routing)
      .replaceAll('127.0.20.10:5060', `${CARRIER}:18000`)
      .replaceAll('127.0.20.20:5060', `${PBX}:18000`)
      .replaceAll('127.0.20.10', CARRIER)
      .replaceAll('127.0.20.20', PBX),
  ) as object;

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** One command to its end. */
const tandem = async (...args: readonly string[]): Promise<Ran> => {
  const child = spawnBound(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const limit = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(limit);
  return { code, out, err };
};

const node = await TandemNode.start({ address: NODE, routing: moved(readYaml('config/demo.routing.yaml')) });
t.teardown(() => node.stop());
const configured = ['--config', node.configFile];
const DID = '+918040000001';
const CALLER = '+919812345678';

const place = (more: readonly string[]): Promise<Ran> =>
  tandem('call', ...configured, '--from', CARRIER, '--caller', CALLER, ...more);

void t.test('the demonstration is what the tests move aside', async (t) => {
  const config = readYaml('config/demo.yaml') as {
    sip: { listen: string[] };
    store: object;
    admin: { listen: string };
  };
  t.strictSame(config.sip.listen, ['udp://127.0.0.1:5060', 'tcp://127.0.0.1:5060']);
  t.strictSame(config.store, { kind: 'file', path: './demo.routing.yaml' });
  t.strictSame(config.admin, { listen: '127.0.0.1:8080' });
});

void t.test('call: ladder of both legs, decision, record', async (t) => {
  const { code, out, err } = await place(['--to', DID, '--answer', `${PBX}:18000`, '--talk', '0.1']);
  t.strictSame([code, err], [0, '']);
  t.match(out, /caller 127\.0\.20\.50 +tandem 127\.0\.20\.40:18000 +callee 127\.0\.20\.60:18000/, 'three lanes');
  const steps = ['INVITE +918040000001', '100 Trying', '180 Ringing', '200 OK', 'ACK', 'BYE', '200 OK'];
  const left = out.split('\n').flatMap((line) => /^ *[\d.]+ ms {2}\|[ <] ?([^-|]+?) -/.exec(line)?.[1]?.trim() ?? []);
  t.strictSame(
    left.filter((step) => !step.startsWith('INVITE sip:')),
    steps,
    'the caller’s side, in order',
  );
  t.match(out, /\| +\| INVITE sip:\+918040000001 ->/, 'the callee’s side');
  t.match(out, /^Decision\nok {2}source +127\.0\.20\.50 is in 127\.0\.20\.50\/32 of carrier telco-a$/m);
  t.match(out, /^routed: {2}inbound, trunk trk_demo, carrier telco-a$/m);
  const record = JSON.parse(/^Call record\n([\s\S]*)$/m.exec(out)?.[1] ?? '{}') as CallRecord;
  t.match(record, { outcome: 'answered', endedBy: 'caller', sipStatus: 200, trunkSid: 'trk_demo' });
  t.strictSame((await node.record(record.aLegCallId)).callId, record.callId, 'the one that was written');
});

void t.test('call: nobody answers, no such number, a stranger', async (t) => {
  const [dead, unknown, stranger] = await Promise.all([
    place(['--to', DID]),
    place(['--to', '+918049999999']),
    tandem('call', ...configured, '--from', '127.0.20.99', '--to', DID),
  ]);
  t.equal(dead.code, 2);
  t.match(dead.out, /< 503 Service Unavailable/);
  t.match(dead.out, /"reasonCode": "destination_unreachable"/);
  t.equal(unknown.code, 2);
  t.match(unknown.out, /< 404 Not Found/);
  t.match(unknown.out, /number_not_found/);
  t.equal(stranger.code, 2);
  t.match(stranger.out, /< 403 Forbidden/);
  t.match(stranger.out, /source_not_allowed/);
});

void t.test('explain: what would happen, and why', async (t) => {
  const explain = (from: string, to: string, ...more: readonly string[]): Promise<Ran> =>
    tandem('explain', ...configured, '--from', from, '--to', to, ...more);
  const [asked, national, outbound, unlisted, json] = await Promise.all([
    explain(CARRIER, DID, '--caller', CALLER),
    explain(CARRIER, '08040000001', '--caller', CALLER),
    explain(PBX, CALLER, '--caller', '1001'),
    explain('127.0.20.99', DID),
    explain('127.0.20.99', DID, '--format', 'json'),
  ]);
  t.equal(asked.code, 0);
  t.match(asked.out, /^routed: {2}inbound, trunk trk_demo, carrier telco-a$/m);
  t.match(asked.out, new RegExp(`^sent to: sip:\\${DID}@${PBX.replaceAll('.', '\\.')}:18000`, 'm'));
  t.equal(national.code, 2, 'a national number needs a country to be one');
  t.match(outbound.out, /^routed: {2}outbound, trunk trk_demo, carrier telco-a$/m);
  t.match(outbound.out, /\+918040000001 is sent \(alias\)/);
  t.equal(unlisted.code, 2);
  t.match(unlisted.out, /source_not_allowed/);
  t.match(unlisted.out, /Add the address to whitelisted_ips/, 'and what to do about it');
  t.match(JSON.parse(json.out), { accepted: false, reasonCode: 'source_not_allowed', sipStatus: 403 });
});

void t.test('lint: faults between objects, exit code 1 for errors', async (t) => {
  const document = moved(readYaml('config/demo.routing.yaml')) as {
    trunks: { destination_uris: object[]; phone_numbers: { mode: string }[] }[];
    carriers: { source_acl: object[] }[];
  };
  const lint = async (name: string): Promise<Ran> => {
    await writeFile(join(node.folder, name), JSON.stringify(document));
    return tandem('lint', ...configured, '--store.path', join(node.folder, name));
  };
  for (const trunk of document.trunks) trunk.phone_numbers = trunk.phone_numbers.filter(({ mode }) => mode === 'pstn');
  const good = await lint('good.yaml');
  t.equal(good.code, 0, good.out);
  t.match(good.out, / 0 errors$/m);
  for (const trunk of document.trunks) trunk.destination_uris = [];
  for (const carrier of document.carriers) carrier.source_acl = [];
  const { code, out } = await lint('broken.yaml');
  t.equal(code, 1, out);
  t.match(out, /^error +trunk_without_destination\n +trunks\[0\]: trunk trk_demo has no destination/m);
  t.match(out, /^error +carrier_without_acl/m);
  t.match(out, /remedy: Add an entry to destination_uris\./);
});

void t.test('a document that does not validate is refused, the last good one stays', async (t) => {
  await writeFile(
    join(node.folder, 'wrong.yaml'),
    'trunks: [{ trunk_sid: t, account_sid: a, trunk_name: n, destinations: [] }]',
  );
  const { code, err } = await tandem('lint', ...configured, '--store.path', join(node.folder, 'wrong.yaml'));
  t.equal(code, 1);
  t.match(err, /trunks\[0\].*destinations/, 'path and rule');
});

void t.test('a key of the configuration that does not exist: the nearest one is named', async (t) => {
  const file = join(node.folder, 'typo.yaml');
  await writeFile(file, 'sip: { lisen: ["udp://127.0.20.40:18010"] }\n');
  const { code, err } = await tandem('start', '--config', file);
  t.equal(code, 1);
  t.match(err, /sip\.lisen/);
  t.match(err, /sip\.listen|"listen"|'listen'/, 'the nearest key');
});

void t.test('an address in use is said in words', async (t) => {
  const { code, err } = await tandem('start', ...configured);
  t.equal(code, 1);
  t.match(err, /cannot listen on udp:\/\/127\.0\.20\.40:18000.*EADDRINUSE/);
});

void t.test('dump: what lives in the node, and no node at all', async (t) => {
  const [{ code, out }, nobody] = await Promise.all([
    tandem('dump', ...configured),
    tandem('dump', ...configured, '--admin.listen', '127.0.20.40:18099'),
  ]);
  t.equal(code, 0);
  t.match(JSON.parse(out), {
    service: { draining: false, liveCalls: 0 },
    signal: { dialogs: 0 },
    table: { loaded: true },
  });
  t.equal(nobody.code, 1);
  t.match(nobody.err, /no running node answers at http:\/\/127\.0\.20\.40:18099/);
});

void t.test('help, unknown commands, bad arguments', async (t) => {
  const [help, unknown, missing, strange] = await Promise.all([
    tandem('help'),
    tandem('strat'),
    tandem('explain', ...configured, '--from', CARRIER),
    tandem('call', ...configured, '--form', CARRIER, '--to', DID),
  ]);
  t.equal(help.code, 0);
  for (const verb of ['start', 'call', 'explain', 'lint', 'dump']) t.match(help.out, `tandem ${verb}`);
  t.equal(unknown.code, 64);
  t.match(unknown.err, /unknown command "strat"/);
  t.equal(missing.code, 1);
  t.match(missing.err, /--to is missing/);
  t.equal(strange.code, 1);
  t.match(strange.err, /--from/, 'the options it knows');
});
