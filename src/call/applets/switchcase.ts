import { Type } from '../../kernel/index.js';
import { type Outcome, defineApplet, exit, wait } from '../flow/applet.js';
import { isTrue } from '../flow/values.js';

const EXIT = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';
const when = Type.String({ minLength: 1, maxLength: 1024, description: 'condition' });

/** Branches on conditions, the first that holds. */
export const switchcase = defineApplet({
  name: 'switchcase',
  does: 'Takes the exit of the first case whose condition holds, else `otherwise`.',
  params: Type.Object(
    {
      cases: Type.Array(Type.Object({ when, exit: Type.String({ pattern: EXIT }) }, { additionalProperties: false }), {
        minItems: 1,
        maxItems: 64,
      }),
    },
    { additionalProperties: false },
  ),
  exits: ({ cases }) =>
    [...new Set([...cases.map((branch) => branch.exit), 'otherwise'])].map((name) => ({ name, unwired: 'refused' })),
  offline: true,
  conditions: ({ cases }) => cases.map((branch, i) => [`cases[${i}].when`, branch.when]),
  check({ cases }, report) {
    cases.forEach((branch, i) => {
      if (branch.exit === 'error') report(`cases[${i}].exit`, "must not be 'error', which is for failures");
    });
  },
  enter(run, { cases }): Outcome<undefined> {
    const found = cases.findIndex((branch) => isTrue(run.condition(branch.when)));
    const branch = cases[found];
    run.input('case', branch === undefined ? 'otherwise' : branch.when);
    return exit(branch?.exit ?? 'otherwise', { case: branch === undefined ? null : found + 1 });
  },
  on: (_run, _params, { data }) => wait(data),
});
