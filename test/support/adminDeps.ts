/** What an administration is made of where its node does nothing. */
import { type AdminDeps, keyChecker } from '../../src/admin/index.js';
import { loadConfig } from '../../src/config/index.js';
import { type ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { callRecord } from './callRecord.js';
import type { ControlRig } from './controlRig.js';

/**
 * @param rig whose document is administered; `ops` is the operators' account
 * @param flags of the command line
 * @param errors where unexpected ones go
 */
export const adminDeps = (
  rig: Pick<ControlRig, 'control' | 'accounts'>,
  clock: ManualClock,
  flags: readonly string[],
  errors: unknown[],
): AdminDeps => ({
  config: loadConfig({ env: {}, flags: [...flags] }),
  version: '9.9.9',
  clock,
  random: new SeededRandom(7),
  control: rig.control,
  state: () => ({ tableLoaded: true, signallingUp: true, draining: false }),
  explain: () => callRecord({}).decision,
  liveCalls: () => [],
  liveCall: () => undefined,
  dump: () => ({}),
  metrics: () => Promise.resolve({ contentType: 'text/plain', body: '' }),
  authenticate: keyChecker(rig.accounts, ['ops']),
  onError: (error) => errors.push(error),
});
