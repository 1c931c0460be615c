import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { type Document, LineCounter, isMap, isNode, parseDocument } from 'yaml';
import { type HostPort, type SipListener, parseAdvertised, parseListener } from './address.js';
import { checkConfig } from './checks.js';
import { FILE_VARIABLE, type Tree, configKeys, isTree, merge, overlayFromEnv, overlayFromFlags } from './overlay.js';
import { ConfigError, type ConfigProblem, problemOf } from './problems.js';
import { type Config, configSchema } from './schema.js';
import { schemaChecks } from '../kernel/index.js';

export interface ConfigSources {
  /** Path of a YAML or JSON file; default: the variable TANDEM_CONFIG; neither: defaults alone. */
  readonly file?: string | undefined;
  readonly env: { readonly [name: string]: string | undefined };
  /** `--sip.listen VALUE`, `--set KEY=VALUE`: see `splitArguments`. */
  readonly flags: readonly string[];
}

interface FileContent {
  readonly tree: Tree;
  readonly problems: readonly ConfigProblem[];
  locate(path: string): string | undefined;
}

const NO_FILE: FileContent = { tree: {}, problems: [], locate: () => undefined };

const fileProblem = (path: string, rule: string, message: string, remedy: string): FileContent => ({
  tree: {},
  problems: [{ path, rule, message, remedy }],
  locate: () => undefined,
});

const readFile = (path: string): FileContent => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    return fileProblem(path, 'file_readable', `cannot be read (${reason})`, 'name an existing file with --config');
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: true });
  const broken = document.errors[0];
  if (broken !== undefined) return fileProblem(path, 'yaml', broken.message, 'correct the YAML at that place');
  const tree: unknown = document.toJS() ?? {};
  if (!isTree(tree)) return fileProblem(path, 'type', 'is not a map of keys', 'begin with, for example, "sip:"');
  return { tree, problems: [], locate: (key) => locate(document, lines, path, key) };
};

/** `FILE:LINE` of a key, or of the nearest key above it that the file has. */
const locate = (document: Document, lines: LineCounter, file: string, key: string): string | undefined => {
  for (let path = key.split('.'); path.length > 0; path = path.slice(0, -1)) {
    const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === path.at(-1)) : undefined;
    const node: unknown = pair?.key ?? (path.length > 1 ? document.getIn(path, true) : undefined);
    if (isNode(node) && node.range) return `${file}:${lines.linePos(node.range[0]).line}`;
  }
  return undefined;
};

const PATH_KEYS = [
  ['store', 'path'],
  ['store', 'snapshotPath'],
  ['cdr', 'path'],
  ['media', 'soundsPath'],
  ['media', 'recordingsPath'],
  ['registrar', 'path'],
] as const;

/** Every text in `sip.tls` is the path of a PEM file. */
const anchorTls = (tree: Tree, folder: string): Tree => {
  const { sip } = tree;
  if (!isTree(sip) || sip.tls === undefined) return tree;
  const anchor = (value: unknown): unknown => {
    if (typeof value === 'string') return resolve(folder, value);
    if (Array.isArray(value)) return value.map(anchor);
    return isTree(value) ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, anchor(part)])) : value;
  };
  return { ...tree, sip: { ...sip, tls: anchor(sip.tls) } as Tree };
};

/** Relative paths start where they were written: in a file at its folder, elsewhere at the working directory. */
const anchorPaths = (tree: Tree, folder: string): Tree => {
  const anchored: Tree = { ...tree };
  for (const [section, key] of PATH_KEYS) {
    const part = anchored[section];
    if (isTree(part) && typeof part[key] === 'string')
      anchored[section] = { ...part, [key]: resolve(folder, part[key]) };
  }
  return anchorTls(anchored, folder);
};

const check = schemaChecks({
  allErrors: true,
  useDefaults: true,
  verbose: true,
  discriminator: true,
  strictRequired: false,
  allowUnionTypes: true,
})(configSchema);

/** The key that an `if` belongs to is reported by what is inside; the wrapper adds nothing. */
const shapeProblems = (tree: Tree): ConfigProblem[] => {
  if (check(tree)) return [];
  const keys = [...configKeys.keys()];
  return check.errors.filter((e) => e.keyword !== 'if').map((e) => problemOf(e, keys));
};

const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
};

const hostId = (): string =>
  hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 64) || 'tandem';

/**
 * Reads the configuration: file, then environment, then flags, each over the one before; then defaults.
 * @returns a complete, frozen object with absolute paths.
 * @throws ConfigError with every problem found: path, rule, remedy, and the line where there is one.
 */
export const loadConfig = (sources: ConfigSources): Config => {
  const path = sources.file ?? sources.env[FILE_VARIABLE];
  const file = path === undefined ? NO_FILE : readFile(path);
  const env = overlayFromEnv(sources.env);
  const flags = overlayFromFlags(sources.flags);
  const problems = [...file.problems, ...env.problems, ...flags.problems];

  const base = anchorPaths(file.tree, path === undefined ? '.' : dirname(path));
  const overlay = anchorPaths(merge(env.tree, flags.tree), '.');
  const tree = structuredClone(merge(base, overlay));
  problems.push(...shapeProblems(tree).map((p) => ({ ...p, where: file.locate(p.path) })));
  if (problems.length > 0) throw new ConfigError(problems);

  // Defaults of paths were filled in by validation, after the first anchoring.
  const config = complete(anchorPaths(tree, '.'));
  const deeper = checkConfig(config).map((p) => ({ ...p, where: file.locate(p.path) }));
  if (deeper.length > 0) throw new ConfigError(deeper);
  return deepFreeze(config);
};

const complete = (tree: Tree): Config => {
  const loaded = tree as unknown as Config;
  return {
    ...loaded,
    node: { id: loaded.node.id ?? hostId() },
  };
};

/** `sip.cluster.listen`, understood. */
export const clusterListener = (config: Config): (HostPort & { readonly transport: 'udp' | 'tcp' }) | undefined => {
  const { listen } = config.sip.cluster;
  const parsed = listen === undefined ? undefined : parseListener(listen);
  if (parsed?.ok !== true) return undefined;
  const { transport, host, port } = parsed.value;
  return { transport: transport === 'udp' ? 'udp' : 'tcp', host, port };
};

/** The entries of `sip.listen`, understood, each with what peers are told instead of it. */
export const sipListeners = (config: Config): readonly SipListener[] =>
  config.sip.listen.flatMap((text) => {
    const parsed = parseListener(text);
    if (!parsed.ok) return [];
    const { advertise, localNets } = config.sip;
    const told = advertise[text];
    return [{ ...parsed.value, advertise: told === undefined ? undefined : parseAdvertised(told), localNets }];
  });
