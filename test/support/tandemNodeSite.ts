/** Addresses, numbers and routing of one interop file: a carrier, a PBX, and lanes of one trunk and number each. */
import type { CallRecord } from '../../src/call/record/cdr.js';
import { Sipp, type SippPlan, type SippResult } from './sipp.js';
import { TandemNode } from './tandemNode.js';

export interface Lane {
  readonly index: number;
  /** Of the trunk: what carriers call, and what the PBX calls from. */
  readonly number: string;
  readonly trunkSid: string;
  readonly carrierId: string;
  /** Where the PBX of this trunk, and the gateway of its carrier, listen. */
  readonly pbxPort: number;
  readonly gatewayPort: number;
}

/** What a lane has besides, or instead of, the ordinary: one destination, one gateway, no limits. */
export interface LanePlan {
  readonly trunk?: object;
  readonly carrier?: object;
  readonly number?: object;
  /** Of the ordinary destination and gateway: `;transport=tcp`. */
  readonly uriParams?: string;
}

/** In which direction a call goes; all that differs for the ends. */
export interface Way {
  readonly name: 'inbound' | 'outbound';
  readonly from: string;
  readonly to: string;
  readonly caller: (lane: Lane) => string;
  readonly called: (lane: Lane) => string;
  readonly calleePort: (lane: Lane) => number;
}

const FOREIGN_NUMBER = '+919812345678';

export class Site {
  readonly node: string;
  readonly carrier: string;
  readonly pbx: string;
  readonly stranger: string;
  readonly inbound: Way;
  readonly outbound: Way;
  readonly #plans: readonly LanePlan[];
  readonly #names = new Map<string, number>();
  #nextPlain: number;
  #callerPort = 18_500;

  /**
   * @param index 1 to 9, one for each file: files run at the same time
   * @param network the first three numbers of all addresses
   */
  constructor(
    index: number,
    special: { readonly [name: string]: (lane: Lane, site: Site) => LanePlan },
    plainLanes: number,
    network = '127.0.38',
  ) {
    this.node = `${network}.${index}`;
    this.carrier = `${network}.${index + 10}`;
    this.pbx = `${network}.${index + 20}`;
    this.stranger = `${network}.${index + 30}`;
    const names = Object.keys(special);
    names.forEach((name, i) => this.#names.set(name, i));
    this.#nextPlain = names.length;
    this.#plans = Array.from({ length: names.length + plainLanes }, (_, i) => {
      const plan = special[names[i] ?? ''];
      return plan === undefined ? {} : plan(laneOf(i), this);
    });
    this.inbound = {
      name: 'inbound',
      from: this.carrier,
      to: this.pbx,
      caller: () => FOREIGN_NUMBER,
      called: (lane) => lane.number,
      calleePort: (lane) => lane.pbxPort,
    };
    this.outbound = {
      name: 'outbound',
      from: this.pbx,
      to: this.carrier,
      caller: (lane) => lane.number,
      called: () => FOREIGN_NUMBER,
      calleePort: (lane) => lane.gatewayPort,
    };
  }

  get ways(): readonly Way[] {
    return [this.inbound, this.outbound];
  }

  lane(name?: string): Lane {
    if (name === undefined) {
      if (this.#nextPlain >= this.#plans.length) throw new Error('no lane left: plan more of them');
      return laneOf(this.#nextPlain++);
    }
    const index = this.#names.get(name);
    if (index === undefined) throw new Error(`no lane ${name}`);
    return laneOf(index);
  }

  routing(): object {
    const lanes = this.#plans.map((plan, i) => ({ lane: laneOf(i), plan }));
    return {
      accounts: [{ sid: 'demo' }],
      carriers: lanes.map(({ lane, plan }) => ({
        id: lane.carrierId,
        kind: 'byo',
        source_acl: [{ ip: this.carrier }],
        gateways: [{ uri: `sip:${this.carrier}:${lane.gatewayPort}${plan.uriParams ?? ''}` }],
        identity: { p_asserted_identity: true },
        ...plan.carrier,
      })),
      trunks: lanes.map(({ lane, plan }) => ({
        trunk_sid: lane.trunkSid,
        account_sid: 'demo',
        trunk_name: `pbx ${lane.index}`,
        whitelisted_ips: [{ ip: this.pbx }],
        destination_uris: [{ destination: `${this.pbx}:${lane.pbxPort}${plan.uriParams ?? ''}` }],
        phone_numbers: [{ phone_number: lane.number, mode: 'pstn', carrier: lane.carrierId, ...plan.number }],
        ...plan.trunk,
      })),
    };
  }

  /** @param config more of the configuration; silence is short, so that tests of it are */
  start(config: { readonly [section: string]: object } = {}): Promise<TandemNode> {
    return TandemNode.start({
      address: this.node,
      routing: this.routing(),
      config: { ...config, calls: { silenceTimeoutMs: 1000, ...config['calls'] } },
    });
  }

  /** What a SIPp caller of this way and lane is started with. */
  callerPlan(way: Way, lane: Lane, scenario: string, more: Partial<SippPlan> = {}): SippPlan {
    return {
      scenario: `uac/${scenario}`,
      address: way.from,
      port: this.#callerPort++,
      remote: `${this.node}:18000`,
      service: way.called(lane),
      keys: { caller: way.caller(lane) },
      ...more,
    };
  }

  calleePlan(way: Way, lane: Lane, scenario: string, more: Partial<SippPlan> = {}): SippPlan {
    return { scenario: `uas/${scenario}`, address: way.to, port: way.calleePort(lane), ...more };
  }
}

function laneOf(index: number): Lane {
  const two = String(index).padStart(2, '0');
  return {
    index,
    number: `+9180400000${two}`,
    trunkSid: `trk_${two}`,
    carrierId: `telco-${two}`,
    pbxPort: 18_100 + index,
    gatewayPort: 18_200 + index,
  };
}

export interface PlacedCall {
  readonly caller: SippResult;
  readonly callee: SippResult;
  readonly record: CallRecord;
}

export interface CallPlan {
  readonly way: Way;
  readonly lane: Lane;
  /** Scenarios below uac/ and uas/. */
  readonly caller: string;
  readonly callee: string;
  readonly callerMore?: Partial<SippPlan>;
  readonly calleeMore?: Partial<SippPlan>;
}

/** One call between two SIPp through the node, from the first message to its record. */
export async function placeCall(site: Site, node: TandemNode, plan: CallPlan): Promise<PlacedCall> {
  const { way, lane } = plan;
  const callee = await Sipp.start(site.calleePlan(way, lane, plan.callee, plan.calleeMore));
  try {
    const caller = await Sipp.run(site.callerPlan(way, lane, plan.caller, plan.callerMore));
    const record = await node.record(callIdOf(caller));
    return { caller, callee: await callee.result, record };
  } finally {
    await callee.stop();
  }
}

/** One caller whom nobody is there to answer. */
export async function placeRefusedCall(
  site: Site,
  node: TandemNode,
  { way, lane, more }: { readonly way: Way; readonly lane: Lane; readonly more?: Partial<SippPlan> | undefined },
): Promise<Omit<PlacedCall, 'callee'>> {
  const caller = await Sipp.run(site.callerPlan(way, lane, 'refused', more));
  return { caller, record: await node.record(callIdOf(caller)) };
}

/** Call-ID of the one call that a SIPp placed. */
export const callIdOf = (caller: SippResult): string => caller.sent[0]?.callId ?? 'nothing was sent';
