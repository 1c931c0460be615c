import { type SchemaError, TandemError } from '../kernel/index.js';
import { nearest } from './nearest.js';

/** One thing wrong with the configuration. */
export interface ConfigProblem {
  /** Dotted key, `sip.listen.0`, or the name of a flag or an environment variable. */
  readonly path: string;
  /** Machine-readable name of the rule that was broken. */
  readonly rule: string;
  readonly message: string;
  /** What to do about it. */
  readonly remedy: string;
  /** `FILE:LINE` where the value stands, when it came from the file. */
  readonly where?: string | undefined;
}

/** Thrown by `loadConfig` with everything that is wrong, not only the first thing. */
export class ConfigError extends TandemError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super({ code: 'config_invalid', message: problems.map(line).join('\n') });
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

const line = (p: ConfigProblem): string =>
  `${p.where === undefined ? '' : `${p.where}: `}${p.path === '' ? 'configuration' : p.path}: ${p.message} [${p.rule}]; ${p.remedy}`;

const show = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** Keys that people look for at a place where they are not. */
const MOVED: { readonly [key: string]: string } = {
  routing: 'the routing document is a file of its own; name it in store.path',
  redis: 'set store: {kind: redis, url: ...}',
};

const unknownKey = (error: SchemaError, path: string, allKeys: readonly string[]): ConfigProblem => {
  const key = String(error.params['additionalProperty']);
  const siblings = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {});
  const prefix = path === '' ? '' : `${path}.`;
  const sibling = nearest(key, siblings);
  const elsewhere = allKeys.find((full) => full.endsWith(`.${key}`));
  const meant = sibling === undefined ? elsewhere : prefix + sibling;
  const remedy =
    (path === '' ? MOVED[key] : undefined) ??
    (meant === undefined ? `known keys here: ${siblings.join(', ')}` : `did you mean ${meant}?`);
  return { path: prefix + key, rule: 'unknown_key', message: 'unknown key', remedy };
};

const REMEDIES: { readonly [keyword: string]: (params: Record<string, unknown>, description: string) => string } = {
  type: (p, d) => `give a value of type ${String(p['type'])}${d}`,
  enum: (p) => `use one of ${(p['allowedValues'] as unknown[]).join(', ')}`,
  discriminator: () => 'use one of file, redis',
  required: (p, d) => `add ${String(p['missingProperty'])}${d}`,
  minimum: (p, d) => `use ${String(p['limit'])} or more${d}`,
  maximum: (p, d) => `use ${String(p['limit'])} or less${d}`,
};

/** Words an error of the schema validator for people. */
export const problemOf = (error: SchemaError, allKeys: readonly string[]): ConfigProblem => {
  const path = error.instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
  if (error.keyword === 'additionalProperties') return unknownKey(error, path, allKeys);
  const text = error.parentSchema?.['description'] as string | undefined;
  const description = text === undefined ? '' : ` (${text})`;
  const remedy = REMEDIES[error.keyword]?.(error.params, description) ?? `correct it${description}`;
  const value = error.keyword === 'required' ? '' : `${show(error.data)} `;
  return { path, rule: error.keyword, message: `${value}${error.message ?? 'is not valid'}`, remedy };
};
