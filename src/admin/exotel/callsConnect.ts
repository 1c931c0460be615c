/** `POST /v1/Accounts/{sid}/Calls/connect`: calls somebody, and runs a bot or a flow with whoever answers. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, type TSchema, Type } from '../../kernel/index.js';
import type { FlowDocument } from '../../call/flow/document.js';
import { reason } from '../../call/routing/reasons.js';
import type { OriginateRefusal } from '../../call/session/originate/order.js';
import { dateText } from '../../control/index.js';
import { ApiError } from '../errors.js';
import { flowOfStream } from '../placeCalls.js';
import { mayUse } from '../principal.js';
import type { ExotelDeps } from './api.js';
import { checkWith } from './checking.js';
import {
  ExotelError,
  type ExotelFault,
  badBody,
  echo,
  forbidden,
  internal,
  invalid,
  missing,
  notFound,
  tooManyRequests,
  unauthenticated,
  unavailable,
} from './faults.js';
import { installForms } from './formBody.js';
import { RequestLimiter, limitRate } from './rateLimit.js';

const PREFIX = '/v1/Accounts';
const FLOW_URL = /^https?:\/\/[^/?#]+(?:\/[^/?#]+)?\/exoml\/start_voice\/([A-Za-z0-9_.:@-]{1,128})\/?$/;

const text = (description: string, rule: string, limits: object) => Type.String({ ...limits, description, rule });
const choice = <T extends string>(description: string, ...values: T[]) =>
  Type.Optional(Type.Unsafe<T>({ type: 'string', enum: values, description, rule: `must be ${values.join(' or ')}` }));
const seconds = (description: string, pattern: string, rule: string) =>
  Type.Optional(text(description, rule, { pattern }));

const ConnectSchema = Type.Object({
  From: text('whom to call', 'must be a phone number', { pattern: '^\\+?[0-9]{3,20}$' }),
  CallerId: text('a number of the account', 'must be a phone number of the account, in E.164', {
    pattern: '^\\+?[1-9][0-9]{2,14}$',
  }),
  StreamUrl: Type.Optional(
    text('the bot', 'must be a ws or wss URL of less than 600 characters', {
      pattern: '^wss?://[^\\s{}\\u0000-\\u001f]+$',
      maxLength: 599,
    }),
  ),
  StreamType: choice('with StreamUrl', 'bidirectional'),
  StreamName: Type.Optional(
    text('custom parameter stream_name of the bot', 'may have 32 characters at most', { maxLength: 32 }),
  ),
  Url: Type.Optional(
    text('…/exoml/start_voice/{flow_id}, instead of StreamUrl', 'must end in /exoml/start_voice/{flow_id}', {
      maxLength: 2048,
      pattern: FLOW_URL.source,
    }),
  ),
  TimeLimit: seconds(
    'seconds from the answer on',
    '^(?:[1-9][0-9]{0,3}|1[0-3][0-9]{3}|14[0-3][0-9]{2}|14400)$',
    'must be a whole number from 1 to 14400',
  ),
  TimeOut: seconds(
    'seconds to ring',
    '^(?:[5-9]|[1-9][0-9]|[12][0-9]{2}|300)$',
    'must be a whole number from 5 to 300',
  ),
  CustomField: Type.Optional(
    text('custom.x_custom_field of the flow, custom_field of the bot', 'may have 128 characters at most', {
      maxLength: 128,
    }),
  ),
  CallType: choice('no other is known', 'trans'),
  Record: choice('calls are recorded by flows alone', 'true', 'false'),
  RecordingChannels: choice('without effect', 'single', 'dual'),
});

type Connect = Static<typeof ConnectSchema>;

const AnswerSchema = Type.Object({
  Call: Type.Object({
    Sid: Type.String(),
    Status: Type.String(),
    From: Type.String(),
    PhoneNumberSid: Type.String(),
    Direction: Type.String(),
    DateCreated: Type.String({ description: 'UTC' }),
    RecordingUrl: Type.Null(),
  }),
});
const FaultSchema = Type.Object({ RestException: Type.Object({ Status: Type.Integer(), Message: Type.String() }) });

const REFUSALS: { readonly [code in OriginateRefusal]: ExotelFault } = {
  caller_number_unknown: forbidden('CallerId is no phone number of this account'),
  flow_unknown: invalid('Url names no flow of this account'),
  flow_not_available: unavailable('This node has no media plane'),
  draining: unavailable('This node takes no new calls'),
  node_full: unavailable('This node has as many calls as it may have'),
};

/** What is documented and would be missed must not be dropped in silence. @throws ExotelError */
const refuseUnserved = (body: Connect): void => {
  const callback = Object.keys(body).find((name) => name.startsWith('StatusCallback'));
  if (callback !== undefined) {
    const instead = 'leave it out, and read the outcome from the call records or their webhook';
    throw new ExotelError(invalid(`${echo(callback)} is not served: ${instead}`));
  }
  if (body.Record === 'true') {
    throw new ExotelError(invalid('Record is not served: name a flow that records, by Url'));
  }
};

