/**
 * The one source of the configuration's shape: the type `Config`, validation, defaults, the environment and flag
 * names and config/tandem.schema.json all come from here. Every key has a default or is optional.
 */
import { type Static, Type } from '../kernel/index.js';
import { overload } from './overloadSchema.js';
import { hostPort, milliseconds, section } from './schemaParts.js';
import { sip } from './sipSchema.js';

/** `next`, `stop`, or an object that names the status to give the caller instead. */
const failoverAction = Type.Unsafe<'next' | 'stop' | { readonly rewrite: number }>({
  description: 'next | stop | {rewrite: STATUS}',
  if: { type: 'object' },
  then: {
    type: 'object',
    properties: { rewrite: { type: 'integer', minimum: 400, maximum: 699 } },
    required: ['rewrite'],
    additionalProperties: false,
  },
  else: { enum: ['next', 'stop'] },
});

const drachtio = section('Lets drachtio-srf programs use the embedded engine. Off unless listen is set', {
  listen: Type.Optional(hostPort('Address of the control port')),
  tlsListen: Type.Optional(hostPort('The same over TLS, with the certificates of sip.tls; beside listen')),
  secret: Type.Optional(Type.String({ description: 'Shared secret that clients must know', minLength: 1 })),
});

const fileStore = Type.Object(
  {
    kind: Type.Literal('file'),
    path: Type.String({
      description: 'Routing document (YAML or JSON); a relative path starts at the folder of the configuration file',
      minLength: 1,
      default: './routing.yaml',
    }),
  },
  { additionalProperties: false },
);

const redisStore = Type.Object(
  {
    kind: Type.Literal('redis'),
    url: Type.String({
      description: 'redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS',
      pattern: '^rediss?://.',
    }),
    prefix: Type.String({ description: 'First part of every key', pattern: '^[^\\s]{1,64}$', default: 'tandem:' }),
    snapshotPath: Type.String({
      description: 'Last good routing table on disk, served from when Redis is out of reach at start',
      minLength: 1,
      default: './var/routing.snapshot.ndjson',
    }),
  },
  { additionalProperties: false },
);

const store = Type.Unsafe<Static<typeof fileStore> | Static<typeof redisStore>>({
  type: 'object',
  description: 'Where the routing document lives: {kind: file, path} or {kind: redis, url, prefix, snapshotPath}',
  discriminator: { propertyName: 'kind' },
  required: ['kind'],
  oneOf: [fileStore, redisStore],
  default: { kind: 'file', path: './routing.yaml' },
});

const calls = section('Bounds and rules of a call', {
  maxSetupMs: milliseconds(
    'Ring timeout: longest time from the first sign of life of one destination to its answer',
    60_000,
  ),
  silenceTimeoutMs: milliseconds('A destination that sends nothing at all for this long is given up', 3000),
  maxCallMs: milliseconds('Answered calls are ended after this long', 14_400_000),
  maxCalls: Type.Integer({
    description: 'Live calls on this node; more are refused with 503',
    minimum: 1,
    default: 10_000,
  }),
  drainSeconds: Type.Integer({
    description: 'On SIGTERM: how long live calls may run on before they are ended',
    minimum: 0,
    maximum: 86_400,
    default: 60,
  }),
  defaultCountryCode: Type.Optional(
    Type.String({ description: 'Country code (digits) that national numbers get', pattern: '^[1-9][0-9]{0,3}$' }),
  ),
  nationalPrefix: Type.String({
    description: 'Trunk prefix that is taken off national numbers before the country code is added',
    pattern: '^[0-9]{0,4}$',
    default: '0',
  }),
  failover: Type.Record(Type.String(), failoverAction, {
    description:
      'Rules over the built-in ones on what a failed attempt leads to, by status (503), class (5xx) or event (transport_error, unresolved_host, silence, ring_timeout). Trunks may have their own',
    default: {},
  }),
  health: section('What is thought of gateways that did not answer: calls try the others first', {
    quarantineMs: milliseconds('How long, at first; each further failure doubles it', 5_000),
    maxQuarantineMs: milliseconds('The longest quarantine; also the most of a Retry-After that is believed', 60_000),
    probeDownMs: milliseconds('OPTIONS to each gateway that is down, this often; 0: a call tries it', 2_000, 0),
    probeAllMs: milliseconds('OPTIONS to every gateway, this often; 0: never', 0, 0),
  }),
  overload,
  unlistedSources: Type.Enum(['reject', 'drop'], {
    description: 'Requests from addresses that no trunk or carrier lists: reject answers 403, drop stays silent',
    default: 'reject',
  }),
  egress: Type.Optional(
    Type.Array(Type.String({ description: 'Address or network, such as 10.1.0.0/16; * for all', minLength: 1 }), {
      description:
        'Networks that are not public and that trunks, carriers of accounts and flows may call nevertheless. Default: none; all where every listener is on loopback',
    }),
  ),
});

