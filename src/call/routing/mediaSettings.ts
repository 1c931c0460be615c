/** Whose words about audio hold for a leg. */
import type { Decision } from './decision.js';
import type { MediaSettings } from './resources.js';
import type { RoutingTable } from './table.js';

const NOTHING_SAID: MediaSettings = {};

/**
 * The settings of the trunk or carrier at the far end of a leg: an inbound call comes from its carrier and goes to the
 * trunk, an outbound one the other way. SIP URIs that a flow dials have none.
 */
export function mediaSettingsOf(
  table: RoutingTable,
  decision: Pick<Decision, 'direction' | 'trunkSid' | 'carrierId'>,
  end: 'caller' | 'callee',
): MediaSettings {
  const { direction, trunkSid = '', carrierId = '' } = decision;
  const atCarrier = (direction === 'inbound') === (end === 'caller');
  const settings = atCarrier ? table.carrier(carrierId)?.carrier.media : table.trunk(trunkSid)?.trunk.media;
  return settings ?? NOTHING_SAID;
}
