/** Builders of JSON schemas: the schema, and what a compiler of schemas makes of it. */
import { Ajv } from 'ajv';
import t from 'tap';
import { type Static, Type } from '../../src/kernel/index.js';

const closed = { additionalProperties: false };
const Person = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    age: Type.Optional(Type.Integer({ minimum: 0 })),
    role: Type.Enum(['clerk', 'chief']),
    pets: Type.Array(Type.Union([Type.Literal('cat'), Type.Literal(3), Type.Null()]), { maxItems: 2 }),
    notes: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z]+$' }), Type.Number(), closed)),
    extra: Type.Optional(Type.Unknown()),
    tall: Type.Optional(Type.Boolean()),
    raw: Type.Optional(Type.Unsafe<readonly [number, number]>({ type: 'array', items: { type: 'number' } })),
  },
  { ...closed, title: 'Person' },
);
type Person = Static<typeof Person>;

t.test('a schema is a plain object of JSON schema', (t) => {
  t.same(JSON.parse(JSON.stringify(Person)), {
    type: 'object',
    required: ['name', 'role', 'pets'],
    properties: {
      name: { type: 'string', minLength: 1 },
      age: { type: 'integer', minimum: 0 },
      role: { enum: ['clerk', 'chief'] },
      pets: {
        type: 'array',
        items: { anyOf: [{ type: 'string', const: 'cat' }, { type: 'number', const: 3 }, { type: 'null' }] },
        maxItems: 2,
      },
      notes: { type: 'object', patternProperties: { '^[a-z]+$': { type: 'number' } }, additionalProperties: false },
      extra: {},
      tall: { type: 'boolean' },
      raw: { type: 'array', items: { type: 'number' } },
    },
    additionalProperties: false,
    title: 'Person',
  });
  t.same(JSON.parse(JSON.stringify(Type.Record(Type.String(), Type.String()))), {
    type: 'object',
    patternProperties: { '^.*$': { type: 'string' } },
  });
  t.same(Object.keys(Type.Object({ a: Type.Optional(Type.Null()) })), ['type', 'properties'], 'nothing required');
  t.end();
});

t.test('what a schema describes has its type, and passes', (t) => {
  const check = new Ajv({ strict: false }).compile(Person);
  // The compiler knows the types: each of these lines would not build if one were wrong.
  const least: Person = { name: 'Ada', role: 'chief', pets: [] };
  const most: Person = { ...least, age: 36, pets: ['cat', null], notes: { x: 1 }, extra: [], tall: true, raw: [1, 2] };
  // @ts-expect-error: no such role
  const wrong: Person = { name: 'Ada', role: 'queen', pets: [3] };
  // @ts-expect-error: pets are missing
  const lacking: Person = { name: 'Ada', role: 'clerk' };
  t.same(
    [least, most, wrong, lacking].map((person) => check(person)),
    [true, true, false, false],
  );
  t.end();
});

t.test('of a schema that is required, one may be made that is not; the first stays', (t) => {
  const Loose = Type.Partial(Person);
  const nobody: Static<typeof Loose> = {};
  const check = new Ajv({ strict: false }).compile(Loose);
  t.ok(check(nobody));
  t.notOk(check({ name: '' }), 'what is there is checked');
  t.same(Person['required'], ['name', 'role', 'pets']);
  t.equal((Loose as { readonly title?: unknown }).title, 'Person');
  t.same(Type.Object({ a: Person.properties.name, b: Type.Optional(Person.properties.name) })['required'], ['a']);
  t.end();
});
