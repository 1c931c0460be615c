/** What a leg's audio is asked of the media plane, by the words of its trunk or carrier. */
import type { EndpointSpec } from '../../../media/port.js';
import { hostOf } from '../../bridge/headerText.js';
import type { Destination } from '../../routing/decision.js';
import { newAddressWords, parseAddress } from '../../routing/ipAddress.js';
import type { MediaSettings } from '../../routing/resources.js';
import { plainAddress } from '../request.js';

type Leg = Pick<EndpointSpec, 'callId' | 'leg' | 'offer' | 'peerAddresses'>;

/** @param nodeTimeoutMs where the settings say nothing; 0: never */
export function endpointSpec(leg: Leg, settings: MediaSettings, nodeTimeoutMs: number): EndpointSpec {
  const { codecs, srtp, nat, ptime_ms: ptimeMs, timeout_seconds: timeoutS } = settings;
  const mediaTimeoutMs = timeoutS === undefined ? nodeTimeoutMs : timeoutS * 1000;
  return {
    ...leg,
    ...(codecs === undefined ? {} : { codecs }),
    ...(srtp === undefined ? {} : { srtp }),
    ...(nat === undefined ? {} : { nat }),
    ...(ptimeMs === undefined ? {} : { ptimeMs }),
    ...(mediaTimeoutMs > 0 ? { mediaTimeoutMs } : {}),
  };
}

/** The addresses that destinations are written with; undefined where one is a name: then it could be any address. */
export function addressesOf(destinations: readonly Destination[]): readonly string[] | undefined {
  const addresses: string[] = [];
  for (const { uri } of destinations) {
    const host = hostOf(uri).replace(/^\[|\]$/g, '');
    if (!parseAddress(host, newAddressWords())) return undefined;
    addresses.push(plainAddress(host));
  }
  return addresses;
}