const seconds = (description: string, value: number) =>
  Type.Integer({ description, minimum: 10, maximum: 604_800, default: value });

const registrar = section('Users of trunks that register (RFC 3261 §10). Served where a trunk has credentials', {
  enabled: Type.Boolean({ description: 'false: every REGISTER is refused', default: true }),
  minExpiresSeconds: seconds('Shorter registrations get 423', 60),
  maxExpiresSeconds: seconds('Longer ones are shortened', 3600),
  defaultExpiresSeconds: seconds('For those that ask for no time', 3600),
  maxContacts: Type.Integer({ description: 'Contacts of one user', minimum: 1, maximum: 100, default: 10 }),
  maxBindings: Type.Integer({
    description: 'Contacts of all users; more are refused with 503',
    minimum: 1,
    maximum: 1_000_000,
    default: 20_000,
  }),
  path: Type.String({
    description: 'File that registrations outlive a restart in, where the store is a file. Redis keeps its own',
    minLength: 1,
    default: './var/registrations.jsonl',
  }),
});

const fieldNames = (description: string, names: readonly string[]) =>
  Type.Array(
    Type.String({ description: 'Field name; a trailing * matches any rest', pattern: "^[A-Za-z0-9.!%_`'~+-]+\\*?$" }),
    { description, default: [...names] },
  );

const headers = section('Header fields that cross from one leg to the other', {
  pass: fieldNames(
    'Fields copied besides the built-in ones. What routes or identifies a dialog is rebuilt in any case',
    [],
  ),
  strip: fieldNames('Fields that never cross, whatever else says so', ['X-Tandem-*', 'X-Forwarded-*', 'X-Real-IP']),
  diversion: Type.Enum(['pass', 'strip'], {
    description: 'Diversion and History-Info: they name third parties and, often, internal hosts',
    default: 'strip',
  }),
  assertedIdentity: Type.Enum(['outbound', 'never'], {
    description: 'P-Asserted-Identity of our own making: towards carriers only, or never',
    default: 'outbound',
  }),
  hidePrivateHosts: Type.Boolean({
    description: 'Drop values that name private addresses or internal hosts',
    default: true,
  }),
});

const mediaServer = Type.Object(
  {
    address: Type.String({ description: 'Host of the event socket', minLength: 1 }),
    port: Type.Integer({ description: 'Port of the event socket', minimum: 1, maximum: 65_535, default: 8021 }),
    secret: Type.String({ description: 'Password of the event socket', minLength: 1 }),
    profile: Type.String({
      description: 'SIP profile whose dialplan connects calls to us',
      pattern: '^[A-Za-z0-9_-]{1,64}$',
      default: 'drachtio_mrf',
    }),
    listenAddress: Type.Optional(
      Type.String({
        description:
          'Numeric address of ours that the server connects to. Default: 127.0.0.1 for a server on loopback, else media.bindAddress or media.address',
        minLength: 2,
      }),
    ),
    advertisedAddress: Type.Optional(
      Type.String({ description: 'What the server is told instead, where it knows us by another name', minLength: 1 }),
    ),
  },
  { additionalProperties: false },
);

