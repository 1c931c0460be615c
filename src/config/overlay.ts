/** Turns environment variables and command-line flags into a tree of the same shape as the configuration file. */
import { parse } from 'yaml';
import { nearest } from './nearest.js';
import type { ConfigProblem } from './problems.js';
import { configSchema } from './schema.js';

export type Tree = { [key: string]: unknown };

interface Node {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly properties?: { readonly [key: string]: Node };
  readonly patternProperties?: { readonly [pattern: string]: Node };
  readonly oneOf?: readonly Node[];
}

/** Every settable key with its schema: `sip.listen`, `calls.maxSetupMs` ... A map such as calls.failover is one key. */
export const configKeys: ReadonlyMap<string, Node> = (() => {
  const keys = new Map<string, Node>();
  const walk = (path: string, node: Node): void => {
    if (node.oneOf !== undefined) return node.oneOf.forEach((one) => walk(path, one));
    if (node.properties === undefined) return void keys.set(path, node);
    for (const [name, child] of Object.entries(node.properties)) walk(path === '' ? name : `${path}.${name}`, child);
  };
  walk('', configSchema as unknown as Node);
  return keys;
})();

const PREFIX = 'TANDEM_';
/** Names the configuration file; not a key of it. */
export const FILE_VARIABLE = 'TANDEM_CONFIG';

/** `calls.maxSetupMs` -> `TANDEM_CALLS_MAX_SETUP_MS`. */
export const variableOf = (key: string): string =>
  PREFIX +
  key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('.', '_')
    .toUpperCase();

const keyOfVariable: ReadonlyMap<string, string> = new Map([...configKeys.keys()].map((key) => [variableOf(key), key]));

/** Kubernetes sets these for every service whose name begins with "tandem". */
const SERVICE_LINK = /^TANDEM_(?:[A-Z0-9_]+_)?(?:SERVICE_(?:HOST|PORT)|PORT)(?:_|$)/;

/** Reads values given as text: lists at commas, everything else by the type that the key has. */
const readText = (text: string, node: Node): unknown => {
  if (node.type === 'array' && !text.trimStart().startsWith('[')) {
    return text.split(',').map((item) => scalar(item.trim()));
  }
  return node.type === 'string' || node.enum !== undefined ? text : scalar(text);
};

/** Numbers, booleans, JSON; what does not parse stays text for the validator to refuse. */
const scalar = (text: string): unknown => {
  try {
    return parse(text) as unknown;
  } catch {
    return text;
  }
};

const put = (tree: Tree, key: string, value: unknown): void => {
  const path = key.split('.');
  const last = path.pop() as string;
  let at = tree;
  for (const name of path) at = (at[name] ??= {}) as Tree;
  at[last] = value;
};

/** An entry of a map key, such as `calls.failover.503`. */
const mapEntry = (key: string): Node | undefined => {
  for (let dot = key.lastIndexOf('.'); dot > 0; dot = key.lastIndexOf('.', dot - 1)) {
    const node = configKeys.get(key.slice(0, dot));
    if (node?.patternProperties !== undefined && dot + 1 < key.length) return {};
  }
  return undefined;
};

export interface Overlay {
  readonly tree: Tree;
  readonly problems: readonly ConfigProblem[];
}

/** Takes the variables that begin with TANDEM_. */
export const overlayFromEnv = (env: { readonly [name: string]: string | undefined }): Overlay => {
  const tree: Tree = {};
  const problems: ConfigProblem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || name === FILE_VARIABLE || text === undefined) continue;
    const key = keyOfVariable.get(name);
    if (key !== undefined) {
      put(tree, key, readText(text, configKeys.get(key) as Node));
    } else if (!SERVICE_LINK.test(name)) {
      const close = nearest(name, keyOfVariable.keys());
      problems.push({
        path: name,
        rule: 'unknown_key',
        message: `environment variable ${name} sets no configuration key`,
        remedy:
          close === undefined ? 'remove it, or rename it if it is not meant for Tandem' : `did you mean ${close}?`,
      });
    }
  }
  return { tree, problems };
};

/** Takes `--sip.listen VALUE`, `--sip.listen=VALUE` and `--set sip.listen=VALUE`, in order; later ones win. */
export const overlayFromFlags = (flags: readonly string[]): Overlay => {
  const tree: Tree = {};
  const problems: ConfigProblem[] = [];
  for (let i = 0; i < flags.length; i++) {
    const flag = flags[i] as string;
    let setting = flag.replace(/^--/, '');
    if (setting === 'set') setting = flags[++i] ?? '';
    else if (!setting.includes('=')) setting += `=${flags[++i] ?? ''}`;
    const equals = setting.indexOf('=');
    const key = setting.slice(0, Math.max(0, equals));
    // A single entry of a map is cut at the map's name, as `calls.failover.503`; its own dots are not expected.
    const node = configKeys.get(key) ?? mapEntry(key);
    if (equals > 0 && node !== undefined) put(tree, key, readText(setting.slice(equals + 1), node));
    else problems.push(badFlag(flag, key));
  }
  return { tree, problems };
};

const badFlag = (flag: string, key: string): ConfigProblem => {
  const close = nearest(key, configKeys.keys());
  return {
    path: flag,
    rule: key === '' ? 'flag_form' : 'unknown_key',
    message: key === '' ? `${flag} sets nothing` : `there is no configuration key "${key}"`,
    remedy: close === undefined ? 'write --KEY VALUE or --set KEY=VALUE' : `did you mean --${close}?`,
  };
};

/** The arguments of a command, sorted: the configuration file, settings for `loadConfig`, and everything else. */
export interface SplitArguments {
  readonly file: string | undefined;
  readonly flags: readonly string[];
  readonly rest: readonly string[];
}

/** Tells configuration flags (`--config`, `--set`, names with a dot) from a command's own. */
export const splitArguments = (args: readonly string[]): SplitArguments => {
  const flags: string[] = [];
  const rest: string[] = [];
  let file: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] as string;
    if (arg === '--config') file = args[++i];
    else if (arg.startsWith('--config=')) file = arg.slice('--config='.length);
    else if (/^--[A-Za-z]+(?:\.[A-Za-z0-9_]+)+=/.test(arg)) flags.push(arg);
    else if (arg === '--set' || /^--[A-Za-z]+(?:\.[A-Za-z0-9_]+)+$/.test(arg)) flags.push(arg, args[++i] ?? '');
    else rest.push(arg);
  }
  return { file, flags, rest };
};

/**
 * Lays `over` on `base`: objects are merged, everything else is replaced. An object of another `kind` replaces the
 * whole object, since the keys of the old kind would not be known to the new one.
 */
export const merge = (base: Tree, over: Tree): Tree => {
  const merged: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    const mergeable = isTree(below) && isTree(value);
    if (!mergeable || ('kind' in value && value['kind'] !== below['kind'])) merged[key] = value;
    else merged[key] = merge(below, value);
  }
  return merged;
};

export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
