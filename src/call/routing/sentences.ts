/** What the steps of calls that are routed say. They are made once: a function within `decide` would be made for each call. */

export const sayListed = (d: { address: string; cidr: string; owners: string }): string =>
  `${d.address} is in ${d.cidr} of ${d.owners}`;

export const sayInbound = (d: { carrier: string }): string => `inbound: the source is carrier ${d.carrier}`;

export const sayOutbound = (): string => 'outbound: the source is a trunk';

export const sayRead = (d: { received: string; e164: string }): string => `'${d.received}' is ${d.e164}`;

export const sayMapped = (d: { number: string; trunk: string }): string => `${d.number} is mapped to trunk ${d.trunk}`;

export const sayActive = (d: { trunk: string; name: string }): string => `trunk ${d.trunk} (${d.name}) is active`;

export const sayPstn = (): string => 'mode pstn: straight to the destinations of the trunk';

export const sayShown = (d: { received: string; sent: string }): string =>
  d.sent === '' ? 'no calling number is shown' : `the calling number '${d.received}' is shown as ${d.sent}`;

export const saySent = (d: { sent: string; from: string }): string =>
  d.sent === '' ? 'no number is shown' : `${d.sent} is sent (${d.from})`;

export const sayOrder = (d: { count: number; first: string; down: number }): string =>
  d.down === 0 ? `${d.count} in order, first ${d.first}` : `${d.count} in order, first ${d.first}, last ${d.down} down`;
