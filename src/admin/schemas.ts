/** Shapes of requests and answers. */
import { Type } from '../kernel/index.js';

const text = (description: string, maxLength = 128) => Type.String({ description, maxLength });
const orAbsent = (description: string) => Type.Optional(text(description));

export const ErrorSchema = Type.Object({
  error: Type.Object({
    code: text('machine-readable'),
    message: text('what is wrong', 4096),
    remedy: text('what to do about it', 4096),
    revision: orAbsent('the revision that is current'),
  }),
});

export const HealthSchema = Type.Object({
  status: Type.Literal('ok'),
  node: text('node.id'),
  version: text('version'),
});

export const ReadinessSchema = Type.Object({
  ready: Type.Boolean(),
  reasons: Type.Array(text('why not: table_not_loaded, signalling_down, draining')),
});

export const IndexSchema = Type.Object({
  name: text('tandem'),
  version: text('version'),
  routes: Type.Array(
    Type.Object({ method: text('GET or POST'), path: text('path'), summary: text('what it does', 1024) }),
  ),
});

export const ExplainRequestSchema = Type.Object(
  {
    from: Type.Optional(
      Type.String({
        description: 'Address that the INVITE would come from',
        anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }],
      }),
    ),
    to: orAbsent('Number called: user part of the Request-URI'),
    caller: orAbsent("Caller's number: user part of From"),
    transport: Type.Optional(
      Type.Enum(['udp', 'tcp', 'tls', 'ws', 'wss'], { description: 'Transport of the INVITE; default udp' }),
    ),
    port: Type.Optional(Type.Integer({ description: 'Source port; default 5060', minimum: 0, maximum: 65_535 })),
    asserted: orAbsent('User part of P-Asserted-Identity'),
    diverting: orAbsent('User part of Diversion'),
    callId: Type.Optional(
      Type.String({ description: 'A call that was, in place of all else', minLength: 1, maxLength: 128 }),
    ),
  },
  {
    additionalProperties: false,
    anyOf: [
      { required: ['from', 'to'], not: { required: ['callId'] } },
      { required: ['callId'], not: { anyOf: [{ required: ['from'] }, { required: ['to'] }] } },
    ],
  },
);

export const ExplainQuerySchema = Type.Object(
  { format: Type.Enum(['json', 'text'], { description: 'text: for people', default: 'json' }) },
  { additionalProperties: false },
);

/** A decision as JSON: members that do not apply are absent. */
export const DecisionSchema = Type.Object(
  {
    accepted: Type.Boolean(),
    reasonCode: text('why: see docs/errors.md'),
    sipStatus: Type.Optional(Type.Integer({ minimum: 300, maximum: 699 })),
    remedy: Type.Optional(text('what to do about a refusal', 4096)),
    nearestMiss: Type.Optional(text('what almost fitted', 4096)),
    revision: text('revision of the routing table', 256),
    direction: Type.Optional(Type.Enum(['inbound', 'outbound'])),
    mode: Type.Optional(Type.Enum(['pstn', 'flow'])),
    accountSid: orAbsent('account'),
    trunkSid: orAbsent('trunk'),
    carrierId: orAbsent('carrier'),
    calledNumber: Type.Object({ received: text('as it came'), e164: orAbsent('normalised') }),
    callerNumber: Type.Object({
      received: text('as it came'),
      e164: orAbsent('normalised'),
      sent: orAbsent('as sent on'),
    }),
    destinations: Type.Array(
      Type.Object({
        uri: text('Request-URI', 1024),
        gateway: text('as configured', 1024),
        priority: Type.Number(),
        weight: Type.Number(),
        carrierId: orAbsent('carrier of the gateway'),
        rate: Type.Optional(Type.Object({}, { additionalProperties: true })),
        networkGroup: Type.Optional(text('carrier/country/name', 512)),
        prefix: orAbsent('digits that chose the group'),
        maxSeconds: Type.Optional(Type.Integer({ description: "what is left of today's money lasts so long" })),
      }),
    ),
    carriers: Type.Optional(
      Type.Array(
        Type.Object({
          carrierId: text('carrier'),
          reasonCode: text('routed, or why it is left out or comes last'),
          priority: Type.Number(),
          weight: Type.Number(),
        }),
      ),
    ),
    diverting: orAbsent('number that sent the call on'),
    flow: Type.Optional(Type.Object({ id: text('flow'), version: Type.Integer() })),
    inbound: Type.Optional(Type.Object({}, { additionalProperties: true })),
    retryAfterSeconds: Type.Optional(Type.Integer()),
    failover: Type.Object({}, { additionalProperties: true }),
    limits: Type.Array(
      Type.Object({
        key: text('trunk:<sid>, account:<sid> or carrier:<id>', 256),
        callsPerSecond: Type.Optional(Type.Number()),
        concurrentCalls: Type.Optional(Type.Number()),
      }),
    ),
    steps: Type.Array(
      Type.Object({
        step: text('what was looked at'),
        result: Type.Enum(['pass', 'fail', 'info']),
        detail: text('in words', 4096),
        data: Type.Optional(Type.Object({}, { additionalProperties: true })),
      }),
    ),
  },
  { additionalProperties: false },
);

/** The decision, with what would be sent and the room that there is; for a past call, both of its decisions. */
export const ExplanationSchema = Type.Object({}, { additionalProperties: true });

export const CallsQuerySchema = Type.Object(
  {
    limit: Type.String({
      description: 'At most so many calls, up to 1000',
      pattern: '^[1-9][0-9]{0,3}$',
      default: '100',
    }),
  },
  { additionalProperties: false },
);

export const GatewaysSchema = Type.Object({
  gateways: Type.Array(
    Type.Object({
      gateway: text('host, port and transport'),
      state: Type.Enum(['up', 'down', 'trial']),
      cause: orAbsent('what it did last: silence, 503, transport_error'),
      forMs: Type.Optional(Type.Number({ description: 'how long it has been so' })),
      quarantineMs: Type.Optional(Type.Number()),
      lossPercent: Type.Optional(Type.Number({ description: 'part of new calls that it asks us to keep (RFC 7339)' })),
    }),
  ),
});

export const CallIdSchema = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) });

const LiveCallSchema = Type.Object(
  { callId: text('id'), accountSid: Type.Union([Type.String(), Type.Null()]) },
  { additionalProperties: true },
);

export const CallsSchema = Type.Object({
  total: Type.Integer({ description: 'Live calls, shown or not' }),
  calls: Type.Array(LiveCallSchema),
});

export const CallSchema = LiveCallSchema;
export const OpenObjectSchema = Type.Object({}, { additionalProperties: true });
