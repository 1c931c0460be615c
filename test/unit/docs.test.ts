/** What is written about Tandem agrees with it: generated pages, links, paths, commands, examples, containers. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { describeEndings } from '../../src/call/bridge/endingReasons.js';
import { describeTransfers } from '../../src/call/session/transfer/reasons.js';
import { reason } from '../../src/call/routing/reasons.js';
import { DocumentSchema, type RoutingDocument, validateDocument } from '../../src/call/routing/schema.js';
import {
  assertSafeExposure,
  configKeys,
  configSchema,
  loadConfig,
  splitArguments,
  variableOf,
} from '../../src/config/index.js';

/** What scripts/docs.mjs exports. */
interface Generator {
  pages(source: URL): Promise<Record<string, string>>;
  readonly END_REMEDIES: Record<string, unknown>;
  readonly ERROR_CODES: Record<string, unknown>;
  readonly ADMIN_CODES: Record<string, unknown>;
  readonly INNER_CODES: readonly string[];
}

const generator = (await import(pathToFileURL(resolve('scripts/docs.mjs')).href)) as Generator;
const text = (path: string): string => readFileSync(path, 'utf8');

const filesBelow = (folder: string, ending: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));

const PAGES = ['README.md', 'CHANGELOG.md', ...filesBelow('docs', '.md')];
const SOURCES = filesBelow('src', '.ts');

t.test('generated pages are what npm run docs writes', async (t) => {
  const pages = await generator.pages(new URL('../../src/', import.meta.url));
  t.ok(Object.keys(pages).length > 1);
  for (const [path, page] of Object.entries(pages)) t.equal(text(path), page, `${path}: run npm run docs`);
});

t.test('every code that src can give is in docs/errors.md, and no other', async (t) => {
  const { END_REMEDIES, ERROR_CODES, ADMIN_CODES, INNER_CODES } = generator;
  const endings = describeEndings().map((end) => end.code as string);
  const listed = new Set([...endings, ...Object.keys(ERROR_CODES), ...Object.keys(ADMIN_CODES)]);
  const source = SOURCES.map(text).join('\n');
  const given = [...source.matchAll(/\bcode: '([a-z_0-9]+)'/g)].map((match) => match[1] as string);
  const transfers = new Set<string>(describeTransfers().map((one) => one.code));
  const missing = given.filter((code) => !listed.has(code) && !transfers.has(code) && !INNER_CODES.includes(code));
  t.strictSame([...new Set(missing)], [], 'add them to scripts/docs.mjs');
  const told = (code: string): boolean => endings.includes(code) || source.includes(`'${code}'`);
  const unknown = [...listed, ...INNER_CODES].filter((code) => !told(code));
  const idle = Object.keys(END_REMEDIES).filter((code) => !endings.includes(code));
  t.strictSame([...unknown, ...idle], [], 'remove them from scripts/docs.mjs');
});

const slug = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replaceAll(' ', '-');

/** Code blocks hold examples, not prose. */
const prose = (page: string): string => page.replaceAll(/^```[^\n]*\n[\s\S]*?^```/gm, '');

t.test('relative links lead to files, and to headings in them', async (t) => {
  for (const page of PAGES) {
    for (const [, target = ''] of prose(text(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? page : join(dirname(page), file);
      if (!existsSync(path)) t.fail(`${page}: ${target} leads nowhere`);
      else if (anchor !== undefined) {
        const headings = [...prose(text(path)).matchAll(/^#+ (.+)$/gm)].map((match) => slug(match[1] as string));
        t.ok(headings.includes(anchor), `${page}: ${target} is a heading`);
      }
    }
  }
});

t.test('source files that pages name exist', async (t) => {
  for (const page of PAGES) {
    for (const [, path = ''] of prose(text(page)).matchAll(/`([\w./-]+\/[\w.-]+\.(?:ts|mjs|yaml|json|lua))`/g)) {
      const found = [path, join('src', path), page.replace(/^docs\/(\w+)\.md$/, `src/$1/${path}`)].some(existsSync);
      t.ok(found, `${page}: ${path}`);
    }
  }
});

t.test('each folder of src has a page that README and architecture name', async (t) => {
  const folders = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of folders) {
    t.ok(existsSync(`docs/${name}.md`), `docs/${name}.md`);
    t.ok(text('README.md').includes(`docs/${name}.md`), `README names docs/${name}.md`);
    t.ok(text('docs/architecture.md').includes(`(${name}.md)`), `architecture names ${name}.md`);
  }
});

t.test('commands that pages name exist', async (t) => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  const tables = text('src/main.ts').matchAll(/(?:VERBS|STANDALONE): .*= \{([^}]*)\}/g);
  const verbs = [...tables].flatMap(([, table = '']) => table.split(',').map((verb) => verb.split(':')[0]?.trim()));
  t.ok(verbs.includes('start'));
  for (const page of PAGES) {
    for (const [, script = ''] of text(page).matchAll(/\bnpm run ([\w:-]+)/g)) {
      t.ok(script in scripts, `${page}: npm run ${script}`);
    }
    for (const [, verb = ''] of text(page).matchAll(/\bnode dist\/main\.js ([a-z]+)/g)) {
      t.ok(verbs.includes(verb), `${page}: node dist/main.js ${verb}`);
    }
  }
});

t.test('README shows the commands that start prints', async (t) => {
  const printed = [...text('src/cli/start.ts').matchAll(/^ +' +(node dist\/main\.js .+)',$/gm)];
  t.equal(printed.length, 4);
  for (const [, command = ''] of printed) t.ok(text('README.md').includes(`\n${command}\n`), command);
});

t.test('the examples of the routing document are valid, and every key is described', async (t) => {
  const page = text('docs/routing-document.md');
  const examples = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map((match) => match[1] as string);
  t.ok(examples.length > 0);
  for (const example of examples) {
    const checked = validateDocument(parse(example));
    t.ok(checked.ok, checked.ok ? 'valid' : JSON.stringify(checked.error));
  }
  const keys = new Set<string>();
  const collect = (node: { properties?: Record<string, object>; items?: object; anyOf?: object[] }): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      keys.add(key);
      collect(child);
    }
    if (node.items !== undefined) collect(node.items);
  };
  collect(DocumentSchema);
  for (const key of keys) t.ok(page.includes(`\`${key}\``), `${key} is described`);
});

