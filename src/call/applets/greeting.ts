import { Type } from '../../kernel/index.js';
import { defineApplet, exit, fail, wait } from '../flow/applet.js';
import { PLAY_LIMIT_MS, SourcesSchema, labelOf, sourcesOf } from './sources.js';

/** Plays files, URLs, tones, silence and spoken text, then goes on. */
export const greeting = defineApplet({
  name: 'greeting',
  does: 'Plays sound or speech to the caller, then goes on.',
  params: Type.Object(
    {
      play: SourcesSchema,
      repeat: Type.Integer({ minimum: 1, maximum: 100, default: 1 }),
      early: Type.Boolean({ default: false, description: 'played before the answer, as early media' }),
    },
    { additionalProperties: false },
  ),
  exits: () => [{ name: 'next', unwired: 'refused' }],
  needsAnswer: (params) => (params.early ? 'early' : true),
  enter(run, params) {
    run.input('play', labelOf(params.play));
    const playId = run.play(sourcesOf(params.play), { repeat: params.repeat });
    run.setTimer('play', PLAY_LIMIT_MS);
    return wait({ playId });
  },
  on(run, _params, { data, event }) {
    if (run.isTimer(event, 'play')) return fail('play_timeout', 'playing did not end');
    if (event.type !== 'playEnded' || event.playId !== data.playId) return wait(data);
    return event.end === 'failed' ? fail(event.code ?? 'play_failed', event.detail) : exit('next');
  },
});
