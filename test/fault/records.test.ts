/**
 * The process is killed at random moments: no call record is lost, none is there twice, and the money adds up. The long
 * way: RECORDS_KILLS=100 RECORDS_CALLS=20000 TAP_TIMEOUT=7200 node build/test/fault/records.test.js
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { CallLoad } from '../support/callLoad.js';
import { nodeUp, recordsIn } from '../support/nodeProcess.js';
import { MAIN } from '../support/tandemNode.js';

const KILLS = Number(process.env['RECORDS_KILLS'] ?? 5);
const CALLS_BETWEEN = Number(process.env['RECORDS_CALLS'] ?? 500) / (KILLS + 1);
const NODE = { address: '127.0.68.1', port: 34_000 };
const CALLER = { address: '127.0.68.2', port: 34_010, number: '+18005550100' };
const CALLEE = { address: '127.0.68.3', port: 34_020 };
const WEBHOOK = { address: '127.0.0.1', port: 0 };

const ROUTING = {
  accounts: [{ sid: 'demo' }],
  carriers: [
    {
      id: 'telco',
      kind: 'byo',
      gateways: [{ uri: `sip:${CALLEE.address}:${CALLEE.port}` }],
      flat_rate: { outbound_price: '0.0137', setup_fee: '0.001', currency: 'EUR', first_seconds: 1, next_seconds: 1 },
    },
  ],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      whitelisted_ips: [{ ip: CALLER.address }],
      phone_numbers: [{ phone_number: CALLER.number, mode: 'pstn', carrier: 'telco' }],
    },
  ],
};

/** Ends by the test's own hand, or with it. */
const startNode = (folder: string): Promise<ChildProcess> =>
  nodeUp(process.execPath, [MAIN, 'start', '--config', join(folder, 'tandem.yaml')]);

/** By hand: 13,700 micros a minute by the second, 1,000 to set up, rounded half up. */
const priceOf = (talkMs: number): bigint => {
  let seconds = 1n;
  while (Number(seconds) * 1000 < talkMs) seconds++;
  const sixtieths = 13_700n * seconds;
  return 1_000n + sixtieths / 60n + (sixtieths % 60n >= 30n ? 1n : 0n);
};

t.test(`${KILLS} SIGKILLs under load`, { timeout: KILLS * 20_000 + 60_000 }, async (t) => {
  const folder = t.testdir({});
  const delivered = new Map<string, number>();
  let requests = 0;
  let wellForGood = false;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      // Now and then the receiver is not well.
      if (++requests % 17 === 0 && !wellForGood) return response.writeHead(503).end();
      for (const line of Buffer.concat(chunks).toString().trim().split('\n')) {
        const { callId } = JSON.parse(line) as CallRecord;
        delivered.set(callId, (delivered.get(callId) ?? 0) + 1);
      }
      response.writeHead(204).end();
    });
  });
  server.listen(WEBHOOK.port, WEBHOOK.address);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const config = {
    node: { id: 'records' },
    sip: { listen: [`udp://${NODE.address}:${NODE.port}`] },
    store: { kind: 'file', path: './routing.yaml' },
    admin: { listen: `${NODE.address}:${NODE.port + 1}` },
    log: { level: 'info' },
    cdr: {
      path: './cdr',
      rotateBytes: 100_000,
      webhook: { url: `http://${WEBHOOK.address}:${port}/cdr`, secret: 'a secret of the test', batch: 20 },
    },
  };
  writeFileSync(join(folder, 'tandem.yaml'), JSON.stringify(config));
  writeFileSync(join(folder, 'routing.yaml'), JSON.stringify(ROUTING));

  const load = new CallLoad({ node: NODE, caller: CALLER, callee: CALLEE, callsPerSecond: 120, mostTalkMs: 700 });
  await load.open();
  t.teardown(() => load.close());
  for (let kill = 0; kill < KILLS; kill++) {
    const node = await startNode(folder);
    load.start();
    await load.untilAnswered(load.answered.size + Math.ceil(CALLS_BETWEEN * (0.7 + Math.random() * 0.6)));
    const gone = once(node, 'exit');
    node.kill('SIGKILL');
    load.pause(true);
    await gone;
  }
  const node = await startNode(folder);
  load.start();
  await load.untilAnswered(load.answered.size + Math.ceil(CALLS_BETWEEN));
  load.pause(false);
  // What it refused so far must still come: a stop tries again at once what failed a moment before.
  wellForGood = true;
  const stopped = once(node, 'exit');
  node.kill('SIGTERM');
  t.same(await stopped, [0, null]);

  const records = recordsIn(join(folder, 'cdr'));
  const count = new Map<string, number>();
  for (const { calledE164 } of records)
    if (calledE164 !== null) count.set(calledE164, (count.get(calledE164) ?? 0) + 1);
  // Calls that came while it drained were refused before anybody looked where they go: of those there may be many.
  const numberless = records.filter(({ calledE164 }) => calledE164 === null);
  t.same(
    numberless.filter(({ outcome, reasonCode }) => outcome !== 'rejected' || reasonCode !== 'draining'),
    [],
    `only what was refused unread has no number: ${numberless.length} calls`,
  );
  const lost = [...load.reached, ...load.answered].filter((number) => !count.has(number));
  t.same(lost, [], `none of ${load.reached.size} calls that reached somebody is lost`);
  t.same(
    [...count].filter(([, times]) => times > 1),
    [],
    'no call has two',
  );
  t.equal(new Set(records.map(({ callId }) => callId)).size, records.length);
  const cut = records.filter(({ reasonCode }) => reasonCode === 'node_lost');
  t.ok(cut.length > 0, `${cut.length} of ${records.length} calls were cut`);
  t.ok([...load.ended].every((number) => count.has(number)));

  const answered = records.filter(({ outcome }) => outcome === 'answered');
  t.ok(answered.length >= load.answered.size, 'who was answered has a record that says so');
  const total = records.reduce((sum, { charge }) => sum + BigInt(charge?.micros ?? 0), 0n);
  const expected = answered.reduce((sum, { talkMs }) => sum + priceOf(talkMs), 0n);
  t.equal(total, expected, `${String(total)} micros for ${answered.length} calls`);
  t.same(
    records.filter(({ callId }) => !delivered.has(callId)).map(({ callId }) => callId),
    [],
    'the webhook has every record',
  );
});