export const configSchema = Type.Object(
  {
    node: section('This process', {
      id: Type.Optional(
        Type.String({
          description: 'Name in CDRs, logs and metrics; default: the host name',
          pattern: '^[A-Za-z0-9._-]{1,64}$',
        }),
      ),
    }),
    sip,
    drachtio,
    store,
    admin: section('Administration: health, metrics, REST', {
      listen: hostPort('HTTP address. Account keys are asked for unless it is a loopback address', {
        default: '127.0.0.1:8080',
      }),
      operators: Type.Array(Type.String({ description: 'Account sid', minLength: 1, maxLength: 128 }), {
        description: 'Accounts whose keys of scope admin see and change the whole node, other accounts included',
        default: [],
      }),
      trunkDomain: Type.String({
        description: 'Trunks made without a domain_name get ACCOUNT.pstn.DOMAIN',
        pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,199}$',
        default: 'example',
      }),
    }),
    cdr: section('Call detail records, JSON lines', {
      path: Type.String({ description: 'Folder of the record files', minLength: 1, default: './var/cdr' }),
      rotateBytes: Type.Integer({
        description: 'A file that has grown to this size is closed and named by its date',
        minimum: 4096,
        default: 67_108_864,
      }),
      rotateDaily: Type.Boolean({ description: 'A new file each day (UTC)', default: true }),
      redis: section('Records to a Redis stream, besides the files. Off unless stream is set', {
        stream: Type.Optional(
          Type.String({ description: 'Name of the stream: entries {callId, record}', pattern: '^[^\\s]{1,256}$' }),
        ),
        url: Type.Optional(
          Type.String({
            description: 'redis://[USER:PASSWORD@]HOST[:PORT][/DB]; default: store.url',
            pattern: '^rediss?://.',
          }),
        ),
        maxLength: Type.Integer({
          description: 'Entries kept, about: the oldest go, read or not',
          minimum: 1000,
          maximum: 100_000_000,
          default: 1_000_000,
        }),
      }),
      webhook: section('Records to a web server, besides the files. Off unless url is set', {
        url: Type.Optional(
          Type.String({ description: 'https, or http on this machine; one POST a record', pattern: '^https?://.' }),
        ),
        secret: Type.Optional(
          Type.String({ description: 'Signs each request: HMAC-SHA256, header Tandem-Signature', minLength: 16 }),
        ),
        batch: Type.Integer({
          description: 'Records of one request; more than 1 come as lines (NDJSON)',
          minimum: 1,
          maximum: 500,
          default: 1,
        }),
        timeoutMs: milliseconds('For one request', 5000),
      }),
    }),
    media: section('Media plane', {
      engine: Type.Enum(['embedded', 'freeswitch'], {
        description: 'Where audio is handled: in this process, or by the media servers of media.freeswitch',
        default: 'embedded',
      }),
      freeswitch: Type.Array(mediaServer, {
        description:
          'Media servers: {address, port, secret, profile, listenAddress, advertisedAddress}. They read and write soundsPath and recordingsPath by the same names as this process',
        default: [],
      }),
      rtpPorts: Type.Unsafe<readonly [number, number]>({
        type: 'array',
        description: 'First and last UDP port for audio',
        items: { type: 'integer', minimum: 1024, maximum: 65_535 },
        minItems: 2,
        maxItems: 2,
        default: [20_000, 29_999],
      }),
      address: Type.String({
        description: 'Numeric address that peers send audio to',
        minLength: 2,
        default: '127.0.0.1',
      }),
      bindAddress: Type.Optional(
        Type.String({ description: "Bound instead, where media.address is not this machine's own", minLength: 2 }),
      ),
      workers: Type.Optional(
        Type.Integer({ description: 'Threads that carry audio. Default: one per core', minimum: 1, maximum: 256 }),
      ),
      timeoutMs: Type.Integer({
        description: 'A caller of a flow of whom nothing is heard for this long counts as lost; 0: never',
        minimum: 0,
        maximum: 86_400_000,
        default: 120_000,
      }),
      egress: Type.Array(Type.String({ description: 'Address or network, such as 10.1.0.0/16', minLength: 2 }), {
        description: 'Networks that are not public and that bots, webhooks and audio of flows may be in nevertheless',
        default: [],
      }),
      soundsPath: Type.String({
        description: 'Folder of the WAV files that flows play by name',
        minLength: 1,
        default: './sounds',
      }),
      recordingsPath: Type.String({ description: 'Folder of recordings', minLength: 1, default: './var/recordings' }),
      recordingsUrl: Type.Optional(
        Type.String({
          description: 'URL of that folder, for those who are told of recordings',
          pattern: '^https?://.',
        }),
      ),
    }),
    calls,
    registrar,
    headers,
    log: section('Logging, JSON lines on standard output', {
      level: Type.Enum(['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
        description: 'info writes one line a call',
        default: 'info',
      }),
    }),
  },
  { title: 'Tandem configuration', additionalProperties: false },
);

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? number extends T['length']
    ? readonly DeepReadonly<E>[]
    : T
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

type Loaded = DeepReadonly<Static<typeof configSchema>>;

/** The configuration as the process uses it: complete, frozen, paths absolute. */
export type Config = Omit<Loaded, 'node'> & { readonly node: { readonly id: string } };
