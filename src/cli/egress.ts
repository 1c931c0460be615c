/** Where calls may go that tenants have a say in: destinations of trunks, carriers brought along, URIs of flows. */
import { type Config, isLoopbackHost, sipListeners } from '../config/index.js';
import { egressPolicy } from '../media/stream/egress.js';

const LOOPBACK = ['127.0.0.0/8', '::1/128'];

/**
 * The policy for one numeric address. Where the configuration says nothing: public addresses; loopback, too, beside a
 * drachtio-server of this machine; and anywhere from a node that listens on loopback alone, as nothing of it goes further.
 */
export const sipEgress = (config: Config): ((address: string) => boolean) => {
  const { calls, sip } = config;
  if (calls.egress !== undefined) return egressPolicy(calls.egress);
  if (sip.engine === 'drachtio') return egressPolicy(isLoopbackHost(sip.drachtio.host) ? LOOPBACK : []);
  return egressPolicy(sipListeners(config).every(({ host }) => isLoopbackHost(host)) ? ['*'] : []);
};
