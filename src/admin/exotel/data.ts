/** Resources as Exotel's clients see them. */
import { parseEndpoint } from '../../call/routing/endpoint.js';
import { parseRegistered } from '../../call/routing/registeredTarget.js';
import type { Credential, Dates, IpRange, PhoneNumber, Trunk } from '../../call/routing/resources.js';
import { listedId } from '../../control/index.js';
import { shownAdditions } from './additions.js';

export type Destination = Trunk['destination_uris'][number];

/** Documents written by hand may hold no dates. */
const dates = ({ date_created, date_updated }: Dates) => ({
  date_created: date_created ?? null,
  date_updated: date_updated ?? date_created ?? null,
});

export const ipId = (entry: IpRange, trunkSid: string): string =>
  listedId(entry, trunkSid, 'whitelisted_ips', entry.mask === undefined ? entry.ip : `${entry.ip}/${entry.mask}`);
export const destinationId = (entry: Destination, trunkSid: string): string =>
  listedId(entry, trunkSid, 'destination_uris', entry.destination);
export const credentialId = (entry: Credential, trunkSid: string): string =>
  listedId(entry, trunkSid, 'credentials', entry.user_name);
export const numberId = (entry: PhoneNumber): string =>
  listedId(entry, entry.trunk_sid, 'phone_numbers', entry.phone_number);

export const trunksPath = (accountSid: string): string => `/v2/accounts/${encodeURIComponent(accountSid)}/trunks`;
export const trunkPath = ({ account_sid, trunk_sid }: Trunk): string =>
  `${trunksPath(account_sid)}/${encodeURIComponent(trunk_sid)}`;

export const DEFAULT_NSO_CODE = 'ANY-ANY';
export const DEFAULT_AUTH_TYPE = 'IP-WHITELIST';

export const trunkData = (trunk: Trunk): object => {
  const path = trunkPath(trunk);
  return {
    trunk_name: trunk.trunk_name,
    ...dates(trunk),
    trunk_sid: trunk.trunk_sid,
    status: trunk.status ?? 'active',
    domain_name: trunk.domain_name ?? null,
    auth_type: trunk.auth_type ?? DEFAULT_AUTH_TYPE,
    registration_enabled: 'disabled',
    edge_preference: 'auto',
    nso_code: trunk.nso_code ?? DEFAULT_NSO_CODE,
    secure_trunking: 'disabled',
    destination_uris: `${path}/destination-uris`,
    whitelisted_ips: `${path}/whitelisted-ips`,
    credentials: `${path}/credentials`,
    phone_numbers: `${path}/phone-numbers`,
    ...shownAdditions(trunk),
  };
};

export const numberData = (number: PhoneNumber): object => ({
  id: numberId(number),
  phone_number: number.phone_number,
  trunk_sid: number.trunk_sid,
  ...dates(number),
  mode: number.mode,
  ...(number.flow === undefined ? {} : { flow: number.flow }),
  ...(number.carrier === undefined ? {} : { carrier: number.carrier }),
  ...(number.friendly_name === undefined ? {} : { friendly_name: number.friendly_name }),
});

export const trunkMapData = (number: PhoneNumber): object => ({
  exophone: number.phone_number,
  trunk_sid: number.trunk_sid,
  phone_number_id: numberId(number),
  mode: number.mode,
});

export const ipData = (entry: IpRange, { trunk_sid }: Trunk): object => ({
  id: ipId(entry, trunk_sid),
  mask: entry.mask ?? (entry.ip.includes(':') ? 128 : 32),
  trunk_sid,
  ip: entry.ip,
  friendly_name: entry.friendly_name ?? null,
  ...dates(entry),
});

/** `sip:` before it, whether or not the document has it. */
const shownDestination = (text: string): string => {
  if (parseRegistered(text) !== undefined) return text;
  const endpoint = parseEndpoint(text);
  return `sip:${endpoint.ok ? endpoint.value.text : text}`;
};

export const destinationData = (entry: Destination, { trunk_sid }: Trunk): object => ({
  id: destinationId(entry, trunk_sid),
  destination: shownDestination(entry.destination),
  type: 'public',
  priority: entry.priority,
  weight: entry.weight,
  trunk_sid,
  ...dates(entry),
});

/** Without the password: nobody gets it back. */
export const credentialData = (entry: Credential, { trunk_sid }: Trunk): object => ({
  id: credentialId(entry, trunk_sid),
  trunk_sid,
  user_name: entry.user_name,
  friendly_name: entry.friendly_name ?? null,
  ...dates(entry),
});

/** Settings carry the dates of their trunk: they have none of their own. */
export const settingData = (name: string, value: unknown, trunk: Trunk): object => ({
  name,
  value,
  trunk_sid: trunk.trunk_sid,
  ...dates(trunk),
});
