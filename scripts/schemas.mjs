// Writes the JSON Schemas of configuration and routing document from the compiled sources: `npm run schemas`.
import { existsSync, writeFileSync } from 'node:fs';
import { publishedConfigSchema } from '../dist/config/index.js';

const print = (/** @type {unknown} */ schema) => JSON.stringify(schema, null, 2) + '\n';

writeFileSync('config/tandem.schema.json', print(publishedConfigSchema()));

const routing = new URL('../dist/call/routing/schema.js', import.meta.url);
if (existsSync(routing)) {
  const { routingDocumentSchema } = await import(routing.href);
  writeFileSync('config/routing.schema.json', print(routingDocumentSchema));
}
