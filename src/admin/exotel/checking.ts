/** Schemas applied to what clients send; failures come as this API's faults. */
import { Ajv, type ErrorObject } from 'ajv';
import type { TSchema } from 'typebox';
import { describeSchemaError, readablePath } from '../../call/routing/problems.js';
import { type ExotelFault, badBody, echo, invalid, missing } from './faults.js';

const ajv = new Ajv({ strict: false, verbose: true });

const faultOf = (error: ErrorObject): ExotelFault => {
  const path = readablePath(error.instancePath);
  const params = error.params as { readonly missingProperty?: string };
  if (error.keyword === 'required') {
    return missing(`${path === '' ? '' : `${path}.`}${params.missingProperty ?? ''}`);
  }
  if (path === '') return badBody('The body must be a JSON object');
  const rule = (error.parentSchema as { readonly rule?: string } | undefined)?.rule;
  if (rule !== undefined) return invalid(`${path} ${rule}`);
  return invalid(echo(describeSchemaError(error).message));
};

/**
 * `rule` of a schema, beside its keywords, ends the sentence that a client is told: `must be ...`.
 * @returns a function that gives the fault of what it is handed, or undefined when the schema fits
 */
export const checker = (schema: TSchema): ((data: unknown) => ExotelFault | undefined) => {
  const validate = ajv.compile(schema);
  return (data) => {
    if (validate(data)) return undefined;
    // The last error is the outermost: of a union, the sentence that names the choices.
    const error = validate.errors?.at(-1);
    return error === undefined ? badBody('The body is not as described') : faultOf(error);
  };
};
