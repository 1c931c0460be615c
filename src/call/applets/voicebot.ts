import { Type } from '../../kernel/index.js';
import { defineApplet, exit, fail, wait } from '../flow/applet.js';
import type { NodeRun, Outcome } from '../flow/applet.js';
import {
  START_LIMIT_MS,
  STOP_LIMIT_MS,
  checkStream,
  streamBreach,
  streamEffect,
  streamFields,
  streamResults,
} from './streaming.js';

interface Talking {
  readonly streamId: string;
  readonly url: string;
  /** The bot's side is open. */
  readonly started: boolean;
  /** We are waiting for the end that we asked for. */
  readonly stopping: boolean;
}

const stop = (run: NodeRun, data: Talking): Outcome<Talking> => {
  if (data.stopping) return wait(data);
  run.emit({ type: 'stopStream', streamId: data.streamId });
  run.setTimer('stop', STOP_LIMIT_MS);
  return wait({ ...data, stopping: true });
};

/**
 * A bot that was never reached, or that broke down in the middle of the call, leads to whoever waits behind `failed`. Where
 * nobody does, a call that the bot has heard goes on as if the bot had left: many bots end a call by closing their socket.
 */
const exitOf = (run: NodeRun, completed: boolean, started: boolean): string =>
  completed || (started && !run.wired('failed')) ? 'next' : 'failed';

/** The caller talks with a bot over a WebSocket; the bot closing it sends the call on. */
export const voicebot = defineApplet({
  name: 'voicebot',
  does: 'Streams audio both ways between the caller and a bot; goes on when the stream ends.',
  params: Type.Object(streamFields, { additionalProperties: false }),
  exits: () => [
    { name: 'next', unwired: 'ends' },
    { name: 'failed', unwired: 'fails' },
  ],
  needsAnswer: () => true,
  waitsForCaller: true,
  check: checkStream,
  enter(run, params): Outcome<Talking> {
    const effect = streamEffect(run, params, 'bidirectional');
    const breach = streamBreach(effect);
    if (breach !== undefined) return fail('stream_limits', breach);
    run.emit(effect);
    run.setTimer('start', START_LIMIT_MS);
    return wait({ streamId: effect.streamId, url: effect.url, started: false, stopping: false });
  },
  on(run, params, { data, event }): Outcome<Talking> {
    if (event.type === 'streamStarted') {
      run.cancelTimer('start');
      run.setTimer('limit', params.max_ms + STOP_LIMIT_MS);
      return wait({ ...data, started: true });
    }
    if (run.isTimer(event, 'start') || run.isTimer(event, 'limit')) return stop(run, data);
    if (run.isTimer(event, 'stop')) return data.started ? exit('next') : exit('failed', { status: 'failed' });
    if (event.type !== 'streamEnded') return wait(data);
    const { report } = event;
    run.remember({ stream: { ...report, url: data.url } });
    return exit(exitOf(run, report.status === 'completed', data.started), streamResults(report));
  },
  /** The report says who left first, and webhooks behind this node want it. */
  onHangUp: (run, _params, data) => stop(run, data),
});
