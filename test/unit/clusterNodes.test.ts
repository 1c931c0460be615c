/** Who is up in a cluster, and what a binding tells the other nodes. */
import t from 'tap';
import { ClusterNodes, type ClusterNode, type NodeStore } from '../../src/call/registration/nodes.js';
import type { ContactsView, ReachableContact } from '../../src/call/routing/decision.js';
import { NO_LIMITS, decide } from '../../src/call/routing/decide.js';
import { ManualClock } from '../../src/kernel/index.js';
import { MemoryRegistrations, MemoryRegistrationStore } from '../../src/store/index.js';
import { DOCUMENT, RegistrarRig, tableOf } from '../support/registrarRig.js';

const SELF: ClusterNode = { owner: 'a#1', address: '10.1.0.1' };
const OTHER: ClusterNode = { owner: 'b#1', address: '10.1.0.2' };

/** Leases that the test hands out. */
class Leases implements NodeStore {
  nodes: readonly ClusterNode[] = [SELF];
  away = false;
  asked = 0;
  left: ClusterNode | undefined;
  news: () => void = () => {};

  async renew(self: ClusterNode): Promise<readonly ClusterNode[]> {
    this.asked++;
    if (this.away) throw new Error('away');
    return this.nodes.includes(self) ? this.nodes : [...this.nodes, self];
  }

  onNews(listener: () => void): void {
    this.news = listener;
  }

  async leave(self: ClusterNode): Promise<void> {
    this.left = self;
  }
}

const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
};

t.test('nodes know who else is up, by news at once, and keep what they know while the store is away', async (t) => {
  const clock = new ManualClock();
  const store = new Leases();
  const nodes = new ClusterNodes(store, clock, SELF);
  await nodes.start();
  t.strictSame(
    [nodes.size, nodes.isNode(SELF.address), nodes.isUp(SELF.owner)],
    [0, false, false],
    'itself is no other',
  );

  store.nodes = [SELF, OTHER];
  store.news();
  store.news();
  await settled();
  t.equal(store.asked, 3, 'news within an answer ask once more');
  t.ok(nodes.isUp('b#1') && nodes.isNode('10.1.0.2') && nodes.isNode('::ffff:10.1.0.2'));
  t.notOk(nodes.isUp('b#2') || nodes.isNode('10.1.0.3'), 'another start is another node');

  store.away = true;
  clock.advance(2000);
  await settled();
  t.equal(store.asked, 4);
  t.ok(nodes.isUp('b#1'), 'nobody has said that it is gone');

  store.away = false;
  store.nodes = [SELF];
  clock.advance(2000);
  await settled();
  t.notOk(nodes.isUp('b#1') || nodes.isNode('10.1.0.2'));

  await nodes.close();
  t.equal(store.left, SELF);
  t.equal(clock.pending, 0);
});

const ROUTE = '<sip:10.1.0.1:5070;transport=tcp;lr;seal=00;flow=eA>';
const NATTED = { transport: 'udp', address: '192.0.2.7', port: 40_000 } as const;
const OPEN = 'sip:alice@192.0.2.7:40000';
const VIA = ['Via', 'SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1;rport'] as const;

t.test('a contact that other nodes cannot reach by themselves has a route for them', async (t) => {
  const rig = await RegistrarRig.make();
  const registered = async (contact: string, more: object): Promise<string | undefined> => {
    await rig.register({ contacts: [`<${contact}>`], flow: 'f', nodeRoute: ROUTE, expires: 600, ...more });
    const entry = rig.keeper.directory.get('trk_a/alice');
    const found = entry?.bindings.find((binding) => binding.contact === contact);
    await rig.registrar.remove('trk_a', 'alice');
    if (found === undefined) throw new Error(`${contact} is not registered`);
    return found.nodeRoute;
  };
  t.equal(await registered('sip:alice@x.invalid', { source: { ...NATTED, transport: 'wss' } }), ROUTE, 'a connection');
  t.equal(await registered('sip:alice@10.0.0.9', { source: NATTED, headers: [VIA] }), ROUTE, 'behind a NAT');
  t.equal(await registered(OPEN, { source: NATTED, headers: [VIA] }), undefined, 'where it says it is');
  t.equal(
    await registered('sip:alice@x.invalid', { headers: [['Path', '<sip:edge.example;lr>']] }),
    undefined,
    'a path',
  );
  t.equal(await registered('sip:alice@y.invalid', { nodeRoute: undefined }), undefined, 'no cluster');
  await rig.close();
});

