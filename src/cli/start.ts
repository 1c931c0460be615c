import { relative } from 'node:path';
import closeWithGrace from 'close-with-grace';
import type { Config } from '../config/index.js';
import { readOptions } from './arguments.js';
import { suitRuntime } from './runtime.js';
import { Node } from './node.js';

/** Beyond the calls' own limit: their last answers, the records, the sockets. */
const STOP_MARGIN_MS = 10_000;

/**
 * `tandem start`: serves until SIGTERM or SIGINT, then takes no new calls, lets the live ones run on for up to
 * calls.drainSeconds, writes their records and goes. A second signal ends it at once. SIGHUP reads certificates anew.
 */
export const start = async (
  config: Config,
  argv: readonly string[],
  configFile: string | undefined,
): Promise<number> => {
  readOptions('start', argv, []);
  suitRuntime();
  const node = new Node(config);
  const { sip, admin } = await node.start();
  process.stdout.write(welcome(sip, admin, configFile));
  process.on('SIGHUP', () => node.reload());
  const delay = config.calls.drainSeconds * 1000 + STOP_MARGIN_MS;
  closeWithGrace({ delay, logger: false, skip: ['SIGHUP'] }, async ({ err }) => {
    if (err !== undefined) process.stderr.write(`tandem: ${err.stack ?? err.message}\n`);
    await node.drain();
    await node.stop();
  });
  return new Promise(() => {});
};

/** For people; machines read the log lines. */
const welcome = (sip: readonly string[], admin: string, configFile: string | undefined): string => {
  const lines = ['', `  Tandem is up.  SIP ${sip.join('  ')}   admin ${admin}`, ''];
  if (configFile?.endsWith('demo.yaml') === true) {
    lines.push(
      '  Place a call: a carrier at 127.0.20.10 calls the number of a trunk, whose PBX at 127.0.20.20 answers.',
      '  In another terminal, in this folder:',
      '',
      '    node dist/main.js call --from 127.0.20.10 --caller +919812345678 --to +918040000001 --answer 127.0.20.20:5060',
      '',
      '  It shows the ladder of both legs, the decision and the call record. The second call talks with a voice bot: a',
      '  flow answers it and streams its audio to a WebSocket. Start the bot that echoes in one more terminal, then call:',
      '',
      '    node dist/main.js bot echo',
      '    node dist/main.js call --from 127.0.20.10 --caller +919812345678 --to +918040000002 --talk-tone 4',
      '',
      '  It sends 440 Hz and says for how long it heard 440 Hz come back. Then ask why another call would fail:',
      '',
      '    node dist/main.js explain --from 127.0.20.99 --caller +919812345678 --to +918040000001',
      '',
      `  Configuration: ${relative(process.cwd(), configFile)} and the routing document beside it; change it while this runs.`,
      '',
    );
  }
  return `${lines.join('\n')}\n`;
};
