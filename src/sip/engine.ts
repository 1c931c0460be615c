import { type EngineOptions, UserAgentCore } from './dialog/core.js';
import type { SipEngine } from './face.js';

export type { EngineOptions } from './dialog/core.js';

/**
 * The embedded SIP engine, RFC 3261 and 6026, listening.
 * @throws TandemError when an address cannot be bound; nothing stays open then.
 */
export const createEngine = async (options: EngineOptions): Promise<SipEngine> => {
  const core = new UserAgentCore(options);
  try {
    await core.layer.transport.listen(options.listen);
  } catch (error) {
    core.stop();
    throw error;
  }
  return core;
};