t.test('who is told that a flow has failed drops the contact for all nodes', async (t) => {
  const clock = new ManualClock();
  const shared = new MemoryRegistrations();
  const one = await RegistrarRig.make(new MemoryRegistrationStore(shared), { clock, nodeId: 'one' });
  const two = await RegistrarRig.make(new MemoryRegistrationStore(shared), { clock, nodeId: 'two' });
  const source = { transport: 'tcp', address: '192.0.2.9', port: 5555 };
  const to = { source, expires: 600, flow: 'tcp/f1' };
  await one.register({ ...to, contacts: ['<sip:alice@one.invalid>'], nodeRoute: ROUTE });
  await two.register({ ...to, contacts: ['<sip:alice@two.invalid>'], callId: 'c2', nodeRoute: `${ROUTE};two` });
  const known = (rig: RegistrarRig): readonly string[] =>
    (rig.keeper.directory.get('trk_a/alice')?.bindings ?? []).map(({ contact }) => contact);
  t.equal(known(two).length, 2);
  two.registrar.flowClosed('tcp/f1');
  await settled();
  t.strictSame(known(two), ['sip:alice@one.invalid'], 'two nodes may give flows one name: its own has closed');
  two.registrar.flowClosed(ROUTE);
  await settled();
  t.strictSame([known(one), known(two)], [[], []]);
  t.strictSame(two.acts.slice(-2), ['flow_closed sip:alice@two.invalid', 'flow_closed sip:alice@one.invalid']);
  await one.close();
  await two.close();
});

t.test('a decision says by which node a contact is reached, and keeps the route to itself', async (t) => {
  const table = await tableOf({
    ...DOCUMENT,
    carriers: [{ id: 'telco', kind: 'byo', source_acl: [{ ip: '192.0.2.1' }], gateways: [{ uri: 'sip:192.0.2.1' }] }],
    trunks: DOCUMENT.trunks.map((trunk, index) => ({
      ...trunk,
      phone_numbers: [{ phone_number: `+91804000000${index}`, mode: 'pstn', carrier: 'telco' }],
    })),
  });
  const at = (uri: string, way: ReachableContact['way']): ReachableContact => ({
    uri,
    userName: 'alice',
    q: 1000,
    way,
  });
  const contacts: ContactsView = {
    find: () => ({
      reachable: [
        at('sip:alice@one.invalid', { flow: 'nodes/tcp>10.1.0.2:5070', route: [ROUTE], node: 'two' }),
        at('sip:alice@192.0.2.7', { nextHop: 'sip:192.0.2.7' }),
      ],
      elsewhere: 0,
    }),
  };
  const request = {
    ...{ sourceAddress: '192.0.2.1', sourcePort: 5060, transport: 'udp' },
    ...{ callerNumber: '+919812345678', calledNumber: '+918040000000' },
  };
  const decision = decide(table, request, { limits: NO_LIMITS, contacts, nowMs: 0, random: () => 0 });
  const told = decision.steps.find(({ step }) => step === 'registration');
  t.equal(told?.detail, 'alice is registered at 2 contacts, of them 1 through two');
  const [first] = decision.destinations;
  t.match(first?.reach, { flow: 'nodes/tcp>10.1.0.2:5070', route: [ROUTE], node: 'two', domain: 'a.example' });
  const written = JSON.stringify(decision);
  t.match(written, '"node":"two"');
  t.notMatch(written, /seal=/);
});
