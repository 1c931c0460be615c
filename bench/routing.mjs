/** Routing on a table of 1,000,000 numbers, 500,000 prefixes and 100,000 networks. Runs on the build: `npm run build && node bench/routing.mjs`. */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { TableHolder, applyPatch } from '../dist/call/routing/compile.js';
import { NO_LIMITS, decide } from '../dist/call/routing/decide.js';

const NUMBERS = Number(process.env.NUMBERS ?? 1_000_000);
const NETWORKS = Number(process.env.NETWORKS ?? 100_000);
const PREFIXES = Number(process.env.PREFIXES ?? 500_000);
const PER_GROUP = 100;
const TRUNKS = 10_000;
const PER_TRUNK = NETWORKS / TRUNKS;

const number = (i) => `+9180${String(i).padStart(8, '0')}`;
const address = (i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
/** Prefix lengths of a grown table: mostly hosts, some subnets, some IPv6. */
const range = (i) => {
  if (i % 10 === 7)
    return { ip: `2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::`, mask: i % 20 === 7 ? 64 : 56 };
  if (i % 10 === 8) return { ip: `172.${16 + ((i >> 16) & 15)}.${(i >> 8) & 255}.${i & 248}`, mask: 29 };
  if (i % 10 === 9) return { ip: `100.${64 + ((i >> 12) & 63)}.${(i >> 4) & 255}.0`, mask: 24 + (i % 4) };
  return { ip: address(i), mask: 32 };
};

const trunk = (t) => ({
  trunk_sid: `trk_${t}`,
  account_sid: 'acc',
  trunk_name: `pbx_${t}`,
  status: 'active',
  whitelisted_ips: Array.from({ length: PER_TRUNK }, (_, i) => range(t * PER_TRUNK + i)),
  destination_uris: [
    { destination: `${address(t * PER_TRUNK)}:5060;transport=udp`, priority: 0, weight: 1 },
    { destination: `pbx${t}.example.com`, priority: 1, weight: 1 },
  ],
  limits: { calls_per_second: 50, concurrent_calls: 1000 },
});

const carrier = {
  id: 'telco',
  kind: 'byo',
  source_acl: [{ ip: '198.51.100.0', mask: 24 }],
  gateways: [
    { uri: 'sip:198.51.100.1:5060', priority: 0, weight: 3 },
    { uri: 'sip:198.51.100.2:5060', priority: 0, weight: 1 },
  ],
};

/** Carriers of an account that calls by price: between them they have every prefix of the deck. */
const ROUTES = ['r0', 'r1', 'r2', 'r3'].map((id, i) => ({
  id,
  kind: 'plivo',
  source_acl: [],
  gateways: [{ uri: `sip:203.0.113.${i + 1}:5060`, priority: 0, weight: 1 }],
  account_sid: 'acc',
}));
const account = { sid: 'acc', carrier_order: 'least_cost', carriers: ROUTES.map(({ id }) => id) };
/** Seven digits, so that the tree is as deep as a real deck's. */
const deckPrefix = (i) => String(2_000_000 + i * 13);
const deckGroup = (id, start) => ({
  type: 'network_group',
  value: {
    carrier: id,
    country_iso: 'XX',
    name: `${id}-${start}`,
    prefixes: Array.from({ length: PER_GROUP }, (_, i) => deckPrefix(start + i)),
    enabled: true,
    outbound_price: (0.001 + ((start * 7 + id.charCodeAt(1)) % 997) / 10_000).toFixed(4),
    currency: 'USD',
  },
});

function* batches() {
  yield [{ type: 'carrier', value: carrier }];
  for (let start = 0; start < TRUNKS; start += 500) {
    yield Array.from({ length: 500 }, (_, i) => ({ type: 'trunk', value: trunk(start + i) }));
  }
  yield [...ROUTES.map((value) => ({ type: 'carrier', value })), { type: 'account', value: account }];
  for (const { id } of ROUTES) {
    for (let start = 0; start < PREFIXES / ROUTES.length; start += PER_GROUP) yield [deckGroup(id, start)];
  }
  const groups = Array.from({ length: 1000 }, (_, i) => ({
    type: 'network_group',
    value: {
      carrier: 'telco',
      country_iso: 'XX',
      name: `g${i}`,
      prefixes: [String(100 + i), `${100 + i}55`],
      enabled: i % 7 !== 0,
    },
  }));
  yield groups;
  for (let start = 0; start < NUMBERS; start += 1000) {
    yield Array.from({ length: 1000 }, (_, i) => ({
      type: 'phone_number',
      value: {
        phone_number: number(start + i),
        trunk_sid: `trk_${(start + i) % TRUNKS}`,
        mode: 'pstn',
        // One in ten names no carrier: its calls go by price.
        ...((start + i) % 10 === 0 ? {} : { carrier: 'telco' }),
      },
    }));
  }
}

/** Milliseconds that this thread has had a processor: on a busy machine a clock would count the others' work. */
const cpuMs = () => Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;

/** Longest stretch without the event loop, between pauses. */
let longest = 0;
let resumed = 0;
const slices = [];
const pause = async () => {
  const slice = cpuMs() - resumed;
  slices.push(slice);
  longest = Math.max(longest, slice);
  await setImmediate();
  resumed = cpuMs();
};

const holder = new TableHolder({ pause });
globalThis.gc?.();
const before = process.memoryUsage();
let started = (resumed = cpuMs());
await holder.apply({ kind: 'full', revision: 'r1', batches: batches() });
const loadMs = cpuMs() - started;
globalThis.gc?.();
const after = process.memoryUsage();
const table = holder.current;
const firstLongest = longest;
longest = 0;
resumed = cpuMs();
const loads = slices.splice(0);
await holder.apply({ kind: 'full', revision: 'r2', batches: batches() });

function perOp(count, run) {
  for (let i = 0; i < Math.min(count, 200_000); i++) run(i);
  const start = cpuMs();
  for (let i = 0; i < count; i++) run(i);
  return ((cpuMs() - start) * 1e6) / count;
}

const KEYS = 65_536;
const pick = (n) => Math.floor(((Math.sin(n) + 1) / 2) * 1e9);
const numbers = Array.from({ length: KEYS }, (_, i) => number(pick(i) % NUMBERS));
const v4 = Array.from({ length: KEYS }, (_, i) => range(Math.floor((pick(i) % NETWORKS) / 10) * 10).ip);
const v6 = Array.from({ length: KEYS }, (_, i) => `${range(Math.floor((pick(i) % NETWORKS) / 10) * 10 + 7).ip}1:2`);
const stranger = Array.from({ length: KEYS }, (_, i) => `203.0.${i >> 8}.${i & 255}`);
const dialled = Array.from({ length: KEYS }, (_, i) => `+${100 + (i % 1000)}5512345${i % 10}`);
const mask = KEYS - 1;
let found = 0;

const inbound = numbers.map((calledNumber) => ({
  sourceAddress: '198.51.100.9',
  sourcePort: 5060,
  transport: 'udp',
  calledNumber,
  callerNumber: '+919812345678',
}));
const outbound = Array.from({ length: KEYS }, (_, i) => {
  const t = pick(i) % TRUNKS;
  return {
    sourceAddress: range(t * PER_TRUNK).ip,
    sourcePort: 5060,
    transport: 'udp',
    calledNumber: '+14155550100',
    callerNumber: number(t),
  };
});
const byPrice = Array.from({ length: KEYS }, (_, i) => {
  const t = (pick(i) % (TRUNKS / 10)) * 10;
  return {
    sourceAddress: range(t * PER_TRUNK).ip,
    sourcePort: 5060,
    transport: 'udp',
    calledNumber: `+${deckPrefix(pick(i * 3) % (PREFIXES / 4))}12345`,
    callerNumber: number(t),
  };
});
const unlisted = stranger.map((sourceAddress) => ({ ...inbound[0], sourceAddress }));
const context = { limits: NO_LIMITS, nowMs: 0, random: () => 0.4 };

/** CPU of single decisions, so that the slowest of a hundred is seen; the clock of the CPU itself is read in between. */
function percentiles(requests, count = 200_000) {
  for (let i = 0; i < 100_000; i++) decide(table, requests[i & mask], context);
  const took = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const from = process.hrtime.bigint();
    found += decide(table, requests[i & mask], context).accepted ? 1 : 0;
    took[i] = Number(process.hrtime.bigint() - from);
  }
  took.sort();
  return `${(took[count >> 1] / 1000).toFixed(1)} / ${(took[Math.floor(count * 0.99)] / 1000).toFixed(1)}`;
}

