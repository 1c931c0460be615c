/** Bodies of forms, urlencoded or multipart, as records that schemas can be applied to. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ExotelError, badBody, echo } from './faults.js';

const MAX_FIELDS = 64;

/** WHATWG URL §5.1. A name that comes twice has no meaning here, and is refused. @throws ExotelError */
const fieldsOf = (pairs: Iterable<readonly [name: string, value: string]>): { readonly [name: string]: string } => {
  const fields = new Map<string, string>();
  for (const [name, value] of pairs) {
    // Lists, named `x[]`, may repeat: whoever knows of them reads the last.
    if (fields.has(name) && !name.endsWith('[]')) throw new ExotelError(badBody(`${echo(name)} is there twice`));
    fields.set(name, value);
    if (fields.size > MAX_FIELDS) throw new ExotelError(badBody(`A form may have ${MAX_FIELDS} fields at most`));
  }
  return Object.fromEntries(fields);
};

/** RFC 7578, by the parser that Node has for fetch. Files have no meaning here. @throws ExotelError */
const partsOf = async (contentType: string, body: Buffer): Promise<(readonly [string, string])[]> => {
  let form: FormData;
  try {
    form = await new Response(body, { headers: { 'content-type': contentType } }).formData();
  } catch {
    throw new ExotelError(badBody('The multipart form cannot be read'));
  }
  const pairs: (readonly [string, string])[] = [];
  form.forEach((value, name) => {
    if (typeof value !== 'string') throw new ExotelError(badBody(`${echo(name)} is a file`));
    pairs.push([name, value]);
  });
  return pairs;
};

/** Takes forms, and nothing else, as bodies of the routes of `scope`. */
export const installForms = (scope: FastifyInstance): void => {
  scope.removeAllContentTypeParsers();
  const plain = 'application/x-www-form-urlencoded';
  scope.addContentTypeParser(plain, { parseAs: 'string' }, async (_request: unknown, body: string | Buffer) =>
    fieldsOf(new URLSearchParams(body.toString())),
  );
  scope.addContentTypeParser(
    'multipart/form-data',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) =>
      fieldsOf(await partsOf(request.headers['content-type'] ?? '', body)),
  );
};
