import { Type } from '../../kernel/index.js';
import { defineApplet, wait } from '../flow/applet.js';

/** Q.850 causes of the rejections that people choose; others are 21, call rejected. */
const CAUSES: { readonly [status: number]: number } = { 404: 1, 480: 18, 486: 17, 503: 41, 600: 17, 603: 21 };

/** Refuses the call without ever answering it. */
export const reject = defineApplet({
  name: 'reject',
  does: 'Refuses the call with a SIP status; an answered call is hung up.',
  params: Type.Object(
    { status: Type.Integer({ minimum: 400, maximum: 699, default: 603 }) },
    { additionalProperties: false },
  ),
  exits: () => [],
  isEnd: true,
  enter(run, { status: sipStatus }) {
    run.input('status', sipStatus);
    return {
      kind: 'end',
      ending: { reasonCode: 'flow_reject', cause: CAUSES[sipStatus] ?? 21, sipStatus },
      results: {},
    };
  },
  on: (_run, _params, { data }) => wait(data),
});
