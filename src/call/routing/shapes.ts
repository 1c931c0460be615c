/** JSON Schemas of the routing resources: one source for files, Redis and the API. */
import { type Static, Type } from 'typebox';
import { FlowDocumentSchema } from '../flow/document.js';
import type { Account, Carrier, Flow, NetworkGroup, PhoneNumber, Trunk } from './resources.js';

const closed = { additionalProperties: false } as const;
const id = (description: string) =>
  Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9_.:@-]+$', description });
const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const count = Type.Integer({ minimum: 0, maximum: 65535 });
const digits = (max: number) => Type.String({ pattern: '^[0-9]*$', maxLength: max });
const price = Type.String({
  pattern: '^[0-9]{1,9}(\\.[0-9]{1,6})?$',
  description: 'major units per minute, for example 0.0125',
});

export const IpRangeSchema = Type.Object(
  {
    ip: Type.String({ minLength: 2, maxLength: 45, description: 'IPv4 or IPv6 address' }),
    mask: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 128, description: 'prefix length; default: the whole address' }),
    ),
  },
  closed,
);

const LimitsSchema = Type.Object(
  {
    calls_per_second: Type.Optional(Type.Number({ minimum: 0, maximum: 100_000 })),
    concurrent_calls: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
  },
  closed,
);

const FailoverSchema = Type.Record(
  Type.String({
    pattern: '^([3-6][0-9]{2}|[3-6]xx|transport_error|ring_timeout|silence|timeout|unresolved_host|invalid_request)$',
  }),
  Type.Union([
    Type.Literal('next'),
    Type.Literal('stop'),
    Type.Object({ rewrite: Type.Integer({ minimum: 400, maximum: 699 }) }, closed),
  ]),
  closed,
);

const CredentialSchema = Type.Object({ user_name: text(64), password: text(128) }, closed);

export const AccountSchema = Type.Object(
  {
    sid: id('account sid'),
    api_keys: Type.Optional(Type.Array(Type.Object({ key: text(128), token: text(256) }, closed))),
  },
  closed,
);

export const CarrierSchema = Type.Object(
  {
    id: id('carrier id'),
    kind: Type.Union([Type.Literal('plivo'), Type.Literal('twilio'), Type.Literal('byo')], { default: 'byo' }),
    nickname: Type.Optional(text(64)),
    source_acl: Type.Array(IpRangeSchema, { default: [] }),
    gateways: Type.Array(
      Type.Object(
        {
          uri: text(300),
          priority: Type.Integer({ ...count, default: 0 }),
          weight: Type.Integer({ ...count, default: 1 }),
        },
        closed,
      ),
      { default: [] },
    ),
    credentials: Type.Optional(CredentialSchema),
    limits: Type.Optional(LimitsSchema),
    failover: Type.Optional(FailoverSchema),
  },
  closed,
);

const trunkFields = {
  trunk_sid: id('trunk sid'),
  account_sid: id('account the trunk belongs to'),
  trunk_name: text(64),
  domain_name: Type.Optional(text(253)),
  status: Type.Union([Type.Literal('active'), Type.Literal('inactive')], { default: 'active' }),
  whitelisted_ips: Type.Array(IpRangeSchema, { default: [] }),
  credentials: Type.Array(CredentialSchema, { default: [] }),
  destination_uris: Type.Array(
    Type.Object(
      {
        destination: text(300),
        priority: Type.Integer({ ...count, default: 0 }),
        weight: Type.Integer({ ...count, default: 1 }),
      },
      closed,
    ),
    { default: [] },
  ),
  settings: Type.Optional(
    Type.Object(
      {
        trunk_external_alias: Type.Optional(text(64)),
        country_code: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,3}$' })),
        national_prefix: Type.Optional(digits(4)),
      },
      closed,
    ),
  ),
  limits: Type.Optional(LimitsSchema),
  failover: Type.Optional(FailoverSchema),
};

export const TrunkSchema = Type.Object(trunkFields, closed);

const numberFields = {
  phone_number: text(32),
  mode: Type.Union([Type.Literal('pstn'), Type.Literal('flow'), Type.Null()], { default: null }),
  flow: Type.Optional(id('flow that answers')),
  carrier: Type.Optional(id('carrier that delivers this number')),
};

export const DocumentNumberSchema = Type.Object(numberFields, closed);
export const PhoneNumberSchema = Type.Object({ ...numberFields, trunk_sid: id('trunk of the number') }, closed);

export const NetworkGroupSchema = Type.Object(
  {
    carrier: id('carrier of the group'),
    country_iso: Type.String({ pattern: '^[A-Z]{2}$' }),
    name: text(128),
    prefixes: Type.Array(Type.String({ pattern: '^[0-9]{1,15}$' })),
    enabled: Type.Boolean({ default: true }),
    inbound_price: Type.Optional(price),
    outbound_price: Type.Optional(price),
    currency: Type.Optional(Type.String({ pattern: '^[A-Z]{3}$' })),
  },
  closed,
);

/** What nodes may hold is each applet's own schema, and checked by `checkFlow`. */
export const FlowSchema = FlowDocumentSchema;

export const DocumentSchema = Type.Object(
  {
    accounts: Type.Array(AccountSchema, { default: [] }),
    carriers: Type.Array(CarrierSchema, { default: [] }),
    trunks: Type.Array(
      Type.Object({ ...trunkFields, phone_numbers: Type.Array(DocumentNumberSchema, { default: [] }) }, closed),
      { default: [] },
    ),
    flows: Type.Array(FlowSchema, { default: [] }),
    network_groups: Type.Array(NetworkGroupSchema, { default: [] }),
  },
  { ...closed, title: 'Tandem routing document' },
);

export type DocumentNumber = Omit<PhoneNumber, 'trunk_sid'>;
export type DocumentTrunk = Trunk & { readonly phone_numbers: readonly DocumentNumber[] };

/** The nested form of design: what files hold and people write. */
export interface RoutingDocument {
  readonly accounts: readonly Account[];
  readonly carriers: readonly Carrier[];
  readonly trunks: readonly DocumentTrunk[];
  readonly flows: readonly Flow[];
  readonly network_groups: readonly NetworkGroup[];
}

/** Fails to compile when a schema and the type of the same name drift apart. */
type Agrees<Schema, Declared> = Schema extends Declared ? true : never;
export type SchemasAgree = [
  Agrees<Static<typeof AccountSchema>, Account>,
  Agrees<Static<typeof CarrierSchema>, Carrier>,
  Agrees<Static<typeof TrunkSchema>, Trunk>,
  Agrees<Static<typeof PhoneNumberSchema>, PhoneNumber>,
  Agrees<Static<typeof NetworkGroupSchema>, NetworkGroup>,
  Agrees<Static<typeof FlowSchema>, Flow>,
  Agrees<Static<typeof DocumentSchema>, RoutingDocument>,
];
export const schemasAgree: SchemasAgree = [true, true, true, true, true, true, true];
