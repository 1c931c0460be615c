import { type Static, Type } from '../../kernel/index.js';
import { type Outcome, defineApplet, exit, fail, wait } from '../flow/applet.js';

const Params = Type.Object(
  {
    flow: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_.:@-]{1,128}$', description: 'id of a published flow' })),
    refer: Type.Optional(Type.String({ minLength: 5, maxLength: 1024, description: 'SIP URI for the caller to call' })),
    timeout_ms: Type.Integer({ minimum: 1000, maximum: 60_000, default: 30_000, description: 'of a REFER' }),
  },
  { additionalProperties: false },
);

/** Flows come out of the node's own memory, or not at all. */
const LOAD_LIMIT_MS = 5000;

const limitOf = (params: Static<typeof Params>): number =>
  params.flow === undefined ? params.timeout_ms : LOAD_LIMIT_MS;

/** Hands the call to another flow, or the caller to another place (RFC 3515). */
export const transfer = defineApplet({
  name: 'transfer',
  does: 'Hands the call to another flow, or sends the caller elsewhere by REFER.',
  params: Params,
  exits: () => [{ name: 'failed', unwired: 'fails' }],
  needsAnswer: (params) => params.refer !== undefined,
  isEnd: true,
  check(params, report) {
    if ((params.flow === undefined) === (params.refer === undefined))
      report('flow', "must be given, or 'refer', not both");
  },
  enter(run, params): Outcome<{ readonly id: string }> {
    run.setTimer('limit', limitOf(params));
    if (params.flow !== undefined) {
      const transferId = run.newId('transfer');
      run.input('flow', params.flow);
      run.emit({ type: 'transfer', transferId, flowId: params.flow });
      return wait({ id: transferId });
    }
    const referId = run.newId('refer');
    const uri = run.url(params.refer ?? '');
    if (!/^(?:sips?|tel):[!#-;=?-~]+$/i.test(uri)) return fail('refer_invalid', 'the target is no SIP or tel URI');
    run.input('refer', uri);
    run.emit({ type: 'refer', referId, uri });
    return wait({ id: referId });
  },
  on(run, _params, { data, event }): Outcome<{ readonly id: string }> {
    if (run.isTimer(event, 'limit')) return exit('failed', { status: 'timeout' });
    if (event.type === 'flowLoaded') {
      return event.flow === undefined ? exit('failed', { status: 'not_found' }) : { kind: 'flow', flow: event.flow };
    }
    if (event.type !== 'referEnded') return wait(data);
    if (!event.accepted) return exit('failed', { status: 'refused', sip_status: event.sipStatus });
    const ending = { reasonCode: 'transferred', cause: 16, sipStatus: 480 };
    return { kind: 'end', ending, results: { sip_status: event.sipStatus } };
  },
});
