/** What hears the events of a leg that nobody waits for. */
import type { LegEvents } from '../../signal/port.js';

/** Refuses whatever such a leg still asks (RFC 3261 §12.2.2), and forgets the rest. */
export const DEAF: LegEvents = {
  onRequest: (_leg, request) => request.respond(481),
  onReinvite: (_leg, reinvite) => reinvite.respond(481),
  onAck: () => {},
  onReinviteCancelled: () => {},
  onEnded: () => {},
};