/** Octets that a decision leaves behind. */
function bytesPerDecision(requests, count = 2000) {
  for (let i = 0; i < count; i++) decide(table, requests[i & mask], context);
  globalThis.gc?.();
  const from = process.memoryUsage().heapUsed;
  for (let i = 0; i < count; i++) found += decide(table, requests[i & mask], context).accepted ? 1 : 0;
  return (process.memoryUsage().heapUsed - from) / count;
}

const sorted = loads.sort((a, b) => a - b);
const patch = (i) => ({
  kind: 'patch',
  revision: `p${i}`,
  base: 'r1',
  deletes: [],
  upserts: [
    {
      type: 'phone_number',
      value: { phone_number: number(i * 7919), trunk_sid: 'trk_1', mode: 'pstn', carrier: 'telco' },
    },
  ],
});
let worstPatch = 0;
const patchNs = perOp(2000, (i) => {
  const start = cpuMs();
  applyPatch(table, patch(i % 100));
  worstPatch = Math.max(worstPatch, cpuMs() - start);
});
const trunkPatchNs = perOp(500, (i) => {
  applyPatch(table, {
    kind: 'patch',
    revision: 'p',
    base: 'r1',
    deletes: [],
    upserts: [{ type: 'trunk', value: trunk(i) }],
  });
});

