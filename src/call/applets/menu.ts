import { type Static, Type } from '../../kernel/index.js';
import { defineApplet } from '../flow/applet.js';
import { type Asking, KEY, ask, askedBy, askingFields, collect } from './digits.js';
import { labelOf } from './sources.js';

const { finish_key: _none, ...fields } = askingFields;

const Params = Type.Object(
  {
    ...fields,
    choices: Type.Array(Type.String({ pattern: KEY }), {
      minItems: 1,
      maxItems: 16,
      uniqueItems: true,
      description: 'keys; each is an exit',
    }),
  },
  { additionalProperties: false },
);
type MenuParams = Static<typeof Params>;

const asking = (params: MenuParams): Asking => ({
  ...askedBy(params),
  finishKey: '',
  judge: (digits) => (params.choices.includes(digits) ? 'valid' : 'invalid'),
  exitOf: (digits) => digits,
});

/** The IVR menu: one key, one exit. */
export const menu = defineApplet({
  name: 'menu',
  does: 'Asks the caller to press one key; each key is an exit.',
  params: Params,
  exits: (params) => [
    ...params.choices.map((name) => ({ name, unwired: 'refused' as const })),
    { name: 'timeout', unwired: 'fails' },
    { name: 'invalid', unwired: 'fails' },
  ],
  needsAnswer: () => true,
  waitsForCaller: true,
  enter(run, params) {
    run.input('prompt', labelOf(params.prompt ?? []));
    run.input('choices', params.choices.join(' '));
    return ask(run, asking(params));
  },
  on: (run, params, { data, event }) => collect(run, asking(params), data, event),
});
