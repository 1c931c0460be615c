import type { Way } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';

/** To where a message came from. */
export const wayBack = ({ listener, address, port, hop }: Arrival): Way => ({
  listener,
  address,
  port,
  serverName: hop?.serverName ?? address,
  hop,
  pinned: true,
});
