/** `/api/document`: the whole routing document, as files have it. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Resource } from '../../call/routing/resources.js';
import { DocumentSchema } from '../../call/routing/schema.js';
import { type Directory, masked, resourcesOf } from '../../control/index.js';
import { ok, Type } from '../../kernel/index.js';
import { faults } from '../answers.js';
import type { AdminDeps } from '../deps.js';
import { changeTo } from './documentBody.js';
import { Pacer } from './pacing.js';
import { IfMatchSchema, publish, tagged } from './publishing.js';

/** Some 120,000 numbers. Parsing its JSON holds the process for some 100 ms; all that follows goes in short turns. */
const BODY_LIMIT = 16 * 1024 * 1024;
/** Numbers written at once. */
const CHUNK = 200;
const tags = ['document'];

export const documentRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.get(
    '/api/document',
    {
      schema: {
        tags,
        summary: "The routing document, or an account's part of it, as a file would hold it; secrets masked",
        response: { 200: DocumentSchema, ...faults() },
      },
    },
    async ({ principal }, reply) => {
      const directory = deps.control.directory();
      const account = principal.operator ? undefined : (principal.accountSid ?? '');
      const text = Readable.from(documentText(directory, account));
      return tagged(reply, directory.revision).type('application/json; charset=utf-8').send(text);
    },
  );
  app.put<{ Body: Record<string, unknown>; Querystring: { note?: string } }>(
    '/api/document',
    {
      bodyLimit: BODY_LIMIT,
      schema: {
        tags,
        summary: 'Makes the document what the body says, as one revision. What it leaves out is deleted',
        headers: IfMatchSchema,
        querystring: Type.Object(
          { note: Type.Optional(Type.String({ maxLength: 500 })) },
          { additionalProperties: false },
        ),
        body: Type.Object({}, { additionalProperties: true, description: 'a routing document: see GET' }),
        response: {
          200: Type.Object({ revision: Type.String(), changes: Type.Integer() }),
          ...faults(400, 404, 409, 412, 413, 415, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { principal, body } = request;
      const account = principal.operator ? undefined : (principal.accountSid ?? '');
      const work = async (directory: Directory) => {
        const change = await changeTo(directory, body, account, new Pacer(deps.clock));
        if (!change.ok) return change;
        const { upserts, deletes } = change.value;
        return ok({ upserts, deletes, result: upserts.length + deletes.length });
      };
      const { revision, result } = await publish(deps, request, work, { note: request.query.note });
      return tagged(reply, revision).send({ revision, changes: result });
    },
  );
};

/** JSON, piece by piece: a million numbers are never held as one text. */
function* documentText(directory: Directory, account: string | undefined): Generator<string> {
  const sections: Record<string, Resource['value'][]> = { accounts: [], carriers: [], flows: [], network_groups: [] };
  const names = { account: 'accounts', carrier: 'carriers', flow: 'flows', network_group: 'network_groups' } as const;
  yield '{';
  let open = '';
  for (const resource of resourcesOf(directory, account)) {
    if (resource.type === 'trunk') break;
    if (resource.type === 'phone_number') continue;
    sections[names[resource.type]]?.push(masked(resource.value));
  }
  for (const [name, values] of Object.entries(sections)) yield `${JSON.stringify(name)}:${JSON.stringify(values)},\n`;
  yield '"trunks":[';
  for (const trunk of account === undefined ? directory.trunks() : directory.trunksOf(account)) {
    const text = JSON.stringify(masked(trunk));
    yield `${open}${text.slice(0, -1)},"phone_numbers":[`;
    open = ',\n';
    yield* numbersText(directory, trunk.trunk_sid);
    yield ']}';
  }
  yield ']}\n';
}

function* numbersText(directory: Directory, trunkSid: string): Generator<string> {
  let chunk: string[] = [];
  let open = '';
  for (const { trunk_sid: _trunk, ...number } of directory.numbersOf(trunkSid)) {
    if (chunk.push(JSON.stringify(number)) < CHUNK) continue;
    yield open + chunk.join(',');
    open = ',';
    chunk = [];
  }
  if (chunk.length > 0) yield open + chunk.join(',');
}
