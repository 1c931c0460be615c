/** Who lives around the edge in the tests of its security: a carrier, two trunks of two accounts, and strangers. */
import { SipPeer } from './sipPeer.js';

export const TOWN = {
  carrier: '127.0.34.10',
  pbx: '127.0.34.20',
  /** Another address of the same trunk. */
  pbxToo: '127.0.34.21',
  /** Of another account. */
  neighbour: '127.0.34.30',
  stranger: '127.0.34.66',
  strangerToo: '127.0.34.67',
} as const;

export const NUMBER = '+918040000001';
export const NEIGHBOURS_NUMBER = '+918040000002';
export const FOREIGN = '+919812345678';

export interface TownPorts {
  /** Where carrier and PBX listen. */
  readonly carrier: number;
  readonly pbx: number;
}

const host = (ip: string): object => ({ ip, mask: 32 });

export const townRouting = (
  ports: TownPorts,
  more: { readonly carrier?: object; readonly trunk?: object } = {},
): object => ({
  accounts: [{ sid: 'acme' }, { sid: 'other' }],
  carriers: [
    {
      id: 'telco',
      kind: 'byo',
      source_acl: [host(TOWN.carrier)],
      gateways: [{ uri: `sip:${TOWN.carrier}:${ports.carrier}`, priority: 0, weight: 1 }],
      ...more.carrier,
    },
  ],
  trunks: [
    {
      trunk_sid: 'trk_acme',
      account_sid: 'acme',
      trunk_name: 'pbx',
      whitelisted_ips: [host(TOWN.pbx), host(TOWN.pbxToo)],
      destination_uris: [{ destination: `${TOWN.pbx}:${ports.pbx}`, priority: 0, weight: 1 }],
      phone_numbers: [{ phone_number: NUMBER, mode: 'pstn', carrier: 'telco' }],
      ...more.trunk,
    },
    {
      trunk_sid: 'trk_other',
      account_sid: 'other',
      trunk_name: 'neighbour',
      whitelisted_ips: [host(TOWN.neighbour)],
      credentials: [],
      destination_uris: [{ destination: `${TOWN.neighbour}:${ports.pbx}`, priority: 0, weight: 1 }],
      phone_numbers: [{ phone_number: NEIGHBOURS_NUMBER, mode: 'pstn', carrier: 'telco' }],
    },
  ],
  flows: [],
  network_groups: [],
});

export const sdpOf = (address: string): string =>
  `v=0\r\no=- 1 1 IN IP4 ${address}\r\ns=-\r\nc=IN IP4 ${address}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n`;

export const peerAt = (address: string, port = 0, transport: 'udp' | 'tcp' = 'udp'): Promise<SipPeer> =>
  SipPeer.open({ address, port, transport, name: address.split('.').at(-1) ?? 'peer' });
