// Writes the JSON Schemas of configuration and routing document from the compiled sources: `npm run schemas`.
import { writeFileSync } from 'node:fs';
import { DocumentSchema } from '../dist/call/routing/schema.js';
import { configSchema, publishedSchema } from '../dist/config/index.js';

const print = (/** @type {unknown} */ schema) => JSON.stringify(schema, null, 2) + '\n';

writeFileSync('config/tandem.schema.json', print(publishedSchema('Tandem configuration', configSchema)));
writeFileSync('config/routing.schema.json', print(publishedSchema('Tandem routing document', DocumentSchema)));
