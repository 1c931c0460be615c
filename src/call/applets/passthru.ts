import { type Static, Type } from '../../kernel/index.js';
import { type NodeRun, type Outcome, defineApplet, exit, fail, wait } from '../flow/applet.js';
import { isTimeZone } from './wallTime.js';
import { type Query, streamQuery, webhookQuery } from './webhookQuery.js';

const Params = Type.Object(
  {
    url: Type.String({ minLength: 8, maxLength: 2048, description: 'http(s); asked by GET' }),
    async: Type.Boolean({ default: false, description: 'tell, and go on at once' }),
    timeout_ms: Type.Integer({ minimum: 100, maximum: 30_000, default: 5000 }),
    stream_as: Type.Union([Type.Literal('fields'), Type.Literal('json')], { default: 'fields' }),
    query: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 1024 }), {
      default: {},
      maxProperties: 32,
      description: 'more parameters: name -> template',
    }),
    time_zone: Type.String({ default: 'Asia/Kolkata', maxLength: 64, description: 'of the times that are told' }),
  },
  { additionalProperties: false },
);
type PassthruParams = Static<typeof Params>;

/** A branch needs a status; of the body a little is kept for the trace. */
const MAX_BYTES = 4096;
/** What the session needs beyond the time that it gives the server. */
const SLACK_MS = 2000;

function ask(run: NodeRun, params: PassthruParams, detached: boolean): string {
  const fetchId = run.newId('fetch');
  const url = run.url(params.url);
  const own: Query = Object.entries(params.query).map(([name, text]) => [name, run.text(text)]);
  run.input('url', url);
  run.input('async', detached);
  run.emit({
    type: 'fetch',
    fetchId,
    method: 'GET',
    url,
    query: [...webhookQuery(run, params.time_zone), ...streamQuery(run, params.stream_as), ...own],
    headers: [],
    timeoutMs: params.timeout_ms,
    maxBytes: MAX_BYTES,
    detached,
  });
  return fetchId;
}

/** Tells a web server about the call; its status chooses the way. */
export const passthru = defineApplet({
  name: 'passthru',
  does: 'Asks a URL about the call: 200 takes exit a, 302 exit b. Asynchronous: tells it and goes on.',
  params: Params,
  exits: (params) =>
    params.async
      ? [{ name: 'next', unwired: 'ends' }]
      : [
          { name: 'a', unwired: 'ends' },
          { name: 'b', unwired: 'ends' },
        ],
  offline: true,
  check(params, report) {
    if (!/^https?:\/\//i.test(params.url) && !params.url.startsWith('{{')) {
      report('url', 'must begin with http:// or https://');
    }
    if (!isTimeZone(params.time_zone)) report('time_zone', `'${params.time_zone}' is no IANA time zone`);
  },
  enter(run, params): Outcome<{ readonly fetchId: string }> {
    if (params.async) {
      ask(run, params, true);
      return exit('next');
    }
    // Nobody is left for whom to branch, but the server is still told.
    if (run.hungUp) {
      ask(run, params, true);
      const ending = { reasonCode: 'caller_hung_up', cause: 16, sipStatus: 487 };
      return { kind: 'end', ending, results: {} };
    }
    const fetchId = ask(run, params, false);
    run.setTimer('limit', params.timeout_ms + SLACK_MS);
    return wait({ fetchId });
  },
  on(run, _params, { data, event }): Outcome<{ readonly fetchId: string }> {
    if (run.isTimer(event, 'limit')) return fail('webhook_timeout', 'the server did not answer in time');
    if (event.type === 'fetchFailed') return fail('webhook_failed', event.reason);
    if (event.type !== 'fetched') return wait(data);
    const { status, body } = event;
    if (status === 200) return exit('a', { status, body });
    if (status === 302) return exit('b', { status, body });
    return fail('webhook_status', `the server answered ${status}`, { status, body });
  },
});
