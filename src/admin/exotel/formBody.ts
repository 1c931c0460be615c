/** Bodies of `application/x-www-form-urlencoded`, as records that schemas can be applied to. */
import type { FastifyInstance } from 'fastify';
import { ExotelError, badBody, echo } from './faults.js';

const MAX_FIELDS = 64;

/** WHATWG URL §5.1. A name that comes twice has no meaning here, and is refused. @throws ExotelError */
const fieldsOf = (text: string): { readonly [name: string]: string } => {
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    // Lists, named `x[]`, may repeat: whoever knows of them reads the last.
    if (fields.has(name) && !name.endsWith('[]')) throw new ExotelError(badBody(`${echo(name)} is there twice`));
    fields.set(name, value);
    if (fields.size > MAX_FIELDS) throw new ExotelError(badBody(`A form may have ${MAX_FIELDS} fields at most`));
  }
  return Object.fromEntries(fields);
};

/** Takes forms, and nothing else, as bodies of the routes of `scope`. */
export const installForms = (scope: FastifyInstance): void => {
  scope.removeAllContentTypeParsers();
  const type = 'application/x-www-form-urlencoded';
  scope.addContentTypeParser(type, { parseAs: 'string' }, async (_request: unknown, body: string | Buffer) =>
    fieldsOf(body.toString()),
  );
};
