#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VERSION } from './cli/version.js';
import { type Config, ConfigError, loadConfig, splitArguments } from './config/index.js';
import { TandemError } from './kernel/index.js';

const USAGE = `tandem ${VERSION}

  tandem start                                     serve
  tandem call --from IP --to NUMBER [--caller NUMBER] [--answer HOST:PORT] [--via HOST:PORT] [--talk SECONDS]
              [--talk-tone SECONDS]
                                                   place a call and print its ladder, decision and record
  tandem explain --from IP --to NUMBER [--caller NUMBER] [--format json] | --call ID
                                                   what would happen to such a call, and why
  tandem lint                                      find faults in the routing document
  tandem revisions [--limit N]                     the history of the routing document, newest first
  tandem diff A B                                  what leads from one revision to another
  tandem rollback REVISION [--note TEXT]           a new revision that restores that one
  tandem publish FILE [--note TEXT]                make the document what the file says, as one revision
                                                   these four ask a running node: [--url URL] [--key KEY --token TOKEN]
                                                   [--json]
  tandem import rates FILE --carrier ID [--currency INR] [--dry-run] [--skip-bad] [--note TEXT] [--json]
                                                   a carrier's price deck (CSV) becomes its network groups, as one
                                                   revision of the store, or of a node with [--url URL] [--key KEY ...]
  tandem dump [--key KEY --token TOKEN]            what lives in the running node
  tandem bot echo|tone [--listen HOST:PORT]        a bot to try streams out with
  tandem bot-check URL [--dialect exotel|twilio|plivo|jambonz] [--sample-rate HZ] [--seconds N] [--patience N]
                                                   play a call to a bot and say which rules it breaks
  tandem engine --contact sip:HOST:PORT --secret S
                                                   a SIP server for drachtio-srf programs, in place of drachtio-server

Each but the bots and the engine takes --config FILE (default: TANDEM_CONFIG, else config/demo.yaml of this package)
and any key of the configuration as a flag, for example --sip.listen udp://127.0.0.1:5080 or --set calls.maxCalls=100.
`;

type Verb = (config: Config, argv: readonly string[], configFile: string | undefined) => Promise<number>;
/** Verbs that stand alone: no node, no configuration. */
type Standalone = (argv: readonly string[], env: NodeJS.ProcessEnv) => Promise<number>;
const STANDALONE: { readonly [verb: string]: Standalone } = {
  bot: async (argv) => (await import('./cli/bot.js')).bot(argv),
  'bot-check': async (argv) => (await import('./cli/botCheck.js')).botCheck(argv),
  engine: async (argv, env) => (await import('./cli/engine.js')).engine(argv, env),
};
/** Each is loaded when it is asked for: `dump` needs no SIP stack, and nobody waits for one. */
const VERBS: { readonly [verb: string]: () => Promise<Verb> } = {
  start: async () => (await import('./cli/start.js')).start,
  call: async () => (await import('./cli/call.js')).call,
  explain: async () => (await import('./cli/explain.js')).explain,
  lint: async () => (await import('./cli/lint.js')).lint,
  dump: async () => (await import('./cli/dump.js')).dump,
  revisions: async () => (await import('./cli/revisions.js')).revisions,
  diff: async () => (await import('./cli/revisions.js')).diff,
  rollback: async () => (await import('./cli/revisions.js')).rollback,
  import: async () => (await import('./cli/importRates.js')).importRates,
  publish: async () => (await import('./cli/revisions.js')).publish,
};

/** The demonstration's configuration, beside dist/ in the package. */
const demoConfig = (): string | undefined => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const candidate = join(folder, 'config', 'demo.yaml');
    if (existsSync(candidate)) return candidate;
  }
  return undefined;
};

const run = async (argv: readonly string[]): Promise<number> => {
  const [name = 'help', ...rest] = argv;
  if (Object.hasOwn(STANDALONE, name)) return (STANDALONE[name] as Standalone)(rest, process.env);
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (verb === undefined) {
    const known = ['help', '--help', '-h', 'version', '--version'].includes(name);
    process.stdout.write(name.includes('version') ? `${VERSION}\n` : USAGE);
    if (!known) process.stderr.write(`tandem: unknown command "${name}"\n`);
    return known ? 0 : 64;
  }
  const split = splitArguments(rest);
  const file = split.file ?? process.env['TANDEM_CONFIG'] ?? demoConfig();
  const config = loadConfig({ file, env: process.env, flags: split.flags });
  return (await verb())(config, split.rest, file);
};

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const expected = error instanceof TandemError || error instanceof ConfigError;
  const text = expected ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`tandem: ${text}\n`);
  process.exitCode = 1;
  // A failed start may have left sockets open.
  process.exit();
}
