import { parseArgs } from 'node:util';
import { TandemError } from '../kernel/index.js';
import type { StreamDialect } from '../media/port.js';
import { BotCall, type BotCallPlan, type BotCallResult } from './botCall.js';
import type { RuleResult } from './botRules.js';

const DIALECTS: readonly StreamDialect[] = ['exotel', 'twilio', 'plivo', 'jambonz'];

/**
 * `tandem bot-check URL`: plays a scripted call to a bot and prints which rules of its dialect it keeps. Exit code 0
 * when it keeps all that the call could show, 1 otherwise.
 * @throws TandemError `bad_arguments`
 */
export const botCheck = async (argv: readonly string[]): Promise<number> => {
  const plan = readPlan(argv);
  const { url, dialect, speechMs } = plan;
  process.stdout.write(
    `calling ${withoutPassword(url)} as ${dialect}: ${(speechMs * 2) / 1000} s at the pace of a call\n\n`,
  );
  const result = await new BotCall(plan).run();
  const rules = result.rules.results();
  for (const rule of rules) process.stdout.write(`${line(rule)}\n`);
  process.stdout.write(`\n${summary(result)}\n`);
  const broken = rules.filter((rule) => rule.broken > 0).length;
  process.stdout.write(broken === 0 ? 'The bot keeps the rules.\n' : `Rules broken: ${broken}.\n`);
  return broken === 0 ? 0 : 1;
};

const line = ({ rule, title, checked, broken, examples }: RuleResult): string => {
  const word = checked === 0 ? 'SKIP' : broken === 0 ? 'PASS' : 'FAIL';
  const count = broken > 0 && checked > 1 ? ` (${broken} of ${checked})` : '';
  const faults = examples.map((example) => `\n                ${example}`);
  return `${word}  ${rule.padEnd(8)}  ${title}${count}${faults.join('')}`;
};

const summary = ({ rules, report, connectMs }: BotCallResult): string => {
  if (connectMs === undefined) return 'There was no call.';
  const first = rules.firstAudioMs === undefined ? 'never' : `after ${rules.firstAudioMs} ms`;
  const audio = `${(rules.audioMs / 1000).toFixed(1)} s of audio`;
  return (
    `Connected in ${Math.round(connectMs)} ms, heard ${first}; ${rules.messages} messages: ${audio}, ` +
    `${rules.marks} marks, ${rules.clears} clears. It was sent ${report.framesSent} messages of audio.`
  );
};

const withoutPassword = (text: string): string => text.replace(/\/\/[^@/]*@/, '//');

const readPlan = (argv: readonly string[]): BotCallPlan => {
  const { url, values } = readArguments(argv);
  const dialect = values.dialect as StreamDialect;
  if (!DIALECTS.includes(dialect)) throw bad(`--dialect is one of ${DIALECTS.join(', ')}`);
  const sampleRate = Number(values['sample-rate']);
  if (sampleRate !== 8000 && sampleRate !== 16_000 && sampleRate !== 24_000) {
    throw bad('--sample-rate is 8000, 16000 or 24000');
  }
  const speechMs = seconds('--seconds', values.seconds);
  return { url, dialect, sampleRate, speechMs, patienceMs: seconds('--patience', values.patience) };
};

const readArguments = (argv: readonly string[]) => {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        dialect: { type: 'string', default: 'exotel' },
        'sample-rate': { type: 'string', default: '8000' },
        seconds: { type: 'string', default: '3' },
        patience: { type: 'string', default: '5' },
      },
    });
    const [url, ...more] = positionals;
    if (url !== undefined && more.length === 0) return { url, values };
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  throw bad('say which URL to call');
};

const seconds = (name: string, text: string): number => {
  const value = Number(text);
  if (!(value >= 0.1 && value <= 600)) throw bad(`${name} is 0.1 to 600`);
  return value * 1000;
};

const bad = (detail: string): TandemError =>
  new TandemError({ code: 'bad_arguments', message: `tandem bot-check: ${detail}` });
