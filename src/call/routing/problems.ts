/** Schema errors as sentences that name the place and the rule. */
import type { SchemaError } from '../../kernel/index.js';

export interface DocumentProblem {
  /** `trunks[0].whitelisted_ips[1].mask`; empty for the document itself. */
  readonly path: string;
  /** `must be <= 128`. */
  readonly rule: string;
  /** Path and rule in one sentence. */
  readonly message: string;
}

export function problem(path: string, rule: string): DocumentProblem {
  return { path, rule, message: `${path === '' ? 'the document' : path} ${rule}` };
}

/** A JSON pointer as people write paths: `/trunks/0/limits` -> `trunks[0].limits`. */
export function readablePath(pointer: string): string {
  let path = '';
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (/^[0-9]{1,9}$/.test(name)) path += `[${name}]`;
    else path += path === '' ? name : `.${name}`;
  }
  return path;
}

export function describeSchemaError(error: SchemaError): DocumentProblem {
  const path = readablePath(error.instancePath);
  const params = error.params as { readonly [key: string]: unknown };
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(path, String(params['additionalProperty']), knownKeys(error.parentSchema));
    case 'required':
      return problem(path, `must have ${String(params['missingProperty'])}`);
    case 'type':
      return problem(path, wrongType(String(params['type']), error.data));
    case 'anyOf':
    case 'const':
      return problem(path, `must be one of ${choices(error)}`);
    case 'pattern':
      return problem(path, `must match ${String(params['pattern'])}`);
    case 'minLength':
      return problem(path, 'must not be empty');
    default:
      return problem(path, error.message ?? `breaks the rule ${error.keyword}`);
  }
}

/** A key nobody knows: the nearest one that is known, or the list. */
export function unknownKey(path: string, key: string, known: readonly string[]): DocumentProblem {
  const near = nearest(key, known);
  const hint = near === undefined ? `valid keys: ${known.join(', ')}` : `did you mean '${near}'?`;
  return problem(path, `has an unknown key '${key.slice(0, 64)}' (${hint})`);
}

function wrongType(type: string, data: unknown): string {
  const quote = type === 'string' && typeof data === 'number' ? ' (write it in quotes)' : '';
  const article = /^[aeio]/.test(type) ? 'an' : 'a';
  return `must be ${article} ${type}${quote}`;
}

function knownKeys(schema: unknown): string[] {
  const properties = (schema as { readonly properties?: object } | undefined)?.properties;
  const patterns = (schema as { readonly patternProperties?: object } | undefined)?.patternProperties;
  return properties === undefined ? Object.keys(patterns ?? {}) : Object.keys(properties);
}

function choices(error: SchemaError): string {
  const options = Array.isArray(error.schema) ? (error.schema as unknown[]) : [error.parentSchema];
  return options
    .map((option) => {
      const schema = option as { readonly const?: unknown; readonly type?: string; readonly properties?: object };
      if (schema.const !== undefined) return String(schema.const);
      return schema.properties === undefined
        ? (schema.type ?? 'a value')
        : `{${Object.keys(schema.properties).join(', ')}}`;
    })
    .join(', ');
}

const MAX_COMPARED = 64;

/** The known name that is closest to `key`; undefined when none is close. */
export function nearest(key: string, known: readonly string[]): string | undefined {
  if (key.length > MAX_COMPARED) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(key.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(key.toLowerCase(), candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
