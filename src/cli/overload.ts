import { OverloadGuard } from '../call/admission/overloadGuard.js';
import { PeerOverload } from '../call/admission/peerOverload.js';
import type { Config } from '../config/index.js';
import { type Clock, type Random, SystemLoadProbe } from '../kernel/index.js';
import type { LogSink } from '../observe/index.js';

export interface OverloadDeps {
  readonly clock: Clock;
  readonly logger: LogSink['logger'];
  readonly isListed: (address: string) => boolean;
  /** How long the thread has rested within its turns. */
  readonly restedMs: () => number;
}

/** Overload control of a node, with its lines in the log; undefined where it is switched off, or the engine is not ours. */
export const createOverload = ({ calls, sip }: Config, { clock, logger, isListed, restedMs }: OverloadDeps) => {
  const { enabled, delayMs, emergencyNumbers } = calls.overload;
  if (!enabled || sip.engine !== 'embedded') return undefined;
  return new OverloadGuard({
    clock,
    probe: new SystemLoadProbe(restedMs),
    targetMs: delayMs,
    emergencyNumbers,
    isListed,
    onChange: ({ on, refused }) => {
      if (on) logger.warn('overload: new calls are refused with 503');
      else logger.warn({ refused }, 'overload is over: all calls are let in');
    },
  });
};

/** What next hops say of their load; undefined where they are not asked. */
export const createPeerOverload = ({ calls, sip }: Config, random: Random): PeerOverload | undefined => {
  const { obeyPeers, emergencyNumbers } = calls.overload;
  if (!obeyPeers || sip.engine !== 'embedded') return undefined;
  return new PeerOverload({ roll: () => random.float(), emergencyNumbers });
};
