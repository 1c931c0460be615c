import { parseArgs } from 'node:util';
import { TandemError } from '../kernel/index.js';

export type Options = { readonly [name: string]: string | undefined };

/**
 * Reads `--name value` options of one verb. Options it does not know are errors that name the known ones.
 * @throws TandemError `bad_arguments`
 */
export const readOptions = (verb: string, argv: readonly string[], names: readonly string[]): Options => {
  try {
    const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values as Options;
  } catch (error) {
    const known = names.map((name) => `--${name}`).join(', ');
    const detail = error instanceof Error ? error.message : String(error);
    throw new TandemError({ code: 'bad_arguments', message: `tandem ${verb}: ${detail} (options: ${known})` });
  }
};

/** @throws TandemError `bad_arguments` when it is missing. */
export const required = (verb: string, options: Options, name: string): string => {
  const value = options[name];
  if (value !== undefined && value !== '') return value;
  throw new TandemError({ code: 'bad_arguments', message: `tandem ${verb}: --${name} is missing` });
};
