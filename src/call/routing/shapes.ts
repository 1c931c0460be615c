/** JSON Schemas of the routing resources: one source for files, Redis and the API. */
import { type Static, Type } from '../../kernel/index.js';
import { FlowDocumentSchema } from '../flow/document.js';
import type { Account, Carrier, Flow, NetworkGroup, PhoneNumber, Trunk } from './resources.js';
import { SipSettingsSchema } from './sipShape.js';

const closed = { additionalProperties: false } as const;
const id = (description: string) =>
  Type.String({ minLength: 1, maxLength: 128, pattern: '^[A-Za-z0-9_.:@-]+$', description });
const text = (maxLength: number) => Type.String({ minLength: 1, maxLength });
const count = Type.Integer({ minimum: 0, maximum: 65535 });
const digits = (max: number) => Type.String({ pattern: '^[0-9]*$', maxLength: max });
const money = (description: string) => Type.String({ pattern: '^[0-9]{1,9}(\\.[0-9]{1,6})?$', description });
const currency = Type.String({ pattern: '^[A-Z]{3}$' });
const digit = (min: number, max: number) => Type.String({ pattern: `^[0-9]{${min},${max}}$` });
const date = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' });

const dates = { date_created: Type.Optional(date), date_updated: Type.Optional(date) };
const listed = {
  id: Type.Optional(id('id of the entry; default: derived from what it holds')),
  friendly_name: Type.Optional(text(64)),
  ...dates,
};

const MoneySchema = Type.Object({ amount: money('major units'), currency }, closed);

const rate = {
  inbound_price: Type.Optional(money('major units per minute, for example 0.0125')),
  outbound_price: Type.Optional(money('major units per minute, for example 0.0125')),
  currency: Type.Optional(currency),
  setup_fee: Type.Optional(money('major units per answered call')),
  minimum_charge: Type.Optional(money('least charge of an answered call, major units')),
  first_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600, description: 'first pulse; default 60' })),
  next_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600, description: 'later pulses; default 60' })),
};

const MediaSettingsSchema = Type.Object(
  {
    codecs: Type.Optional(
      Type.Array(Type.Union([Type.Literal('PCMU'), Type.Literal('PCMA'), Type.Literal('L16'), Type.Literal('opus')]), {
        minItems: 1,
        maxItems: 4,
      }),
    ),
    srtp: Type.Optional(Type.Union([Type.Literal('off'), Type.Literal('optional'), Type.Literal('mandatory')])),
    nat: Type.Optional(Type.Boolean()),
    ptime_ms: Type.Optional(Type.Integer({ minimum: 10, maximum: 60, multipleOf: 10 })),
    timeout_seconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
  },
  closed,
);

const IpRangeSchema = Type.Object(
  {
    ip: Type.String({ minLength: 2, maxLength: 45, description: 'IPv4 or IPv6 address' }),
    mask: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 128, description: 'prefix length; default: the whole address' }),
    ),
    ...listed,
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

const CredentialSchema = Type.Object({ user_name: text(64), password: text(128), ...listed }, closed);

const ApiKeySchema = Type.Object(
  {
    key: text(128),
    token: Type.Optional(text(256)),
    token_hash: Type.Optional(Type.String({ pattern: '^sha256:[0-9a-f]{32}:[0-9a-f]{64}$' })),
    scope: Type.Optional(Type.Union([Type.Literal('read'), Type.Literal('write'), Type.Literal('admin')])),
    ...listed,
  },
  closed,
);

export const AccountSchema = Type.Object(
  {
    sid: id('account sid'),
    name: Type.Optional(text(128)),
    api_keys: Type.Optional(Type.Array(ApiKeySchema)),
    limits: Type.Optional(LimitsSchema),
    carrier_order: Type.Optional(Type.Union([Type.Literal('priority'), Type.Literal('least_cost')])),
    carriers: Type.Optional(Type.Array(id('carrier'), { maxItems: 64 })),
    disabled_network_groups: Type.Optional(Type.Array(text(300))),
    prefix_mode: Type.Optional(Type.Union([Type.Literal('open'), Type.Literal('allow_only_listed')])),
    byo_enabled: Type.Optional(Type.Boolean()),
    spend_per_day: Type.Optional(MoneySchema),
    ...dates,
  },
  closed,
);

const RegisterSchema = Type.Object(
  {
    registrar: text(300),
    user: Type.Optional(text(64)),
    domain: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._:\\[\\]-]+$', maxLength: 253 })),
    contact_user: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9._+-]+$', maxLength: 64 })),
    expires_seconds: Type.Optional(Type.Integer({ minimum: 30, maximum: 86_400 })),
  },
  closed,
);

