/** Calls that an account places: somebody is called, and talks with a flow or a bot. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from '../kernel/index.js';
import { checkFlow } from '../call/applets/catalogue.js';
import type { FlowDocument } from '../call/flow/document.js';
import { reason } from '../call/routing/reasons.js';
import type { OriginateRefusal } from '../call/session/originate/order.js';
import { faults } from './answers.js';
import type { AdminDeps } from './deps.js';
import { ApiError } from './errors.js';
import { mayUse } from './principal.js';
import * as s from './schemas.js';

const closed = { additionalProperties: false } as const;
const number = Type.String({ pattern: '^\\+[1-9][0-9]{2,14}$', description: 'E.164' });

const PlaceCallSchema = Type.Object(
  {
    from: Type.String({ ...number, description: 'caller ID: a number of one of the account’s trunks, E.164' }),
    to: Type.String({ minLength: 3, maxLength: 64, description: 'whom to call' }),
    flow: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: 'flow that runs once it is answered' }),
    ),
    stream: Type.Optional(
      Type.Object(
        {
          url: Type.String({ minLength: 6, maxLength: 2048, description: 'ws, wss, or http(s) answering with one' }),
          dialect: Type.Optional(Type.Enum(['exotel', 'twilio', 'plivo', 'jambonz'])),
          sample_rate: Type.Optional(Type.Enum([8000, 16_000, 24_000])),
          custom_parameters: Type.Optional(Type.Record(Type.String(), Type.String())),
        },
        { ...closed, description: 'instead of a flow: the bot to talk with' },
      ),
    ),
    custom: Type.Record(Type.String({ pattern: '^[a-z0-9_]{1,61}$' }), Type.String({ maxLength: 256 }), {
      ...closed,
      default: {},
      maxProperties: 16,
      description: 'readable in the flow as custom.x_NAME',
    }),
    caller_name: Type.Optional(Type.String({ maxLength: 64 })),
    ring_seconds: Type.Optional(Type.Integer({ minimum: 5, maximum: 300 })),
    max_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
    account_sid: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: 'for operators: on whose account' }),
    ),
  },
  closed,
);

const PlacedSchema = Type.Object({ call_id: Type.String(), from: Type.String(), to: Type.String() });

const REFUSALS: { readonly [code in OriginateRefusal]: readonly [status: number, message: string, remedy: string] } = {
  caller_number_unknown: [
    403,
    'from is no number of this account',
    'use a number that is mapped to one of your trunks',
  ],
  flow_unknown: [404, 'there is no such flow', 'GET /api/flows lists them'],
  flow_not_available: [503, 'this node has no media plane', 'ask another node'],
  draining: [503, 'this node takes no new calls', 'ask another node'],
  node_full: [503, 'this node has as many calls as it may have', 'ask again later'],
};

const fault = (status: number, code: string, message: string, remedy: string): ApiError =>
  new ApiError({ status, code, message, remedy });

/** A flow of one bot, made for one call. @throws ApiError where the stream is not understood */
export function flowOfStream(stream: NonNullable<Static<typeof PlaceCallSchema>['stream']>): FlowDocument {
  const checked = checkFlow({
    id: 'stream',
    start: 'bot',
    nodes: {
      bot: { applet: 'voicebot', params: { ...stream }, exits: { next: 'end', failed: 'end' } },
      end: { applet: 'hangup', params: {} },
    },
  });
  if (checked.ok) return checked.value.flow;
  const first = checked.error[0];
  throw fault(400, 'invalid_request', first?.message ?? 'stream is not understood', 'correct the stream');
}

/** SIP's statuses are HTTP's where both have them; what SIP alone has says that the call cannot be made. */
const httpStatus = (sipStatus = 403): number => ([400, 403, 404, 503].includes(sipStatus) ? sipStatus : 403);

const accountOf = (request: FastifyRequest, wished: string | undefined): string => {
  const { accountSid, operator } = request.principal;
  const sid = operator ? (wished ?? accountSid) : accountSid;
  if (sid === undefined) throw fault(400, 'invalid_request', 'account_sid is missing', 'name the account that calls');
  return sid;
};

export const placeCallRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  const { originate, hangUp } = deps;
  if (originate === undefined || hangUp === undefined) return;
  app.post<{ Body: Static<typeof PlaceCallSchema> }>(
    '/api/calls',
    {
      schema: {
        summary: 'Calls somebody, and runs a flow or a bot with whoever answers',
        body: PlaceCallSchema,
        response: { 201: PlacedSchema, ...faults(400, 404, 503) },
      },
    },
    async (request, reply) => {
      const { from, to, flow, stream, custom, caller_name, ring_seconds, max_seconds, account_sid } = request.body;
      if ((flow === undefined) === (stream === undefined))
        throw fault(400, 'invalid_request', 'either flow or stream is needed, and not both', 'name one of them');
      const placed = originate({
        accountSid: accountOf(request, account_sid),
        from,
        to,
        flow: stream === undefined ? (flow as string) : flowOfStream(stream),
        custom,
        callerName: caller_name,
        ringMs: ring_seconds === undefined ? undefined : ring_seconds * 1000,
        maxMs: max_seconds === undefined ? undefined : max_seconds * 1000,
        source: { address: request.ip, port: request.socket.remotePort ?? 0 },
      });
      if (!placed.ok) {
        const [status, message, remedy] = REFUSALS[placed.error];
        throw fault(status, placed.error, message, remedy);
      }
      const { callId, decision } = placed.value;
      if (!decision.accepted) {
        const { sentence, remedy } = reason(decision.reasonCode);
        const message = `${sentence} (call ${callId})`;
        throw fault(httpStatus(decision.sipStatus), decision.reasonCode, message, remedy ?? '');
      }
      return reply.code(201).send({ call_id: callId, from, to: decision.calledNumber.e164 ?? to });
    },
  );
  app.delete<{ Params: Static<typeof s.CallIdSchema> }>(
    '/api/calls/:id',
    { schema: { summary: 'Ends a live call', params: s.CallIdSchema, response: { 204: Type.Null(), ...faults(404) } } },
    async (request, reply) => {
      const call = deps.liveCall(request.params.id);
      if (call === undefined || !mayUse(request, call.accountSid) || !hangUp(request.params.id))
        throw fault(404, 'call_not_found', 'no live call has this id', 'calls that have ended are in the call records');
      return reply.code(204).send();
    },
  );
};