t.test('every key of the configuration has a row', async (t) => {
  const page = text('docs/configuration.md');
  for (const key of configKeys.keys()) t.ok(page.includes(`| \`${key}\` |`) && page.includes(variableOf(key)), key);
  for (const section of Object.keys(configSchema.properties)) t.ok(page.includes(`\n### ${section}\n`), section);
});

t.test('refusals in life-of-a-call have the status that they really have', async (t) => {
  const rows = prose(text('docs/life-of-a-call.md')).matchAll(/\b([34-6]\d\d) `([a-z_]+)`/g);
  let seen = 0;
  for (const [, status, code = ''] of rows) {
    const isEnding = describeEndings().some((end) => end.code === code);
    if (isEnding && code !== 'trunk_has_no_destination') continue;
    t.equal(String(reason(code as Parameters<typeof reason>[0]).sipStatus), status, code);
    seen++;
  }
  t.ok(seen > 10);
});

// ------------------------------------------------------------------------------------------------------- containers

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly environment?: Record<string, string>;
  readonly depends_on?: Record<string, unknown>;
  readonly networks: Record<string, { readonly ipv4_address?: string }>;
  readonly volumes?: readonly string[];
}

interface Compose {
  readonly services: Record<string, Service>;
  readonly networks: Record<string, unknown>;
  readonly volumes: Record<string, unknown>;
}

const words = { type: 'array', items: { type: 'string' } };
const named = (value: object) => ({ type: 'object', additionalProperties: value });
const closed = (properties: object, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const duration = { type: 'string', pattern: '^\\d+(?:ms|s|m|h)$' };
const address = { type: 'string', format: 'ipv4' };

/** The part of the Compose file format that docker-compose.yml may use. */
const COMPOSE = {
  ...closed(
    {
      name: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]*$' },
      services: named(
        Object.assign(
          closed(
            {
              image: { type: 'string', minLength: 1 },
              build: { anyOf: [{ type: 'string' }, closed({ context: { type: 'string' } }, ['context'])] },
              command: words,
              entrypoint: words,
              environment: named({ type: 'string' }),
              ports: { type: 'array', items: { type: 'string', pattern: '^[0-9.:]+(?:/(?:udp|tcp))?$' } },
              volumes: { type: 'array', items: { type: 'string', pattern: '^[^:]+:/[^:]+(?::ro)?$' } },
              networks: named(closed({ ipv4_address: address })),
              profiles: { ...words, minItems: 1 },
              depends_on: named(
                closed(
                  { condition: { enum: ['service_started', 'service_healthy', 'service_completed_successfully'] } },
                  ['condition'],
                ),
              ),
              healthcheck: closed(
                {
                  test: { ...words, minItems: 2 },
                  interval: duration,
                  timeout: duration,
                  start_period: duration,
                  retries: { type: 'integer', minimum: 1 },
                },
                ['test'],
              ),
              restart: { enum: ['no', 'always', 'on-failure', 'unless-stopped'] },
              stop_grace_period: duration,
            },
            ['networks'],
          ),
          { anyOf: [{ required: ['image'] }, { required: ['build'] }] },
        ),
      ),
      networks: named(
        closed({
          ipam: closed({
            config: { type: 'array', items: closed({ subnet: { type: 'string' }, ip_range: { type: 'string' } }) },
          }),
        }),
      ),
      volumes: named({ type: 'object' }),
    },
    ['services'],
  ),
  patternProperties: { '^x-': {} },
};

