import fc from 'fast-check';
import t from 'tap';
import { HeaderPolicy } from '../../src/call/bridge/headerPolicy.js';
import { TableHolder } from '../../src/call/routing/compile.js';
import type { CallRequest } from '../../src/call/routing/decision.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { formatExplanation } from '../../src/call/session/explanationText.js';
import { LiveAdmission } from '../../src/cli/admission.js';
import { ManualClock, type Random, SeededRandom } from '../../src/kernel/index.js';

const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });
const small = fc.integer({ min: 0, max: 3 });
const price = fc.constantFrom('0', '0.01', '0.010001', '1.5');
const currency = fc.constantFrom('USD', 'EUR');
const limits = fc.record({ concurrent_calls: small, calls_per_second: small }, { requiredKeys: [] });
const prefix = fc.constantFrom('4', '44', '447', '4477', '1', '1900');
const NUMBERS = ['+918040000001', '+918040000002', '+918050000001'] as const;

/** Without the members that are undefined: a schema knows only absent ones. */
const present = (value: object): object => JSON.parse(JSON.stringify(value)) as object;

const carrier = (id: string) =>
  fc
    .record({
      priority: sometimes(small),
      weight: sometimes(small),
      limits: sometimes(limits),
      account_sid: sometimes(fc.constantFrom('a1', 'a2')),
      flat_rate: sometimes(fc.record({ outbound_price: price, currency })),
      identity: sometimes(fc.record({ p_asserted_identity: fc.boolean(), diversion: fc.boolean() })),
      gateways: fc.array(
        fc.record({
          uri: fc.constantFrom('sip:g1', 'sip:g2'),
          priority: small,
          weight: small,
          tech_prefix: fc.constant('9'),
        }),
        { maxLength: 3 },
      ),
    })
    .map((more) => ({ id, source_acl: id === 'c1' ? [{ ip: '192.0.2.1' }] : [], ...more }));

const group = (of: string, name: string) =>
  fc
    .record({
      prefixes: fc.uniqueArray(prefix, { minLength: 1, maxLength: 3 }),
      enabled: fc.boolean(),
      outbound_price: sometimes(price),
      currency,
    })
    .map((more) => ({ carrier: of, country_iso: 'XX', name, ...more }));

const account = (sid: string) =>
  fc
    .record({
      limits: sometimes(limits),
      carrier_order: sometimes(fc.constantFrom('priority', 'least_cost')),
      carriers: sometimes(fc.uniqueArray(fc.constantFrom('c1', 'c2', 'c3'))),
      byo_enabled: sometimes(fc.boolean()),
      disabled_network_groups: sometimes(fc.constant(['c2/XX/n2'])),
      spend_per_day: sometimes(fc.record({ amount: price, currency })),
    })
    .map((more) => ({ sid, ...more }));

const trunk = (sid: string, of: string, ip: string, numbers: readonly string[]) =>
  fc
    .record({
      limits: sometimes(limits),
      deny_prefixes: sometimes(fc.uniqueArray(prefix, { maxLength: 2 })),
      settings: sometimes(
        fc.record(
          {
            caller_id: fc.constantFrom('reject', 'replace', 'pass'),
            trunk_external_alias: fc.constantFrom(...NUMBERS),
          },
          { requiredKeys: [] },
        ),
      ),
      carriers: fc.tuple(...numbers.map(() => sometimes(fc.constantFrom('c1', 'c2', 'c3')))),
    })
    .map(({ carriers, ...more }) => ({
      trunk_sid: sid,
      account_sid: of,
      trunk_name: sid,
      whitelisted_ips: [{ ip }],
      destination_uris: [{ destination: 'pbx1' }, { destination: 'pbx2' }],
      phone_numbers: numbers.map((phone_number, i) => ({ phone_number, carrier: (carriers as unknown[])[i] })),
      ...more,
    }));

const documents = fc
  .record({
    accounts: fc.tuple(account('a1'), account('a2')),
    carriers: fc.tuple(carrier('c1'), carrier('c2'), carrier('c3')),
    trunks: fc.tuple(
      trunk('t1', 'a1', '10.0.0.1', NUMBERS.slice(0, 2)),
      trunk('t2', 'a2', '10.0.0.2', NUMBERS.slice(2)),
    ),
    network_groups: fc.tuple(group('c1', 'n1'), group('c2', 'n2')),
  })
  .map((document) => present(document));

const requests = fc.record({
  sourceAddress: fc.constantFrom('10.0.0.1', '10.0.0.2', '192.0.2.1', '203.0.113.9'),
  sourcePort: fc.constant(5060),
  transport: fc.constant('udp'),
  calledNumber: fc.constantFrom('+447700900000', '+19005550100', '+33123456789', ...NUMBERS, 'alice', '\r\nX: 1'),
  callerNumber: fc.constantFrom(...NUMBERS, '+14155550199', ''),
  divertingNumber: fc.constantFrom('', NUMBERS[1]),
});

/** The same draws again for the same call. */
class Redrawn implements Random {
  #random = new SeededRandom(0);

  again(seed: number): void {
    this.#random = new SeededRandom(seed);
  }
  hex = (bytes: number): string => this.#random.hex(bytes);
  float = (): number => this.#random.float();
  uuid = (): string => this.#random.uuid();
}

t.test('random calls get the decision that was explained, whatever is up meanwhile', { timeout: 60_000 }, async (t) => {
  let routed = 0;
  await fc.assert(
    fc.asyncProperty(
      documents,
      fc.array(fc.tuple(requests, fc.nat(), fc.boolean()), { minLength: 1, maxLength: 12 }),
      async (document, calls) => {
        const checked = validateDocument(document);
        if (!checked.ok) throw new Error(checked.error[0]?.message);
        const holder = new TableHolder();
        await holder.apply({ kind: 'full', revision: 'r', batches: [flatten(checked.value)] });
        const random = new Redrawn();
        const clock = new ManualClock();
        const admission = new LiveAdmission(holder, { clock, random, unlisted: 'reject' });
        const up: (() => void)[] = [];
        for (const [request, seed, ends] of calls as [CallRequest, number, boolean][]) {
          random.again(seed);
          const explained = admission.explain(request);
          random.again(seed);
          const admitted = admission.admit(request);
          const { decision } = admitted;
          if (JSON.stringify(decision) !== JSON.stringify(explained)) return false;
          const more = admission.explanation(decision, request, new HeaderPolicy());
          if (more.attempts.length !== decision.destinations.length) return false;
          if ([...formatExplanation(more)].some((char) => char !== '\n' && char < ' ')) return false;
          if (decision.accepted) {
            routed++;
            const first = decision.destinations[0];
            // What was decided on is there to be taken: the first destination's carrier has room.
            if (first !== undefined && admitted.enter?.(first) !== undefined) return false;
          }
          up.push(() => admitted.release());
          if (ends) up.splice(0, 1)[0]?.();
          clock.advance(seed % 700);
        }
        for (const end of up) end();
        const left = admission.limiter.dump() as { calls: number; concurrent: object };
        return left.calls === 0 && Object.keys(left.concurrent).length === 0;
      },
    ),
    { numRuns: 300 },
  );
  t.ok(routed > 100, `${routed} calls were routed`);
});