export const CarrierSchema = Type.Object(
  {
    id: id('carrier id'),
    kind: Type.Union([Type.Literal('plivo'), Type.Literal('twilio'), Type.Literal('byo')], { default: 'byo' }),
    account_sid: Type.Optional(id('account that brought the carrier along')),
    nickname: Type.Optional(text(64)),
    source_acl: Type.Array(IpRangeSchema, { default: [] }),
    gateways: Type.Array(
      Type.Object(
        {
          uri: text(300),
          priority: Type.Integer({ ...count, default: 0 }),
          weight: Type.Integer({ ...count, default: 1 }),
          tech_prefix: Type.Optional(Type.String({ pattern: '^[0-9*#]{1,16}$' })),
          number_style: Type.Optional(
            Type.Union([Type.Literal('e164'), Type.Literal('digits'), Type.Literal('national')]),
          ),
          country_code: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,3}$' })),
        },
        closed,
      ),
      { default: [] },
    ),
    credentials: Type.Optional(
      Type.Object({ user_name: text(64), password: text(128), realm: Type.Optional(text(128)) }, closed),
    ),
    limits: Type.Optional(LimitsSchema),
    failover: Type.Optional(FailoverSchema),
    priority: Type.Optional(count),
    weight: Type.Optional(count),
    flat_rate: Type.Optional(Type.Object(rate, closed)),
    identity: Type.Optional(
      Type.Object(
        { p_asserted_identity: Type.Optional(Type.Boolean()), diversion: Type.Optional(Type.Boolean()) },
        closed,
      ),
    ),
    media: Type.Optional(MediaSettingsSchema),
    sip: Type.Optional(SipSettingsSchema),
    register: Type.Optional(RegisterSchema),
    ...dates,
  },
  closed,
);

const trunkFields = {
  trunk_sid: id('trunk sid'),
  account_sid: id('account the trunk belongs to'),
  trunk_name: text(64),
  domain_name: Type.Optional(text(253)),
  status: Type.Union([Type.Literal('active'), Type.Literal('inactive')], { default: 'active' }),
  nso_code: Type.Optional(text(64)),
  auth_type: Type.Optional(text(64)),
  whitelisted_ips: Type.Array(IpRangeSchema, { default: [] }),
  credentials: Type.Array(CredentialSchema, { default: [] }),
  destination_uris: Type.Array(
    Type.Object(
      {
        destination: text(300),
        priority: Type.Integer({ ...count, default: 0 }),
        weight: Type.Integer({ ...count, default: 1 }),
        ...listed,
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
        caller_id: Type.Optional(Type.Union([Type.Literal('reject'), Type.Literal('replace'), Type.Literal('pass')])),
      },
      closed,
    ),
  ),
  limits: Type.Optional(LimitsSchema),
  failover: Type.Optional(FailoverSchema),
  allow_prefixes: Type.Optional(Type.Array(digit(1, 15), { maxItems: 1000 })),
  deny_prefixes: Type.Optional(Type.Array(digit(1, 15), { maxItems: 1000 })),
  spend_per_day: Type.Optional(MoneySchema),
  media: Type.Optional(MediaSettingsSchema),
  sip: Type.Optional(SipSettingsSchema),
  ...dates,
};

export const TrunkSchema = Type.Object(trunkFields, closed);

/** The `@` and digits of a version make a flow id of it. */
export const AgentVersionSchema = Type.Object(
  {
    agent_id: Type.String({ pattern: '^[A-Za-z0-9_.:@-]{1,116}$', description: 'id of the flow that is the agent' }),
    version: Type.Integer({ minimum: 0, maximum: 2 ** 31, description: 'a published one' }),
  },
  closed,
);

const numberFields = {
  phone_number: text(32),
  mode: Type.Union([Type.Literal('pstn'), Type.Literal('flow'), Type.Null()], { default: null }),
  flow: Type.Optional(id('flow that answers')),
  inbound_agent: Type.Optional(AgentVersionSchema),
  outbound_agent: Type.Optional(AgentVersionSchema),
  carrier: Type.Optional(id('carrier that delivers this number')),
  status: Type.Optional(Type.Union([Type.Literal('pending'), Type.Literal('active'), Type.Literal('unavailable')])),
  ...listed,
};

const DocumentNumberSchema = Type.Object(numberFields, closed);
export const PhoneNumberSchema = Type.Object({ ...numberFields, trunk_sid: id('trunk of the number') }, closed);

export const NetworkGroupSchema = Type.Object(
  {
    carrier: id('carrier of the group'),
    country_iso: Type.String({ pattern: '^[A-Z]{2}$' }),
    name: text(128),
    prefixes: Type.Array(Type.String({ pattern: '^[0-9]{1,15}$' })),
    enabled: Type.Boolean({ default: true }),
    ...rate,
    ...dates,
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