/** The flow's id, or a flow of one bot. @throws ExotelError, ApiError */
const talkOf = ({ StreamUrl, StreamType, StreamName, CustomField, Url }: Connect): string | FlowDocument => {
  if (StreamUrl !== undefined && Url !== undefined) {
    throw new ExotelError(invalid('StreamUrl and Url exclude each other'));
  }
  if (Url !== undefined) {
    const other = StreamType !== undefined ? 'StreamType' : StreamName !== undefined ? 'StreamName' : undefined;
    if (other !== undefined) throw new ExotelError(invalid(`${other} goes with StreamUrl, not with Url`));
    return FLOW_URL.exec(Url)?.[1] ?? '';
  }
  if (StreamUrl === undefined) throw new ExotelError(missing('StreamUrl or Url'));
  if (StreamType === undefined) throw new ExotelError(missing('StreamType'));
  return flowOfStream({
    url: StreamUrl,
    dialect: 'exotel',
    // By reference: what a client sends is text, and no template.
    custom_parameters: {
      ...(StreamName === undefined ? {} : { stream_name: '{{custom.x_stream_name}}' }),
      ...(CustomField === undefined ? {} : { custom_field: '{{custom.x_custom_field}}' }),
    },
  });
};

const milliseconds = (wholeSeconds: string | undefined): number | undefined =>
  wholeSeconds === undefined ? undefined : Number(wholeSeconds) * 1000;

/** Mounts the route, where calls can be placed at all. */
export const callsConnectRoute = (app: FastifyInstance, deps: ExotelDeps): void => {
  if (deps.originate === undefined) return;
  void app.register(
    (scope, _options, done) => {
      installForms(scope);
      checkWith(scope, badBody('A form is needed'));
      installFaults(scope, deps);
      installAdmission(scope, deps);
      scope.post<{ Body: Connect }>(
        '/:account_sid/Calls/connect',
        {
          schema: {
            summary: 'Calls somebody, and runs a bot or a flow with whoever answers',
            consumes: ['application/x-www-form-urlencoded', 'multipart/form-data'],
            body: ConnectSchema,
            response: { 200: AnswerSchema, ...answersOf(400, 401, 403, 404, 415, 429, 503) },
          },
        },
        async (request) => connect(request, deps),
      );
      done();
    },
    { prefix: PREFIX },
  );
};

const answersOf = (...statuses: number[]): { readonly [status: number]: TSchema } =>
  Object.fromEntries(statuses.map((status) => [status, FaultSchema]));

const connect = (request: FastifyRequest<{ Body: Connect }>, deps: ExotelDeps): Static<typeof AnswerSchema> => {
  const { body } = request;
  refuseUnserved(body);
  const from = body.CallerId.startsWith('+') ? body.CallerId : `+${body.CallerId}`;
  const placed = deps.originate?.({
    accountSid: (request.params as { account_sid: string }).account_sid,
    from,
    to: body.From,
    flow: talkOf(body),
    custom: {
      ...(body.StreamName === undefined ? {} : { stream_name: body.StreamName }),
      ...(body.CustomField === undefined ? {} : { custom_field: body.CustomField }),
    },
    ringMs: milliseconds(body.TimeOut),
    maxMs: milliseconds(body.TimeLimit),
    source: { address: request.ip, port: request.socket.remotePort ?? 0 },
  });
  if (placed === undefined) throw new ExotelError(internal());
  if (!placed.ok) throw new ExotelError(REFUSALS[placed.error]);
  const { callId, decision } = placed.value;
  if (!decision.accepted) throw new ExotelError(refused(callId, decision.reasonCode, decision.sipStatus));
  return {
    Call: {
      Sid: callId,
      Status: 'in-progress',
      From: body.From,
      PhoneNumberSid: from,
      Direction: 'outbound-api',
      DateCreated: dateText(deps.clock.wallMs()).slice(0, 19).replace('T', ' '),
      RecordingUrl: null,
    },
  };
};

/** The decision of routing against the call: its record has the rest. */
const refused = (callId: string, code: Parameters<typeof reason>[0], sipStatus: number | undefined): ExotelFault => {
  const said = `${reason(code).sentence} (${code}, call ${callId})`;
  if (sipStatus === 503) return unavailable(said);
  return sipStatus === 403 ? forbidden(said) : invalid(said);
};

/** Account of the path and rate, before the body is looked at. */
const installAdmission = (scope: FastifyInstance, deps: ExotelDeps): void => {
  const limiter = new RequestLimiter(deps.clock);
  scope.addHook('onRequest', async (request, reply) => {
    const { accountSid } = request.principal;
    if (accountSid === undefined) throw new ExotelError(unauthenticated());
    const waitSeconds = limitRate(limiter, accountSid, reply, deps.clock);
    if (waitSeconds > 0) throw new ExotelError(tooManyRequests(limiter.limit, waitSeconds));
    const { account_sid } = request.params as { account_sid: string };
    if (mayUse(request, account_sid) && deps.control.directory().account(account_sid) !== undefined) return;
    throw new ExotelError(notFound('There is no such account'));
  });
};

const installFaults = (scope: FastifyInstance, deps: ExotelDeps): void => {
  const send = (reply: FastifyReply, { status, description }: ExotelFault): FastifyReply =>
    reply.code(status).send({ RestException: { Status: status, Message: description } });
  scope.setErrorHandler((error: FastifyError | ExotelError | ApiError, request, reply) => {
    if (error instanceof ExotelError) return send(reply, error.fault);
    if (error instanceof ApiError) {
      const { status, message } = error.fault;
      return send(reply.headers(error.headers), { ...internal(), status, description: message });
    }
    const { code, statusCode = 500 } = error;
    const form = 'Content-Type must be application/x-www-form-urlencoded or multipart/form-data';
    if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return send(reply, badBody(form, 415));
    if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return send(reply, badBody('The body may have 64 kB at most', 413));
    if (statusCode < 500) return send(reply, badBody('The request cannot be read'));
    deps.onError(error, request.url);
    return send(reply, internal());
  });
};
