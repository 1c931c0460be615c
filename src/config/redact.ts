import type { Config } from './schema.js';

const HIDDEN = '********';
const SECRET_KEY = /secret|password|token/i;
const URL_PASSWORD = /^([a-z][a-z0-9+.-]*:\/\/[^/@\s]*?:)([^@\s]*)(?=@)/i;

const redact = (key: string, value: unknown): unknown => {
  if (typeof value === 'string') {
    if (SECRET_KEY.test(key)) return value === '' ? '' : HIDDEN;
    return value.replace(URL_PASSWORD, `$1${HIDDEN}`);
  }
  if (Array.isArray(value)) return value.map((item) => redact(key, item));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, redact(name, item)]));
  }
  return value;
};

/** A copy that may be shown: secrets and passwords within URLs are masked. An empty secret stays visibly empty. */
export const redactedConfig = (config: Config): Record<string, unknown> =>
  redact('', config) as Record<string, unknown>;
