/** Where a tenant's change lets calls go: addresses of ours and of our neighbours are not a tenant's to name (S15). */
import { parseEndpoint } from '../call/routing/endpoint.js';
import type { Resource } from '../call/routing/resources.js';
import type { Directory } from './directory.js';

/**
 * The first destination that a tenant adds, and may not: a numeric one outside of what the policy allows. What a name leads
 * to is asked when it is called. What stood there before is not the tenant's doing.
 */
export const forbiddenTarget = (
  upserts: readonly Resource[],
  directory: Pick<Directory, 'carrier' | 'trunk'>,
  mayCall: (address: string) => boolean,
): string | undefined => {
  for (const { type, value } of upserts) {
    const [named, before] =
      type === 'trunk'
        ? [placesOf(value), placesOf(directory.trunk(value.trunk_sid))]
        : type === 'carrier'
          ? [placesOf(value), placesOf(directory.carrier(value.id))]
          : type === 'flow'
            ? [urisIn(value.nodes), NONE]
            : [NONE, NONE];
    const found = named.find((place) => !before.includes(place) && isForbidden(place, mayCall));
    if (found !== undefined) return found;
  }
  return undefined;
};

const NONE: readonly string[] = [];

interface Places {
  readonly destination_uris?: readonly { readonly destination: string }[];
  readonly gateways?: readonly { readonly uri: string }[];
}

const placesOf = (places: Places | undefined): readonly string[] => [
  ...(places?.destination_uris ?? []).map(({ destination }) => destination),
  ...(places?.gateways ?? []).map(({ uri }) => uri),
];

const isForbidden = (place: string, mayCall: (address: string) => boolean): boolean => {
  const at = place.indexOf('@');
  const endpoint = parseEndpoint(at < 0 ? place : place.slice(at + 1));
  return endpoint.ok && endpoint.value.isAddress && !mayCall(endpoint.value.host.replaceAll(/[[\]]/g, ''));
};

/** SIP URIs anywhere in the parameters of a flow. */
const urisIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return /^sips?:/i.test(value) ? [value] : NONE;
  if (typeof value !== 'object' || value === null) return NONE;
  return Object.values(value).flatMap(urisIn);
};
