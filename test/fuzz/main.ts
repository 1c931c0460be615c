/**
 * npm run fuzz -- [--seconds N] [--target NAME|all] [--seed N] [--corpus DIR] [--save DIR]
 * Ends with 1 when an oracle was hurt; the input is then in the folder of regressions, which a test replays.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Found, Fuzzer, type Outcome } from './fuzzer.js';
import { TARGETS } from './targets/index.js';

const REGRESSIONS = join('test', 'torture', 'regressions');

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string', default: 'all' },
    seed: { type: 'string' },
    corpus: { type: 'string' },
    save: { type: 'string', default: REGRESSIONS },
    'max-found': { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
});

const names = TARGETS.map(({ name }) => name);
const wanted = values.target === 'all' ? TARGETS : TARGETS.filter(({ name }) => name === values.target);

const usage = `npm run fuzz -- [options]

--seconds N      of the whole run, shared among the targets (60)
--target NAME    ${names.join(', ')} or all (all)
--seed N         of chance; default: the time
--corpus DIR     inputs to begin with; those that reach new code are added
--save DIR       where inputs that hurt an oracle go (${REGRESSIONS})
--max-found N    findings of a target after which it is left (5)
`;

const hashOf = (input: Buffer): string => createHash('sha256').update(input).digest('hex').slice(0, 10);

const filesIn = (folder: string): Buffer[] =>
  existsSync(folder) ? readdirSync(folder).map((file) => readFileSync(join(folder, file))) : [];

const write = (folder: string, name: string, input: Buffer): string => {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, name);
  writeFileSync(file, input);
  return file;
};

const report = ({ target, runs, reached, corpus, found }: Outcome, tookMs: number): void => {
  const rate = Math.round((runs / tookMs) * 1000);
  const functions = `${reached.functions} functions reached, ${reached.whole} of them whole`;
  console.log(
    `${target.padEnd(8)} ${runs} inputs, ${rate}/s, ${functions}, corpus ${corpus.length}, findings ${found.length}`,
  );
};

const tell = ({ target, oracle, message, input }: Found): void => {
  const slug = oracle.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const file = write(join(values.save, target), `${slug}-${hashOf(input)}.bin`, input);
  const octets = input.length > 6000 ? '' : `\n${input.toString('base64')}`;
  console.log(`FOUND ${target} ${oracle}, ${input.length} octets in ${file}\n${message.slice(0, 2000)}${octets}\n`);
};

const main = async (): Promise<number> => {
  if (values.help || wanted.length === 0) {
    process.stdout.write(usage);
    return values.help ? 0 : 64;
  }
  // Whoever measures something beside it should not see it.
  setPriority(constants.priority.PRIORITY_LOW);
  const seed = Number(values.seed ?? Math.floor(Date.now() / 1000));
  console.log(`seed ${seed}`);
  const fuzzer = new Fuzzer();
  let findings = 0;
  for (const target of wanted) {
    const folder = values.corpus === undefined ? undefined : join(values.corpus, target.name);
    const corpus = [...filesIn(join(REGRESSIONS, target.name)), ...(folder === undefined ? [] : filesIn(folder))];
    const began = performance.now();
    const seconds = Number(values.seconds) / wanted.length;
    const outcome = await fuzzer.fuzz(target, { seconds, seed, corpus, maxFound: Number(values['max-found']) });
    report(outcome, performance.now() - began);
    outcome.found.forEach(tell);
    findings += outcome.found.length;
    if (folder !== undefined) for (const input of outcome.corpus) write(folder, hashOf(input), input);
  }
  fuzzer.close();
  console.log(findings === 0 ? 'every oracle held' : `${findings} findings`);
  return findings === 0 ? 0 : 1;
};

process.exitCode = await main();
