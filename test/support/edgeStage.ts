/** An edge between a PBX and a carrier, each played by the test. */
import type { Test } from 'tap';
import { EdgeRig } from './edgeRig.js';
import { TOWN, peerAt } from './edgeTown.js';
import type { SipPeer } from './sipPeer.js';

export interface Stage {
  readonly rig: EdgeRig;
  readonly pbx: SipPeer;
  readonly telco: SipPeer;
}

/** Ends with the test, which fails when the edge threw anything. */
export const openStage = async (
  t: Test,
  plan: Parameters<typeof EdgeRig.open>[0],
  ports: { readonly carrier: number; readonly pbx: number },
): Promise<Stage> => {
  const rig = await EdgeRig.open(plan);
  const pbx = await peerAt(TOWN.pbx, ports.pbx);
  const telco = await peerAt(TOWN.carrier, ports.carrier);
  t.teardown(async () => {
    await rig.close();
    await pbx.close();
    await telco.close();
    if (rig.errors.length > 0) throw rig.errors[0];
  });
  return { rig, pbx, telco };
};
