import { type Static, Type } from '../../kernel/index.js';
import { defineApplet } from '../flow/applet.js';
import { matchesDigits } from '../flow/digitPattern.js';
import { type Asking, ask, askedBy, askingFields, collect } from './digits.js';
import { labelOf } from './sources.js';

const Params = Type.Object(
  {
    ...askingFields,
    min_digits: Type.Integer({ minimum: 1, maximum: 64, default: 1 }),
    max_digits: Type.Integer({ minimum: 1, maximum: 64, default: 16 }),
    valid: Type.Optional(
      Type.Array(
        Type.String({ minLength: 1, maxLength: 64, description: 'X 0-9, Z 1-9, N 2-9, final . more digits' }),
        {
          minItems: 1,
          maxItems: 32,
        },
      ),
    ),
  },
  { additionalProperties: false },
);
type GatherParams = Static<typeof Params>;

const isValid = (params: GatherParams, digits: string): boolean =>
  digits.length >= params.min_digits &&
  (params.valid === undefined || params.valid.some((pattern) => matchesDigits(digits, pattern)));

const asking = (params: GatherParams): Asking => ({
  ...askedBy(params),
  finishKey: params.finish_key,
  judge(digits, end) {
    if (!end && digits.length < params.max_digits) return 'more';
    return isValid(params, digits) ? 'valid' : 'invalid';
  },
  exitOf: () => 'digits',
});

/** Asks the caller for a number: an account, a PIN, a telephone number. */
export const gather = defineApplet({
  name: 'gather',
  does: 'Collects digits that the caller presses.',
  params: Params,
  exits: () => [
    { name: 'digits', unwired: 'refused' },
    { name: 'timeout', unwired: 'fails' },
    { name: 'invalid', unwired: 'fails' },
  ],
  needsAnswer: () => true,
  waitsForCaller: true,
  check(params, report) {
    if (params.min_digits > params.max_digits) report('min_digits', 'must not be above max_digits');
  },
  enter(run, params) {
    run.input('prompt', labelOf(params.prompt ?? []));
    run.input('max_digits', params.max_digits);
    return ask(run, asking(params));
  },
  on: (run, params, { data, event }) => collect(run, asking(params), data, event),
});
