/** Schemas are compiled when they are needed; here all of them are, strictly, so that a broken one is found. */
import { Ajv } from 'ajv';
import t from 'tap';
import { Type, hearOfSchemas, schemaChecks } from '../../src/kernel/index.js';

let said: string[] = [];
const note = (...words: unknown[]) => void said.push(words.join(' '));
const compilers = new Map<string, Ajv>();

/** What Ajv says of a schema: its error, or its warnings. */
const complaints = (schema: object, options: object): string[] => {
  const key = JSON.stringify(options);
  const ajv = compilers.get(key) ?? new Ajv({ ...options, logger: { log: note, warn: note, error: note } });
  compilers.set(key, ajv);
  said = [];
  try {
    ajv.compile(schema);
  } catch (error) {
    said.push(String(error));
  }
  return said;
};

t.test('every schema of the program is right by the strict rules of the compiler', async (t) => {
  const heard: object[] = [];
  const wrong: unknown[] = [];
  hearOfSchemas((schema, options) => {
    heard.push(schema);
    const found = complaints(schema, options);
    if (found.length > 0) wrong.push({ found, schema });
  });
  t.teardown(() => hearOfSchemas(undefined));
  // What declares schemas as it is loaded has to be loaded now.
  const { configSchema } = await import('../../src/config/schema.js');
  const { DocumentSchema } = await import('../../src/call/routing/schema.js');
  const { FlowDocumentSchema } = await import('../../src/call/flow/document.js');
  const { APPLETS } = await import('../../src/call/applets/catalogue.js');
  const { adminRig } = await import('../support/adminRig.js');
  const rig = await adminRig({ accounts: [] });
  const routes = await rig.ask('GET', '/docs/openapi.json');
  await rig.close();

  for (const { name, params } of APPLETS.values()) t.same(complaints(params, { strict: false }), [], `applet ${name}`);
  t.same(wrong, []);
  for (const schema of [configSchema, DocumentSchema, FlowDocumentSchema]) t.ok(heard.includes(schema));
  const { paths } = routes.body as {
    readonly paths: Record<string, Record<string, { readonly requestBody?: object }>>;
  };
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  const bodies = operations.filter(({ requestBody }) => requestBody !== undefined);
  t.ok(bodies.length > 20 && heard.length > bodies.length, 'those of the routes, too');
});

t.test('what is wrong with a schema is seen', (t) => {
  for (const broken of [
    { type: 'strnig' },
    { minimum: 'one' },
    { properties: { a: 3 } },
    { pattern: '(' },
    { typo: 1 },
  ]) {
    t.not(complaints(broken, {}).length, 0, JSON.stringify(broken));
  }
  t.end();
});

t.test('a check compiles its schema once, fills in defaults and tells what is wrong with the last data', (t) => {
  const schema = Type.Object({ a: Type.Integer({ default: 3 }), b: Type.Optional(Type.String()) });
  const check = schemaChecks({ allErrors: true, useDefaults: true })(schema);
  const data = {};
  t.ok(check(data));
  t.same(data, { a: 3 });
  t.notOk(check({ a: 'x', b: 1 }));
  t.same(
    check.errors.map(({ instancePath, keyword }) => [instancePath, keyword]),
    [
      ['/a', 'type'],
      ['/b', 'type'],
    ],
  );
  t.ok(check({ a: 1 }));
  t.same(check.errors, []);
  t.end();
});
