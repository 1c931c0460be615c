/** Call records: searched by page, newest first, or one by its call. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Static, Type } from '../kernel/index.js';
import type { QueryAnswer, RecordFilter, RecordQuery } from '../call/record/query/filter.js';
import { answers } from './answers.js';
import type { AdminDeps } from './deps.js';
import { ApiError } from './errors.js';

const text = (description: string, maxLength = 128) =>
  Type.Optional(Type.String({ description, minLength: 1, maxLength }));
const time = (description: string) => Type.Optional(Type.String({ description, minLength: 10, maxLength: 35 }));

const CdrsQuerySchema = Type.Object(
  {
    from: time('calls that began at or after this time, RFC 3339 or a date (UTC)'),
    to: time('calls that began before it'),
    number: text('caller or called, E.164'),
    caller: text('caller, E.164'),
    called: text('called, E.164'),
    account: text('account sid; with an account key always its own'),
    trunk: text('trunk sid'),
    carrier: text('carrier id'),
    direction: Type.Optional(Type.Enum(['inbound', 'outbound'])),
    outcome: Type.Optional(Type.Enum(['answered', 'busy', 'no_answer', 'cancelled', 'rejected', 'failed'])),
    reason: text('reason code'),
    limit: Type.String({
      description: 'records of a page: up to 1000, as CSV up to 10000',
      pattern: '^[1-9][0-9]{0,4}$',
      default: '100',
    }),
    cursor: text('`next` of the page before', 200),
    format: Type.Optional(Type.Enum(['json', 'csv'], { description: 'default: json, or what Accept says' })),
  },
  { additionalProperties: false },
);

const CdrSchema = Type.Object({ callId: Type.String() }, { additionalProperties: true });
const CdrsSchema = Type.Object({
  cdrs: Type.Array(CdrSchema),
  next: Type.Union([Type.String(), Type.Null()], { description: 'cursor of the next page; null on the last' }),
});

const MOST_JSON = 1000;
const MOST_CSV = 10_000;

const fault = (status: number, code: string, message: string, remedy: string): ApiError =>
  new ApiError({ status, code, message, remedy });

const timeOf = (name: string, value: string | undefined): number | undefined => {
  if (value === undefined) return undefined;
  const ms = /^\d{4}-\d\d-\d\d(T[0-9:.]+(Z|[+-]\d\d:\d\d))?$/.test(value) ? Date.parse(value) : NaN;
  if (!Number.isNaN(ms)) return ms;
  throw fault(400, 'invalid_request', `${name} is no time: ${value}`, 'write 2026-11-22 or 2026-11-22T10:00:00Z');
};

/** `+` means a blank in a query string; a number that begins with one was written by hand. */
const numberOf = (value: string | undefined): string | undefined => value?.replace(/^ /, '+');

/** An account sees its own calls, and nothing of others within them. */
const filterOf = (request: FastifyRequest, query: Static<typeof CdrsQuerySchema>): RecordFilter | undefined => {
  const { principal } = request;
  const own = principal.operator ? query.account : principal.accountSid;
  if (!principal.operator && query.account !== undefined && query.account !== own) return undefined;
  const { number, caller, called, trunk, carrier, direction, outcome, reason } = query;
  const wide = {
    fromMs: timeOf('from', query.from),
    toMs: timeOf('to', query.to),
    number: numberOf(number),
    caller: numberOf(caller),
    called: numberOf(called),
    account: own ?? (principal.operator ? undefined : ''),
    ...{ trunk, carrier, direction, outcome, reason },
  };
  return Object.fromEntries(Object.entries(wide).filter(([, value]) => value !== undefined));
};

const found = (answer: QueryAnswer): Extract<QueryAnswer, { ok: true }> => {
  if (answer.ok) return answer;
  if (answer.code === 'cursor_unknown') {
    throw fault(400, 'cursor_unknown', answer.message, 'begin again without a cursor');
  }
  throw fault(503, 'records_not_searched', answer.message, 'try again; narrow the time');
};

const nextUrl = (request: FastifyRequest, cursor: string): string => {
  const url = new URL(request.url, 'http://localhost');
  url.searchParams.set('cursor', cursor);
  return `${url.pathname}${url.search}`;
};

/** Pages are sent as they come from the thread that searched: no record is parsed here. */
const sendPage = (request: FastifyRequest, reply: FastifyReply, csv: boolean, answer: QueryAnswer): FastifyReply => {
  const { body, cursor } = found(answer);
  if (cursor !== undefined) void reply.header('link', `<${nextUrl(request, cursor)}>; rel="next"`);
  if (csv) {
    void reply.header('content-disposition', 'attachment; filename="cdrs.csv"');
    return reply.type('text/csv; charset=utf-8; header=present').send(Buffer.from(body));
  }
  const tail = `],"next":${JSON.stringify(cursor ?? null)}}`;
  return reply
    .type('application/json; charset=utf-8')
    .send(Buffer.concat([Buffer.from('{"cdrs":['), body, Buffer.from(tail)]));
};

export const cdrRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  const search = (query: RecordQuery): Promise<QueryAnswer> => {
    if (deps.searchRecords !== undefined) return deps.searchRecords(query);
    throw fault(404, 'not_found', 'this process keeps no records', 'ask the node that takes the calls');
  };
  app.get<{ Querystring: Static<typeof CdrsQuerySchema> }>(
    '/api/cdrs',
    {
      schema: {
        summary: 'Call records, newest first; ?format=csv or Accept: text/csv for spreadsheets',
        querystring: CdrsQuerySchema,
        response: answers(CdrsSchema, 400, 503),
      },
    },
    async (request, reply) => {
      const { query } = request;
      const format = query.format ?? (request.headers.accept?.startsWith('text/csv') === true ? 'csv' : 'json');
      const csv = format === 'csv';
      const filter = filterOf(request, query);
      const limit = Math.min(csv ? MOST_CSV : MOST_JSON, Number(query.limit));
      const trimmed = !request.principal.operator;
      const nothing: QueryAnswer = { ok: true, body: new Uint8Array(), count: 0, cursor: undefined };
      if (filter === undefined) return sendPage(request, reply, csv, nothing);
      return sendPage(request, reply, csv, await search({ filter, limit, cursor: query.cursor, format, trimmed }));
    },
  );
  app.get<{ Params: { callId: string } }>(
    '/api/cdrs/:callId',
    {
      schema: {
        summary: 'The record of one call',
        params: Type.Object({ callId: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: answers(CdrSchema, 404, 503),
      },
    },
    async (request, reply) => {
      const { callId } = request.params;
      const { operator, accountSid } = request.principal;
      const filter = { callId, ...(operator ? {} : { account: accountSid ?? '' }) };
      const { body, count } = found(await search({ filter, limit: 1, format: 'json', trimmed: !operator }));
      if (count > 0) return reply.type('application/json; charset=utf-8').send(Buffer.from(body));
      const remedy = 'calls that are up are at /api/calls';
      throw fault(404, 'cdr_not_found', `no record is of the call ${callId}`, remedy);
    },
  );
};
