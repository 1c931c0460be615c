/** `GET /v1/Accounts/{sid}/ActiveStreams`: how many streams to bots run, as XML, in the manner of Exotel's first API. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import { Type } from '../../kernel/index.js';
import { ApiError } from '../errors.js';
import { mayUse } from '../principal.js';
import type { ExotelDeps } from './api.js';
import { ExotelError, type ExotelFault, internal, notFound, tooManyRequests, unauthenticated } from './faults.js';
import { RequestLimiter, limitRate } from './rateLimit.js';

const PREFIX = '/v1/Accounts';
const XML = 'application/xml; charset=utf-8';

const ESCAPES: { readonly [character: string]: string } = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string): string => text.replace(/[&<>"]/g, (character) => ESCAPES[character] as string);

const documentOf = (content: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<TwilioResponse>\n${content}\n</TwilioResponse>\n`;

const exception = ({ status, description }: ExotelFault): string =>
  documentOf(
    ` <RestException>\n  <Status>${status}</Status>\n  <Message>${escaped(description)}</Message>\n </RestException>`,
  );

/** Calls on this node that stream audio to a bot. */
const activeStreams = (deps: ExotelDeps, accountSid: string): number => {
  let streams = 0;
  for (const call of deps.liveCalls()) if (call.accountSid === accountSid) streams += call.streams ?? 0;
  return streams;
};

/** Mounts the route. */
export const activeStreamsRoute = (app: FastifyInstance, deps: ExotelDeps): void => {
  void app.register(
    (scope, _options, done) => {
      installFaults(scope, deps);
      const limiter = new RequestLimiter(deps.clock);
      scope.get<{ Params: { readonly account_sid: string } }>(
        '/:account_sid/ActiveStreams',
        { schema: { summary: 'Streams to bots that run now, and how many may', response: { 200: Type.String() } } },
        async (request, reply) => {
          const { accountSid } = request.principal;
          if (accountSid === undefined) throw new ExotelError(unauthenticated());
          const waitSeconds = limitRate(limiter, accountSid, reply, deps.clock);
          if (waitSeconds > 0) throw new ExotelError(tooManyRequests(limiter.limit, waitSeconds));
          const { account_sid } = request.params;
          const account = deps.control.directory().account(account_sid);
          if (account === undefined || !mayUse(request, account_sid)) {
            throw new ExotelError(notFound('There is no such account'));
          }
          const limit = account.limits?.concurrent_calls ?? deps.config.calls.maxCalls;
          const count = activeStreams(deps, account_sid);
          return reply
            .type(XML)
            .serializer(String)
            .send(
              documentOf(
                ` <ActiveStreams>\n  <ActiveStreamCount>${count}</ActiveStreamCount>\n  <ThrottleLimit>${limit}</ThrottleLimit>\n </ActiveStreams>`,
              ),
            );
        },
      );
      done();
    },
    { prefix: PREFIX },
  );
};

const installFaults = (scope: FastifyInstance, deps: ExotelDeps): void => {
  const send = (reply: FastifyReply, fault: ExotelFault): FastifyReply =>
    reply.code(fault.status).type(XML).serializer(String).send(exception(fault));
  scope.setErrorHandler((error: FastifyError | ExotelError | ApiError, request, reply) => {
    if (error instanceof ExotelError) return send(reply, error.fault);
    if (error instanceof ApiError) {
      const { status, message } = error.fault;
      return send(reply.headers(error.headers), { ...internal(), status, description: message });
    }
    deps.onError(error, request.url);
    return send(reply, internal());
  });
};
