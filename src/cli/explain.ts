import { formatDecision } from '../call/routing/explain.js';
import { NO_LIMITS, decide } from '../call/routing/decide.js';
import type { Config } from '../config/index.js';
import { SystemClock, SystemRandom } from '../kernel/index.js';
import { readOptions, required } from './arguments.js';
import { readRouting } from './table.js';

/** `tandem explain --from IP --to NUMBER [--caller NUMBER]`: the decision that such a call would get, by the live code. */
export const explain = async (config: Config, argv: readonly string[]): Promise<number> => {
  const options = readOptions('explain', argv, ['from', 'to', 'caller', 'transport', 'format']);
  const { table } = await readRouting(config);
  const random = new SystemRandom();
  const decision = decide(
    table,
    {
      sourceAddress: required('explain', options, 'from'),
      sourcePort: 5060,
      transport: options['transport'] ?? 'udp',
      calledNumber: required('explain', options, 'to'),
      callerNumber: options['caller'] ?? '',
    },
    { limits: NO_LIMITS, nowMs: new SystemClock().nowMs(), random: () => random.float() },
  );
  process.stdout.write(
    options['format'] === 'json' ? `${JSON.stringify(decision, null, 2)}\n` : `${formatDecision(decision)}\n`,
  );
  return decision.accepted ? 0 : 2;
};
