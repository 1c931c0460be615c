/** Where the embedded engine listens, from the configuration. */
import { type Config, clusterListener, sipListeners } from '../config/index.js';
import type { ListenSpec } from '../sip/index.js';

/** @param isNode whether an address is another node's; undefined: none is heard */
export const listenSpecs = (config: Config, isNode: ((address: string) => boolean) | undefined): ListenSpec[] => {
  const specs: ListenSpec[] = sipListeners(config).map(({ transport, host, port, advertise, localNets }) => ({
    ...{ transport, address: host, port },
    ...{ advertise, localNets },
  }));
  const nodes = clusterListener(config);
  if (nodes !== undefined && isNode !== undefined) {
    specs.push({ transport: nodes.transport, address: nodes.host, port: nodes.port, admits: isNode });
  }
  return specs;
};
