import { parseArgs } from 'node:util';
import type { Config } from '../config/index.js';
import { TandemError } from '../kernel/index.js';

export interface Asking {
  /** What stands beside the options. */
  readonly names: readonly string[];
  readonly options: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly client: AdminClient;
}

const COMMON = ['url', 'key', 'token'] as const;

/**
 * Reads the arguments of a verb that asks a running node: `[NAME ...] [--url URL] [--key KEY --token TOKEN] [--json]`.
 * @throws TandemError `bad_arguments`
 */
export const readAsking = (
  verb: string,
  config: Config,
  argv: readonly string[],
  own: { readonly names: readonly string[]; readonly options?: readonly string[] },
): Asking => {
  const known = [...COMMON, ...(own.options ?? [])];
  const bad = (detail: string): TandemError => {
    const usage = [verb, ...own.names, ...known.map((name) => `[--${name} ${name.toUpperCase()}]`), '[--json]'].join(
      ' ',
    );
    return new TandemError({ code: 'bad_arguments', message: `tandem ${verb}: ${detail} (usage: tandem ${usage})` });
  };
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      options: {
        json: { type: 'boolean' },
        ...Object.fromEntries(known.map((name) => [name, { type: 'string' as const }])),
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  if (parsed.positionals.length !== own.names.length) throw bad(`${own.names.join(' and ') || 'no name'} expected`);
  const { json, ...options } = parsed.values as Record<string, string | undefined> & { json?: boolean };
  return { names: parsed.positionals, options, json: json === true, client: new AdminClient(config, options) };
};

/** Asks the administration of a running node. */
export class AdminClient {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param options.url default: admin.listen of the configuration */
  constructor(config: Config, { url, key, token }: Readonly<Record<string, string | undefined>>) {
    this.#base = (url ?? `http://${config.admin.listen}`).replace(/\/$/, '');
    const basic = Buffer.from(`${key ?? ''}:${token ?? ''}`, 'utf8').toString('base64');
    this.#headers = {
      'x-tandem-client': 'cli',
      ...(key === undefined ? {} : { authorization: `Basic ${basic}` }),
    };
  }

  /** @throws TandemError `node_unreachable`, or `node_refused` with what the node says */
  async ask<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers: {
          ...this.#headers,
          ...headers,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const message = `no running node answers at ${this.#base}; start one, or name it with --url or --config`;
      throw new TandemError({ code: 'node_unreachable', message, cause: error });
    }
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as T;
    throw new TandemError({
      code: 'node_refused',
      message: faultText(text) ?? `${response.status} ${text.slice(0, 200)}`,
    });
  }
}

const faultText = (text: string): string | undefined => {
  try {
    const { error } = JSON.parse(text) as { error?: { message: string; remedy: string } };
    return error === undefined ? undefined : `${error.message}: ${error.remedy}`;
  } catch {
    return undefined;
  }
};
