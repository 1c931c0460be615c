/**
 * Builders of JSON schemas (draft 7), and the types of what they describe: `Static<typeof Schema>`. A schema is the plain
 * object that is published and compiled; its type is known to the compiler alone.
 */
declare const described: unique symbol;
declare const omissible: unique symbol;

/** A JSON schema of values of type T. */
export interface TSchema<T = unknown> {
  /** For types only: no schema has it. */
  readonly [described]: T;
  readonly [keyword: string]: unknown;
}

/** A property that may be left out. */
export type TOptional<S extends TSchema> = S & { readonly [omissible]: true };

type Properties = { readonly [name: string]: TSchema };

type ObjectOf<P extends Properties> = {
  -readonly [K in keyof P as P[K] extends { readonly [omissible]: true } ? never : K]: Static<P[K]>;
} & {
  -readonly [K in keyof P as P[K] extends { readonly [omissible]: true } ? K : never]?: Static<P[K]>;
};
/** One object type in messages of the compiler, not an intersection. */
type Flat<T> = { [K in keyof T]: T[K] };

/** A schema of objects with these properties. */
export interface TObject<P extends Properties = Properties> extends TSchema<Flat<ObjectOf<P>>> {
  readonly type: 'object';
  readonly properties: P;
  readonly required?: readonly string[];
}

/** The type of the values that a schema describes. */
export type Static<S extends TSchema> = S[typeof described];

/** Any keywords of JSON schema; also those that are ours alone, such as `rule`. */
export interface SchemaOptions {
  readonly [keyword: string]: unknown;
}

const optional = new WeakSet<object>();

const build = <T>(keywords: object, options: SchemaOptions | undefined): TSchema<T> =>
  ({ ...keywords, ...options }) as unknown as TSchema<T>;

const objectOf = <P extends Properties>(properties: P, options?: SchemaOptions): TObject<P> => {
  const required = Object.keys(properties).filter((name) => !optional.has(properties[name] as object));
  const keywords = required.length === 0 ? { type: 'object', properties } : { type: 'object', required, properties };
  return build(keywords, options) as unknown as TObject<P>;
};

const optionalOf = <S extends TSchema>(schema: S): TOptional<S> => {
  const copy = { ...schema } as TOptional<S>;
  optional.add(copy);
  return copy;
};

/** One function for each kind of schema; the last argument has more keywords. */
export const Type = {
  String: (options?: SchemaOptions): TSchema<string> => build({ type: 'string' }, options),
  Number: (options?: SchemaOptions): TSchema<number> => build({ type: 'number' }, options),
  Integer: (options?: SchemaOptions): TSchema<number> => build({ type: 'integer' }, options),
  Boolean: (options?: SchemaOptions): TSchema<boolean> => build({ type: 'boolean' }, options),
  Null: (options?: SchemaOptions): TSchema<null> => build({ type: 'null' }, options),
  Unknown: (options?: SchemaOptions): TSchema => build({}, options),
  Literal: <const V extends string | number | boolean>(value: V, options?: SchemaOptions): TSchema<V> =>
    build({ type: typeof value, const: value }, options),
  Enum: <const V extends readonly (string | number)[]>(values: V, options?: SchemaOptions): TSchema<V[number]> =>
    build({ enum: values }, options),
  Union: <S extends readonly TSchema[]>(anyOf: readonly [...S], options?: SchemaOptions): TSchema<Static<S[number]>> =>
    build({ anyOf }, options),
  Array: <S extends TSchema>(items: S, options?: SchemaOptions): TSchema<Static<S>[]> & { readonly items: S } =>
    build({ type: 'array', items }, options) as TSchema<Static<S>[]> & { readonly items: S },
  /** @param key its `pattern` is what names must match; without: any name */
  Record: <S extends TSchema>(
    key: TSchema<string>,
    value: S,
    options?: SchemaOptions,
  ): TSchema<{ [name: string]: Static<S> }> => {
    const patternProperties = { [typeof key['pattern'] === 'string' ? key['pattern'] : '^.*$']: value };
    return build({ type: 'object', patternProperties }, options);
  },
  /** Members that are not `Optional` are required. */
  Object: objectOf,
  Optional: optionalOf,
  /** The same object with nothing required. */
  Partial: <P extends Properties>(schema: TObject<P>): TObject<{ [K in keyof P]: TOptional<P[K]> }> => {
    const { required: _required, properties, ...rest } = schema as unknown as TObject;
    const loose = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, optionalOf(value)]));
    return { ...rest, properties: loose } as unknown as TObject<{ [K in keyof P]: TOptional<P[K]> }>;
  },
  /** A schema written by hand for values of type T. */
  Unsafe: <T>(schema: SchemaOptions): TSchema<T> => build({}, schema),
} as const;
