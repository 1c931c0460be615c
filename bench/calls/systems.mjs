// The systems under test. Each starts in a folder of its own and says where it listens and which PID pays for it.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN_PORT, CALLEE, CALLER, KAMAILIO, NUMBER, PORT, PROBER, TANDEM } from './places.mjs';
import { assertFree, end, launch, untilBound } from './processes.mjs';

const bench = new URL('.', import.meta.url).pathname;

const startKamailio = async (folder, name, template) => {
  assertFree(KAMAILIO, PORT);
  const config = join(folder, 'kamailio.cfg');
  const text = readFileSync(join(bench, template), 'utf8')
    .replaceAll('LISTEN', `${KAMAILIO}:${PORT}`)
    .replaceAll('CALLEE', `${CALLEE}:${PORT}`)
    .replaceAll('NUMBER', NUMBER)
    .replaceAll('FOLDER', folder);
  writeFileSync(config, text);
  const child = launch('kamailio', ['-DD', '-f', config, '-m', '1024', '-M', '16', '-Y', folder, '-w', folder], {
    log: join(folder, 'kamailio.log'),
    cwd: folder,
  });
  await untilBound(child, KAMAILIO, PORT);
  await sleep(1000);
  return { name, address: KAMAILIO, pid: child.pid, stop: () => end(child) };
};

/** A proxy, and nothing else. */
const startProxy = (folder) => startKamailio(folder, 'kamailio', 'kamailio.cfg');

/** What Tandem does, as far as Kamailio can: ACL, numbers, limits, fail-over, CDRs in a file; but no note of open calls. */
const startTrunkProxy = async (folder) => {
  writeFileSync(join(folder, 'address.list'), `1 ${CALLER} 32 0 telco\n1 ${PROBER} 32 0 telco\n`);
  writeFileSync(join(folder, 'dispatcher.list'), `1 sip:${CALLEE}:${PORT} 0 10\n1 sip:${CALLEE}:${PORT + 1} 0 5\n`);
  const system = await startKamailio(folder, 'trunking', 'kamailio-trunk.cfg');
  const records = () => {
    const files = readdirSync(folder).filter((file) => file.startsWith('cdrs'));
    return files.reduce((sum, file) => sum + readFileSync(join(folder, file), 'latin1').split('\n').length - 1, 0);
  };
  return { ...system, records };
};

/** As in production: ACL, routing, limits, decision, call records and the log of a line a call. */
const writeConfig = (folder) => {
  const config = {
    sip: { listen: [`udp://${TANDEM}:${PORT}`] },
    store: { kind: 'file', path: './routing.yaml' },
    admin: { listen: `${TANDEM}:${ADMIN_PORT}` },
    cdr: { path: './cdr' },
    log: { level: 'info' },
    calls: { maxCalls: 60_000 },
  };
  const routing = {
    accounts: [{ sid: 'bench', api_keys: [{ key: 'bench', token: 'bench' }] }],
    carriers: [
      {
        id: 'telco',
        kind: 'byo',
        source_acl: [
          { ip: CALLER, mask: 32 },
          { ip: PROBER, mask: 32 },
        ],
        gateways: [{ uri: `sip:${CALLER}:${PORT}`, priority: 0, weight: 1 }],
      },
    ],
    trunks: [
      {
        trunk_sid: 'trk_bench',
        account_sid: 'bench',
        trunk_name: 'bench',
        domain_name: 'bench.pstn.example',
        whitelisted_ips: [{ ip: CALLEE, mask: 32 }],
        destination_uris: [{ destination: `${CALLEE}:${PORT};transport=udp`, priority: 0, weight: 1 }],
        phone_numbers: [{ phone_number: NUMBER, mode: 'pstn', carrier: 'telco' }],
      },
    ],
  };
  // JSON is YAML.
  const file = join(folder, 'config.yaml');
  writeFileSync(file, JSON.stringify(config));
  writeFileSync(join(folder, 'routing.yaml'), JSON.stringify(routing));
  return file;
};

/** As `npm start` does. */
const AS_STARTED = ['--use-largepages=silent'];

const startTandem = async (folder, { dist, nodeFlags, runtime, keepLog }) => {
  assertFree(TANDEM, PORT);
  const config = writeConfig(folder);
  const child = launch(runtime, [...AS_STARTED, ...nodeFlags, join(dist, 'main.js'), 'start', '--config', config], {
    log: keepLog === true ? join(folder, 'tandem.log') : '/dev/null',
    cwd: folder,
  });
  await untilBound(child, TANDEM, PORT);
  await sleep(1000);
  return {
    name: 'tandem',
    address: TANDEM,
    pid: child.pid,
    stop: () => end(child, 'SIGTERM', 15_000),
    /** How many call records have been written. */
    records: () => readFileSync(join(folder, 'cdr', 'cdr.jsonl'), 'latin1').split('\n').length - 1,
  };
};

const starters = { kamailio: startProxy, trunking: startTrunkProxy, tandem: startTandem };

/** @param options dist: folder of the build; nodeFlags, runtime: of Tandem's process; keepLog: in the folder */
export const startSystem = async (name, folder, options) => {
  mkdirSync(folder, { recursive: true });
  return starters[name](folder, options);
};