const compose = parse(text('docker-compose.yml'), { merge: true }) as Compose;
const tandems = Object.entries(compose.services).filter(([, service]) => service.image === 'tandem:latest');

t.test('docker-compose.yml has the form of a Compose file', async (t) => {
  const ajv = new Ajv({ allErrors: true, strict: false, formats: { ipv4: /^(?:\d{1,3}\.){3}\d{1,3}$/ } });
  const valid = ajv.validate(COMPOSE, compose);
  t.ok(valid, JSON.stringify(ajv.errors));
  t.notOk(ajv.validate(COMPOSE, { services: { a: { image: 'x', networks: {}, port: [] } } }), 'and not every file has');
});

t.test('what services of docker-compose.yml refer to exists', async (t) => {
  const addresses: string[] = [];
  for (const [name, service] of Object.entries(compose.services)) {
    for (const other of Object.keys(service.depends_on ?? {})) t.ok(other in compose.services, `${name} -> ${other}`);
    for (const [network, { ipv4_address: own }] of Object.entries(service.networks)) {
      t.ok(network in compose.networks, `${name} -> ${network}`);
      if (own !== undefined) addresses.push(own);
    }
    for (const volume of service.volumes ?? []) {
      const [from = ''] = volume.split(':');
      t.ok(from.startsWith('./') ? existsSync(from) : from in compose.volumes, `${name} -> ${from}`);
    }
  }
  t.equal(new Set(addresses).size, addresses.length, 'each address once');
});

const configOf = (service: Service) => {
  const environment = service.environment ?? {};
  const file = environment['TANDEM_CONFIG']?.replace(/^\/app\//, '');
  const { flags, rest } = splitArguments((service.command ?? []).slice(1));
  return { config: loadConfig({ file, env: environment, flags }), rest };
};

const ownAddress = (service: Service): string | undefined => Object.values(service.networks)[0]?.ipv4_address;

t.test('environment and command of each Tandem in docker-compose.yml are a valid configuration', async (t) => {
  const known = new Set(['TANDEM_CONFIG', ...[...configKeys.keys()].map(variableOf)]);
  const nodes: string[] = [];
  const records: string[] = [];
  for (const [name, service] of tandems) {
    if (service.entrypoint !== undefined) {
      t.ok(service.entrypoint.slice(1).every(existsSync), `${name} runs ${service.entrypoint.join(' ')}`);
      continue;
    }
    for (const variable of Object.keys(service.environment ?? {})) t.ok(known.has(variable), `${name}: ${variable}`);
    const { config, rest } = configOf(service);
    const [verb] = service.command ?? [];
    t.ok(verb === 'start' || verb === 'call', `${name} runs ${verb}`);
    if (verb !== 'start') continue;
    t.strictSame(rest, [], `${name}: flags of the configuration only`);
    nodes.push(config.node.id);
    records.push(config.cdr.path);
    if (config.sip.engine === 'drachtio') continue;
    for (const listen of config.sip.listen) {
      t.ok(listen.includes(`//${ownAddress(service)}:`), `${name} listens on ${listen}, its own address`);
    }
  }
  t.ok(nodes.length >= 4);
  t.equal(new Set(nodes).size, nodes.length, 'each node has its own name');
  t.equal(new Set(records).size, records.length, 'and its own call records');
});

t.test('the routing document of docker-compose.yml is valid and opens nothing', async (t: Test) => {
  const document: unknown = parse(text('config/compose.routing.yaml'));
  const checked = validateDocument(document);
  t.ok(checked.ok, checked.ok ? 'valid' : JSON.stringify(checked.error));
  const config = loadConfig({ file: 'config/compose.yaml', env: {}, flags: ['--admin.listen', '0.0.0.0:8080'] });
  t.doesNotThrow(() => assertSafeExposure(config, document as RoutingDocument));
  const call = compose.services['call'] as Service;
  const from = (document as RoutingDocument).carriers[0]?.source_acl[0]?.ip;
  t.ok(call.command?.includes(`--from=${from}`), 'the call comes from the carrier');
  t.ok(call.command?.includes(`--via=${ownAddress(compose.services['tandem'] as Service)}:5060`), 'to the node');
});

t.test('the image holds what it runs', async (t) => {
  const dockerfile = text('Dockerfile');
  for (const line of dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const path of (line[1] as string).split(' ')) t.ok(existsSync(path), path);
  }
  t.match(dockerfile, /^USER node$/m);
  t.match(dockerfile, /npm ci --omit=dev/);
});
