/** A node as a process of its own, for tests that end it or starve it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CallRecord } from '../../src/call/record/cdr.js';

/** Resolves when the node that the command starts is up. It ends with us. */
export const nodeUp = async (command: string, args: readonly string[]): Promise<ChildProcess> => {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  child.once('exit', () => process.removeListener('exit', killWithUs));
  let log = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout.on('data', (data: Buffer) => {
      log = (log + data.toString()).slice(-20_000);
      if (log.includes('"msg":"tandem is up"')) resolve();
    });
    child.once('exit', () => reject(new Error(`the node ended:\n${log}`)));
  });
  return child;
};

/** Call records that were written into a folder. */
export const recordsIn = (folder: string): CallRecord[] =>
  readdirSync(folder)
    .filter((name) => /^cdr(\.2.*)?\.jsonl$/.test(name))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CallRecord);
