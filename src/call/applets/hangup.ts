import { Type } from '../../kernel/index.js';
import { defineApplet, wait } from '../flow/applet.js';

/** Ends the call. */
export const hangup = defineApplet({
  name: 'hangup',
  does: 'Ends the call: BYE with a Q.850 cause, or a rejection where the caller was never answered.',
  params: Type.Object(
    {
      cause: Type.Integer({ minimum: 1, maximum: 127, default: 16, description: 'ITU-T Q.850' }),
      status: Type.Integer({ minimum: 400, maximum: 699, default: 480, description: 'for a caller without an answer' }),
    },
    { additionalProperties: false },
  ),
  exits: () => [],
  isEnd: true,
  enter(run, { cause, status: sipStatus }) {
    run.input('cause', cause);
    return { kind: 'end', ending: { reasonCode: 'flow_hangup', cause, sipStatus }, results: {} };
  },
  on: (_run, _params, { data }) => wait(data),
});
