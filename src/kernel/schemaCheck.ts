/** Checks of data by JSON schemas. Ajv compiles a schema when it is first needed, and is loaded no sooner itself. */
import { createRequire } from 'node:module';
import type { Ajv, ErrorObject, Options, ValidateFunction } from 'ajv';
import type { TSchema } from './schema.js';

export type SchemaError = ErrorObject;

/** @returns whether the data fits; what `useDefaults` fills in is filled in in place */
export interface SchemaCheck {
  (data: unknown): boolean;
  /** What was wrong with the data of the last call; empty when it fitted. */
  readonly errors: SchemaError[];
}

export type SchemaCheckOptions = Pick<
  Options,
  | 'allErrors'
  | 'useDefaults'
  | 'verbose'
  | 'discriminator'
  | 'strict'
  | 'strictRequired'
  | 'allowUnionTypes'
  | 'formats'
>;

/**
 * How Ajv compiles for one start of the process: the schemas are ours and tests have compiled them strictly, so they are
 * not themselves checked; and tidying up the code it generates takes as long as generating it.
 */
const AS_GIVEN: Options = { meta: false, validateSchema: false, strict: false, code: { optimize: false } };

const require = createRequire(import.meta.url);
let hear: ((schema: TSchema, options: SchemaCheckOptions) => void) | undefined;

/** For tests, which compile what nobody has needed yet: hears of every schema that is declared from now on. */
export const hearOfSchemas = (listener: typeof hear): void => {
  hear = listener;
};

/**
 * @param options how data is checked; `strict`, `strictRequired` and `allowUnionTypes` say what tests let a schema be
 * @returns a function that gives the check of a schema
 */
export const schemaChecks = (options: SchemaCheckOptions): ((schema: TSchema) => SchemaCheck) => {
  let ajv: Ajv | undefined;
  const compiler = (): Ajv => (ajv ??= new (require('ajv') as typeof import('ajv')).Ajv({ ...options, ...AS_GIVEN }));
  return (schema) => {
    hear?.(schema, options);
    let validate: ValidateFunction | undefined;
    const check = (data: unknown): boolean => {
      validate ??= compiler().compile(schema);
      const fits = validate(data);
      check.errors = validate.errors ?? [];
      return fits;
    };
    check.errors = [] as SchemaError[];
    return check;
  };
};
