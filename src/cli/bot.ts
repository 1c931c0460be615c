import { SystemClock, TandemError } from '../kernel/index.js';
import { readOptions } from './arguments.js';
import { serveBot } from './botServer.js';

const DEFAULT_LISTEN = '127.0.0.1:5090';

/**
 * `tandem bot echo|tone`: a bot to try things out with. Echo gives back what it hears, marks every second of it, clears
 * on the key `*` and leaves on `#`; tone plays bursts of 440 Hz. Serves until SIGINT or SIGTERM.
 * @throws TandemError `bad_arguments`, `listen_failed`
 */
export const bot = async (argv: readonly string[]): Promise<number> => {
  const [name, ...rest] = argv;
  if (name !== 'echo' && name !== 'tone') {
    throw new TandemError({ code: 'bad_arguments', message: 'tandem bot: say which one, echo or tone' });
  }
  const options = readOptions(`bot ${name}`, rest, ['listen']);
  const { host, port } = readListen(options['listen'] ?? DEFAULT_LISTEN);
  const log = (line: string): void => void process.stdout.write(`${line}\n`);
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  const server = await serveBot({ bot: name, host, port, clock: new SystemClock(), log });
  log(`the ${name} bot listens on ${server.url}`);
  await stopped;
  await server.close();
  return 0;
};

const readListen = (text: string): { readonly host: string; readonly port: number } => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new TandemError({ code: 'bad_arguments', message: `tandem bot: --listen ${text} is not HOST:PORT` });
  }
  return { host: (match[1] ?? match[2]) as string, port };
};
