/** A node between one carrier and one trunk with one number, each of them a peer that the test plays. */
import type { Test } from 'tap';
import { SipPeer } from './sipPeer.js';
import { TandemNode } from './tandemNode.js';

export interface SingleTrunkPlan {
  readonly node: { readonly address: string; readonly port: number };
  readonly carrier: string;
  /** Where the trunk's calls come from, and where its number leads unless `more` says otherwise. */
  readonly trunk: string;
  readonly number: string;
  /** What carrier and trunk have besides, or instead. @param trunk `host:port` of the trunk's peer */
  readonly more?: (trunk: string) => { readonly carrier?: object; readonly trunk?: object };
}

export interface SingleTrunk {
  readonly node: TandemNode;
  readonly carrier: SipPeer;
  readonly trunk: SipPeer;
  /** `host:port` of the node. */
  readonly target: string;
}

/** Opens the peers and starts the node; all of it ends with the test. */
export const singleTrunk = async (t: Test, plan: SingleTrunkPlan): Promise<SingleTrunk> => {
  const trunk = await SipPeer.open({ address: plan.trunk, name: 'trunk' });
  const carrier = await SipPeer.open({ address: plan.carrier, name: 'carrier' });
  const more = plan.more?.(trunk.hostPort) ?? {};
  const node = await TandemNode.start({
    ...plan.node,
    routing: {
      accounts: [{ sid: 'demo' }],
      carriers: [
        {
          id: 'telco',
          kind: 'byo',
          source_acl: [{ ip: plan.carrier }],
          gateways: [{ uri: `sip:${carrier.hostPort}`, priority: 0, weight: 1 }],
          ...more.carrier,
        },
      ],
      trunks: [
        {
          trunk_sid: 'trk',
          account_sid: 'demo',
          trunk_name: 'pbx',
          whitelisted_ips: [{ ip: plan.trunk }],
          destination_uris: [{ destination: `${trunk.hostPort};transport=udp`, priority: 0, weight: 1 }],
          phone_numbers: [{ phone_number: plan.number, mode: 'pstn', carrier: 'telco' }],
          ...more.trunk,
        },
      ],
    },
  });
  t.teardown(async () => {
    await node.stop();
    await trunk.close();
    await carrier.close();
  });
  return { node, carrier, trunk, target: node.hostPort };
};