const rows = {
  'load, ms of CPU': loadMs,
  'longest slice first load / reload, ms': `${firstLongest.toFixed(1)} / ${longest.toFixed(1)}`,
  'p99 slice, ms': sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  'table memory, MB': (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / 1e6,
  'DID lookup, ns': perOp(3_000_000, (i) => (found += table.number(numbers[i & mask]) === undefined ? 0 : 1)),
  'ACL IPv4 hit, ns': perOp(2_000_000, (i) => (found += table.matchSource(v4[i & mask]) === undefined ? 0 : 1)),
  'ACL IPv6 hit, ns': perOp(1_000_000, (i) => (found += table.matchSource(v6[i & mask]) === undefined ? 0 : 1)),
  'ACL IPv4 miss, ns': perOp(2_000_000, (i) => (found += table.matchSource(stranger[i & mask]) === undefined ? 0 : 1)),
  'prefix lookup, ns': perOp(
    2_000_000,
    (i) => (found += table.networkGroups('telco', dialled[i & mask]) === undefined ? 0 : 1),
  ),
  'decide inbound, ns': perOp(500_000, (i) => (found += decide(table, inbound[i & mask], context).accepted ? 1 : 0)),
  'decide outbound, ns': perOp(500_000, (i) => (found += decide(table, outbound[i & mask], context).accepted ? 1 : 0)),
  'decide by price of four carriers, ns': perOp(
    300_000,
    (i) => (found += decide(table, byPrice[i & mask], context).accepted ? 1 : 0),
  ),
  'decide inbound, µs: median / p99': percentiles(inbound),
  'decide outbound, µs: median / p99': percentiles(outbound),
  'decide by price, µs: median / p99': percentiles(byPrice),
  'octets of a decision: inbound': bytesPerDecision(inbound),
  'octets of a decision: outbound': bytesPerDecision(outbound),
  'octets of a decision: by price': bytesPerDecision(byPrice),
  'decide unlisted, ns': perOp(500_000, (i) => (found += decide(table, unlisted[i & mask], context).accepted ? 1 : 0)),
  'decision to JSON, ns': perOp(
    100_000,
    (i) => (found += JSON.stringify(decide(table, inbound[i & mask], context)).length & 1),
  ),
  'patch of one number, µs': patchNs / 1000,
  'worst patch of one number, ms': worstPatch,
  'patch of one trunk, µs': trunkPatchNs / 1000,
};
const size = table.size();
console.log(
  `${size.numbers} numbers, ${PREFIXES} prefixes, ${size.trunks} trunks, ${size.aclNetworks} networks (${found})`,
);
for (const [name, value] of Object.entries(rows))
  console.log(`${name.padEnd(40)} ${typeof value === 'number' ? value.toFixed(1) : value}`);
