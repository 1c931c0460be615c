/** A whole node that runs out of file descriptors and of disk: calls go on, it says so, and no record is lost (R17). */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CallLoad } from '../support/callLoad.js';
import { nodeUp, recordsIn } from '../support/nodeProcess.js';
import { MAIN } from '../support/tandemNode.js';

const NODE = { address: '127.0.37.11', port: 37_100 };
const ADMIN = NODE.port + 1;
const CALLER = { address: '127.0.37.12', port: 37_110, number: '+18005550100' };
const CALLEE = { address: '127.0.37.13', port: 37_120 };
const DESCRIPTORS = 256;
const CONNECTIONS = 400;

const ROUTING = {
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', kind: 'byo', gateways: [{ uri: `sip:${CALLEE.address}:${CALLEE.port}` }] }],
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

const CONFIG = {
  node: { id: 'scarce' },
  sip: { listen: [`udp://${NODE.address}:${NODE.port}`, `tcp://${NODE.address}:${NODE.port}`] },
  store: { kind: 'file', path: './routing.yaml' },
  admin: { listen: `${NODE.address}:${ADMIN}` },
  cdr: { path: './cdr' },
};

/** With as many descriptors as the shell lets it have. */
const startNode = (folder: string): Promise<ChildProcess> => {
  writeFileSync(join(folder, 'tandem.yaml'), JSON.stringify(CONFIG));
  writeFileSync(join(folder, 'routing.yaml'), JSON.stringify(ROUTING));
  const command = `ulimit -n ${DESCRIPTORS} && exec "$0" "$@"`;
  const args = ['-c', command, process.execPath, MAIN, 'start', '--config', join(folder, 'tandem.yaml')];
  return nodeUp('bash', args);
};

const stop = async (t: Test, node: ChildProcess): Promise<void> => {
  const stopped = once(node, 'exit');
  node.kill('SIGTERM');
  t.same(await stopped, [0, null], 'it ends in good order');
};

const expectWhole = (t: Test, folder: string, load: CallLoad): void => {
  const records = recordsIn(join(folder, 'cdr'));
  const numbers = new Set(records.map(({ calledE164 }) => calledE164));
  t.same(
    [...load.answered].filter((number) => !numbers.has(number)),
    [],
    `each of ${load.answered.size} calls has a record`,
  );
  const calls = new Set(records.map(({ aLegCallId }) => aLegCallId));
  const twice = records.length - calls.size;
  t.equal(twice, 0, 'and none has two');
};

const metric = async (name: string): Promise<number> => {
  const page = await (await fetch(`http://${NODE.address}:${ADMIN}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(page)?.[1] ?? 0);
};

const openLoad = async (t: Test): Promise<CallLoad> => {
  const load = new CallLoad({ node: NODE, caller: CALLER, callee: CALLEE, callsPerSecond: 60, mostTalkMs: 300 });
  await load.open();
  t.teardown(() => load.close());
  return load;
};

t.test(`${DESCRIPTORS} descriptors and ${CONNECTIONS} connections`, { timeout: 120_000 }, async (t) => {
  const folder = t.testdir({});
  const node = await startNode(folder);
  t.teardown(() => node.kill('SIGKILL'));
  const load = await openLoad(t);
  load.start();
  await load.untilAnswered(40);
  const sockets: Socket[] = [];
  let turnedAway = 0;
  // The system accepts for the program, which then has no descriptor for it and closes it.
  await new Promise<void>((resolve) => {
    for (let i = 0; i < CONNECTIONS; i++) {
      const port = i % 4 === 3 ? ADMIN : NODE.port;
      const socket = connect({ host: NODE.address, port, localAddress: CALLER.address });
      socket.on('error', () => {});
      socket.once('close', () => ++turnedAway >= CONNECTIONS - DESCRIPTORS && resolve());
      sockets.push(socket);
    }
  });
  t.pass(`${turnedAway} connections were turned away for want of descriptors`);
  await load.untilAnswered(load.answered.size + 100);
  t.same([...load.refused], [], 'no call was refused');
  for (const socket of sockets) socket.destroy();
  await load.untilAnswered(load.answered.size + 40);
  const health = await fetch(`http://${NODE.address}:${ADMIN}/healthz`);
  t.equal(health.status, 200, 'it can be reached again');
  load.pause(false);
  await stop(t, node);
  expectWhole(t, folder, load);
});

t.test('a disk that is full, and has room again', { timeout: 120_000 }, async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'cdr', 'cdr.jsonl');
  mkdirSync(join(folder, 'cdr'));
  symlinkSync('/dev/full', file);
  const node = await startNode(folder);
  t.teardown(() => node.kill('SIGKILL'));
  const load = await openLoad(t);
  load.start();
  await load.untilAnswered(130);
  t.same([...load.refused], [], 'calls go on');
  t.ok((await metric('tandem_cdr_pending')) > 100, 'their records wait');
  t.ok((await metric('tandem_cdr_alarms_total')) > 0, 'and somebody is told');
  unlinkSync(file);
  await load.untilAnswered(load.answered.size + 70);
  load.pause(false);
  await stop(t, node);
  expectWhole(t, folder, load);
});
