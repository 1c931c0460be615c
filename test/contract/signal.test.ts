/** One contract for every adapter of src/signal: the application cannot tell which one it is on. */
import t, { type Test } from 'tap';
import type { Behaviour } from './signal/behaviour.js';
import { dialogBehaviours } from './signal/dialog.js';
import { incomingBehaviours } from './signal/incoming.js';
import { earlyBehaviours } from './signal/early.js';
import { digestBehaviours } from './signal/digest.js';
import { outgoingBehaviours } from './signal/outgoing.js';
import { planeBehaviours } from './signal/plane.js';
import { timeoutBehaviours } from './signal/timeouts.js';
import {
  type MakeRig,
  type Rig,
  liveLegs,
  makeDirectRig,
  makeRemoteRig,
  makeSrfRig,
  openPeer,
  until,
} from '../support/signalRig.js';
import type { SipPeer } from '../support/sipPeer.js';

t.setTimeout(300_000);

interface ContractOptions {
  /** Address that the port listens on. */
  readonly address: string;
  /** The rig's timers can be shortened. */
  readonly shortTimers: boolean;
}

/** Messages that a behaviour need not wait for. */
const IDLE = (peer: SipPeer): string[] =>
  peer.queue.filter((m) => m.status !== 100 && m.method !== 'ACK').map((m) => m.toString());

async function perform(t: Test, rig: Rig, behaviour: Behaviour): Promise<void> {
  const peers: SipPeer[] = [];
  const open = async (transport?: 'udp' | 'tcp', name?: string): Promise<SipPeer> => {
    const opened = await openPeer(transport, name);
    peers.push(opened);
    return opened;
  };
  const peer = await open();
  const before = liveLegs(rig.port);
  try {
    await behaviour.run({ t, rig, peer, open });
    await until('every leg is forgotten', () => liveLegs(rig.port) <= before);
    t.same(rig.app.verdict(), [], 'every leg had exactly one outcome');
    t.same(rig.complaints.splice(0), [], 'nobody complained');
    for (const each of peers) t.same(IDLE(each), [], `${each.name} was sent nothing else`);
  } catch (error) {
    for (const each of peers) t.comment(each.ladder.join('\n'));
    t.comment(JSON.stringify(rig.port.dump()));
    throw error;
  } finally {
    rig.app.verdict();
    rig.complaints.length = 0;
    for (const each of peers) await each.close();
  }
}

async function runAll(t: Test, makeRig: () => Promise<Rig>, behaviours: readonly Behaviour[]): Promise<void> {
  t.setTimeout(120_000);
  const rig = await makeRig();
  try {
    for (const behaviour of behaviours)
      await t.test(behaviour.name, { timeout: 20_000 }, (t) => perform(t, rig, behaviour));
  } finally {
    await rig.stop();
  }
}

function signalContract(name: string, makeRig: MakeRig, { address, shortTimers }: ContractOptions): void {
  void t.test(name, async (t) => {
    const rig = (): Promise<Rig> => makeRig({ address });
    t.setTimeout(300_000);
    await t.test('incoming calls', (t) => runAll(t, rig, incomingBehaviours));
    await t.test('outgoing calls', (t) => runAll(t, rig, outgoingBehaviours));
    await t.test('before the answer', (t) => runAll(t, rig, earlyBehaviours));
    await t.test('challenges', (t) => runAll(t, rig, digestBehaviours));
    await t.test('within a dialog', (t) => runAll(t, rig, dialogBehaviours));
    for (const behaviour of planeBehaviours) await t.test('the plane', (t) => runAll(t, rig, [behaviour]));
    if (shortTimers) await t.test('silence', (t) => runAll(t, () => makeRig({ address, t1Ms: 20 }), timeoutBehaviours));
  });
}

signalContract('straight onto the engine', makeDirectRig, { address: '127.0.35.12', shortTimers: true });
signalContract('over drachtio-srf to our own server', makeSrfRig, { address: '127.0.35.11', shortTimers: true });

const remote = process.env['DRACHTIO_URL'];
if (remote === undefined) t.comment('DRACHTIO_URL was not given: no run against a foreign drachtio-server');
else
  signalContract('over drachtio-srf to a foreign server', makeRemoteRig(new URL(remote)), {
    address: '',
    shortTimers: false,
  });
