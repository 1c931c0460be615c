/**
 * S20 and S9 with the tools that scanners use: sipvicious (svmap, svwar, svcrack), from an address that nobody lists and
 * from a trunk's own. No user is found, no password, no version; and a stranger gets one answer for a request, or none.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Endpoint } from '../support/endpoints.js';
import { TandemNode } from '../support/tandemNode.js';

const [OPEN, SILENT] = ['127.45.1.1', '127.45.1.2'] as const;
const PORT = 45_000;
const [CARRIER, TRUNK, STRANGER, CRACKER, OWNER] = [
  '127.45.1.10',
  '127.45.1.20',
  '127.45.1.66',
  '127.45.1.67',
  '127.45.1.68',
] as const;
const NUMBER = '+918040000001';
const USER = '4711';
const PASSWORD = 'sesame';
const DOMAIN = 'home.pstn.example';
/** Generous: three of them run at a time, on a machine with other work. */
const LIMIT_MS = 60_000;

t.setTimeout(200_000);

const trunk = (sid: string, more: object): object => ({
  trunk_sid: sid,
  account_sid: 'demo',
  trunk_name: sid,
  ...more,
});
const routing = {
  accounts: [{ sid: 'demo' }],
  carriers: [
    { id: 'telco', kind: 'byo', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:${PORT + 10}` }] },
  ],
  trunks: [
    trunk('trk_pbx', {
      whitelisted_ips: [{ ip: TRUNK }],
      destination_uris: [{ destination: `${TRUNK}:${PORT + 20}` }],
      phone_numbers: [{ phone_number: NUMBER, carrier: 'telco' }],
    }),
    trunk('trk_home', {
      domain_name: DOMAIN,
      credentials: [{ user_name: USER, password: PASSWORD }],
      destination_uris: [{ destination: `registered:${USER}` }],
      phone_numbers: [{ phone_number: '+918040000002', carrier: 'telco' }],
    }),
  ],
};

const start = (address: string, unlistedSources: 'reject' | 'drop'): Promise<TandemNode> =>
  TandemNode.start({ address, port: PORT, routing, config: { calls: { unlistedSources } } });
const [open, silent] = await Promise.all([start(OPEN, 'reject'), start(SILENT, 'drop')]);
const folder = mkdtempSync(join(tmpdir(), 'tandem-scanners-'));
t.teardown(async () => {
  rmSync(folder, { recursive: true, force: true });
  await Promise.all([open.stop(), silent.stop()]);
});

const list = (name: string, words: readonly string[]): string => {
  const file = join(folder, name);
  writeFileSync(file, `${words.join('\n')}\n`);
  return file;
};
/** Users that there are come first: the tool leaves a server that answers all alike after a few. */
const users = list('users', [USER, NUMBER, 'trk_pbx', ...Array.from({ length: 60 }, (_, i) => `${4680 + i}`)]);
const guesses = Array.from({ length: 60 }, (_, i) => `guess${i}`);
const passwords = list('passwords', [...guesses, PASSWORD, ...guesses]);
const knowing = list('knowing', [PASSWORD]);

let localPort = 45_100;
type Tool = 'svmap' | 'svwar' | 'svcrack';

/** One scan; what it printed, messages received included. */
const scan = async (tool: Tool, node: TandemNode, from: string, args: readonly string[]): Promise<string> => {
  const own = ['-b', from, '-x', from, '-P', `${localPort++}`, '-p', `${node.port}`];
  const program = new Endpoint({
    program: tool,
    debianPackage: 'sipvicious',
    args: [...own, ...args, node.address],
    cwd: folder,
    env: { HOME: folder, PYTHONUNBUFFERED: '1' },
  });
  const limit = setTimeout(() => void program.stop('SIGKILL'), LIMIT_MS);
  await program.exited;
  clearTimeout(limit);
  return program.output;
};

interface Counters {
  readonly requestsIn: number;
  readonly responsesOut: number;
  readonly requestsOut: number;
  readonly serverTransactions: number;
}
const counters = async (node: TandemNode): Promise<Counters> => (await node.dump()).signal as unknown as Counters;

/** Of a table that sipvicious draws: its rows. */
const rowsOf = (output: string): string[] =>
  output.split('\n').filter((line) => /^\| (?!SIP Device|Extension)/.test(line));

const nobodyFound = (t: Test, what: string, output: string): void => {
  t.same(rowsOf(output), [], `${what}: nobody is found`);
  t.notMatch(output, /exists|The password for/, what);
};

t.test('svmap from an unlisted address: no name and no version; with silence nothing at all', async (t) => {
  const [options, register, invite, ...unheard] = await Promise.all([
    scan('svmap', open, STRANGER, ['-d', '-m', 'OPTIONS']),
    scan('svmap', open, STRANGER, ['-d', '-m', 'REGISTER']),
    scan('svmap', open, STRANGER, ['-d', '-m', 'INVITE']),
    scan('svmap', silent, STRANGER, ['-d', '-m', 'OPTIONS']),
    scan('svmap', silent, STRANGER, ['-d', '-m', 'INVITE']),
  ]);
  t.match(options, /403 Forbidden/, 'it was there');
  for (const output of [options, register, invite]) {
    t.notMatch(output, /^.*\b(Server|User-Agent): /m);
    t.notMatch(output, /tandem\/|\d+\.\d+\.\d+-|\| tandem/i);
    for (const row of rowsOf(output)) t.match(row, /\| unknown +\|/);
    t.ok((output.match(/'SIP\/2\.0 \d{3}/g) ?? []).length <= 1, 'one answer at most');
  }
  for (const output of unheard) t.match(output, /found nothing/);
  t.equal((await counters(open)).serverTransactions, 0, 'nothing is kept');
  t.equal((await counters(silent)).responsesOut, 0);
});

for (const [name, source] of [
  ['an unlisted address', STRANGER],
  ["a trunk's address", TRUNK],
] as const) {
  t.test(`svwar from ${name} finds no user, whatever it asks`, async (t) => {
    const before = await counters(open);
    const plans: readonly (readonly string[])[] = [
      ['-m', 'REGISTER'],
      ['-m', 'REGISTER', '--force'],
      ['-m', 'REGISTER', '--force', '--domain', DOMAIN],
      ['-m', 'INVITE', '--force'],
      ['-m', 'OPTIONS', '--force'],
    ];
    const outputs = await Promise.all(
      plans.map((plan) => scan('svwar', open, source, [...plan, '-d', users, '--maximumtime', '2'])),
    );
    outputs.forEach((output, i) => nobodyFound(t, (plans[i] ?? []).join(' '), output));
    const after = await counters(open);
    const [asked, answered] = [after.requestsIn - before.requestsIn, after.responsesOut - before.responsesOut];
    t.ok(asked >= plans.length, `${asked} requests`);
    t.equal(after.requestsOut, 0, 'nobody was called');
    if (source !== STRANGER) return;
    t.ok(answered <= asked, `${answered} answers`);
    t.equal(after.serverTransactions, 0, 'nothing is kept');
  });
}

t.test('svwar meets silence: it gives up', async (t) => {
  const output = await scan('svwar', silent, STRANGER, ['-m', 'INVITE', '-d', users, '--maximumtime', '2']);
  t.match(output, /No server response|timed out/);
  nobodyFound(t, 'silence', output);
});

t.test('svcrack is stopped before it comes to the password, and the owner is not kept out', async (t) => {
  const crack = (from: string, file: string, more: readonly string[] = []): Promise<string> =>
    scan('svcrack', open, from, ['-u', USER, '-d', file, '--maximumtime', '2', ...more]);
  const [one, again, byInvite] = await Promise.all([
    crack(CRACKER, passwords),
    crack(CRACKER, passwords, ['-n']),
    crack(STRANGER, passwords, ['-m', 'INVITE']),
  ]);
  nobodyFound(t, 'a list of words', one);
  nobodyFound(t, 'one nonce for all', again);
  nobodyFound(t, 'by INVITE', byInvite);
  t.match(await crack(OWNER, knowing), /\| 4711 +\| sesame +\|/, 'who knows it gets in');
});

t.test("svcrack from a trunk's own address finds nothing either", async (t) => {
  const output = await scan('svcrack', open, TRUNK, ['-u', USER, '-d', passwords, '--maximumtime', '2']);
  nobodyFound(t, 'a list of words', output);
});
