import { Type } from '../../kernel/index.js';
import { defineApplet, exit, fail, wait } from '../flow/applet.js';
import { checkStream, streamBreach, streamEffect, streamFields } from './streaming.js';

/** A one-way copy of what the caller says, going on behind the nodes that follow. It ends with the call. */
export const stream = defineApplet({
  name: 'stream',
  does: 'Sends what the caller says to a WebSocket while the flow goes on; ends with the call.',
  params: Type.Object(streamFields, { additionalProperties: false }),
  exits: () => [{ name: 'next', unwired: 'refused' }],
  needsAnswer: () => true,
  check: checkStream,
  enter(run, params) {
    if (run.backgroundStreams >= MAX_FORKS) return fail('too_many_streams', `more than ${MAX_FORKS} in one call`);
    const effect = streamEffect(run, params, 'fork');
    const breach = streamBreach(effect);
    if (breach !== undefined) return fail('stream_limits', breach);
    run.emit(effect);
    return exit('next', { stream_id: effect.streamId });
  },
  on: (_run, _params, { data }) => wait(data),
});

const MAX_FORKS = 4;
