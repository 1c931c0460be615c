/** Schemas applied to what clients send; failures come as this API's faults. */
import type { FastifyInstance } from 'fastify';
import { type SchemaError, type TSchema, schemaChecks } from '../../kernel/index.js';
import { describeSchemaError, readablePath } from '../../call/routing/problems.js';
import { ExotelError, type ExotelFault, badBody, echo, invalid, missing } from './faults.js';

const checks = schemaChecks({ strict: false, verbose: true });

const faultOf = (error: SchemaError): ExotelFault => {
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
 * Has what clients send to a scope's routes checked.
 * @param absent the fault where nothing was sent at all; default: as the schema has it
 */
export const checkWith = (scope: FastifyInstance, absent?: ExotelFault): void => {
  scope.setValidatorCompiler(({ schema }) => {
    const check = checker(schema as TSchema);
    return (data: unknown) => {
      const fault = absent !== undefined && (data === undefined || data === null) ? absent : check(data);
      return fault === undefined ? { value: data } : { error: new ExotelError(fault) };
    };
  });
};

/**
 * `rule` of a schema, beside its keywords, ends the sentence that a client is told: `must be ...`.
 * @returns a function that gives the fault of what it is handed, or undefined when the schema fits
 */
export const checker = (schema: TSchema): ((data: unknown) => ExotelFault | undefined) => {
  const check = checks(schema);
  return (data) => {
    if (check(data)) return undefined;
    // The last error is the outermost: of a union, the sentence that names the choices.
    const error = check.errors.at(-1);
    return error === undefined ? badBody('The body is not as described') : faultOf(error);
  };
};
