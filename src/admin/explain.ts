/** `POST /api/explain`: why a call goes where it goes. A call that nobody has made, or one that was. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from '../kernel/index.js';
import { formatDecision } from '../call/routing/explain.js';
import type { CallRequest, Decision } from '../call/routing/decision.js';
import type { Explanation } from '../call/session/explanation.js';
import { formatExplanation, formatPastExplanation } from '../call/session/explanationText.js';
import { type PastExplanation, changedBetween } from '../call/session/pastCall.js';
import { answers } from './answers.js';
import type { AdminDeps } from './deps.js';
import { ApiError } from './errors.js';
import { mayUse } from './principal.js';
import * as s from './schemas.js';

/** `::ffff:192.0.2.1` -> `192.0.2.1`, as the call path sees it. */
const unmapped = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '');

type Ask = Static<typeof s.ExplainRequestSchema>;

export const explainRoutes = (app: FastifyInstance, deps: AdminDeps): void => {
  app.post<{ Body: Ask; Querystring: Static<typeof s.ExplainQuerySchema> }>(
    '/api/explain',
    {
      config: { scope: 'read' },
      schema: {
        summary:
          'What would happen to a call: the decision of the call path. ?format=text or Accept: text/plain for people',
        body: s.ExplainRequestSchema,
        querystring: s.ExplainQuerySchema,
        response: answers(s.ExplanationSchema, 400, 404, 413, 415),
      },
    },
    async (request, reply) => {
      const asText = request.query.format === 'text' || request.headers.accept?.startsWith('text/plain') === true;
      const { callId } = request.body;
      if (callId !== undefined) {
        const past = await explainPast(deps, request, callId);
        if (asText) return reply.type('text/plain; charset=utf-8').send(formatPastExplanation(past));
        return reply.send({ ...past, then: flat(past.then), now: flat(past.now) });
      }
      const explained = visibleTo(request, explain(deps, requestOf(request.body)));
      if (!asText) return reply.send(deps.explanation === undefined ? explained.decision : flat(explained));
      const text = deps.explanation === undefined ? formatDecision(explained.decision) : formatExplanation(explained);
      return reply.type('text/plain; charset=utf-8').send(text);
    },
  );
};

const requestOf = ({ from = '', to = '', caller, transport, port, asserted, diverting }: Ask): CallRequest => ({
  sourceAddress: unmapped(from),
  sourcePort: port ?? 5060,
  transport: transport ?? 'udp',
  calledNumber: to,
  callerNumber: caller ?? '',
  assertedNumber: asserted,
  ...(diverting === undefined ? {} : { divertingNumber: diverting }),
});

const BARE = { attempts: [], limitsNow: [], spendNow: [], findings: [] } as const;

function explain(deps: AdminDeps, request: CallRequest): Explanation {
  const decision = deps.explain(request);
  return deps.explanation?.(decision, request) ?? { decision, ...BARE };
}

async function explainPast(deps: AdminDeps, asked: FastifyRequest, callId: string): Promise<PastExplanation> {
  const past = await deps.pastCall?.(callId);
  if (past === undefined || !mayUse(asked, past.decision.accountSid)) {
    throw new ApiError({
      status: 404,
      code: 'call_not_found',
      message: `no call has the id ${callId}`,
      remedy: 'ids stand in call records and log lines; records are kept in cdr.path',
    });
  }
  const { request, decision, startedAt } = past;
  const then = deps.explanation?.(decision, request) ?? { decision, ...BARE };
  const now = explain(deps, request);
  const changed = changedBetween(decision, now.decision);
  return { callId, startedAt, then, now: visibleTo(asked, now), changed };
}

/**
 * An account is told of its own calls; of others' not even that they would be somebody's. What was nearly right may name
 * other accounts, and so may steps that come before it is known whose call it is.
 */
function visibleTo(asked: FastifyRequest, explanation: Explanation): Explanation {
  const { decision } = explanation;
  if (asked.principal.operator) return explanation;
  if (mayUse(asked, decision.accountSid)) return { ...explanation, decision: { ...decision, nearestMiss: undefined } };
  const { accepted, sipStatus, remedy, revision, calledNumber, callerNumber } = decision;
  const reasonCode: Decision['reasonCode'] =
    accepted || decision.accountSid !== undefined ? 'source_not_allowed' : decision.reasonCode;
  const told: Decision = {
    ...EMPTY,
    reasonCode,
    sipStatus: reasonCode === decision.reasonCode ? sipStatus : 403,
    remedy: reasonCode === decision.reasonCode ? remedy : undefined,
    revision,
    calledNumber: { received: calledNumber.received, e164: undefined },
    callerNumber: { received: callerNumber.received, e164: undefined, sent: undefined },
  };
  return { decision: told, ...BARE };
}

const EMPTY = {
  accepted: false,
  nearestMiss: undefined,
  direction: undefined,
  mode: undefined,
  accountSid: undefined,
  trunkSid: undefined,
  carrierId: undefined,
  destinations: [],
  failover: {},
  limits: [],
  steps: [],
} as const;

/** The members of the decision beside those that are told of it. */
const flat = ({ decision, ...rest }: Explanation): object => ({ ...decision, ...rest });
