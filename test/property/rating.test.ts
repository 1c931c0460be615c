import fc from 'fast-check';
import t from 'tap';
import { SpendLedger } from '../../src/call/admission/spend.js';
import { type Charge, amountOf, billedSecondsOf, chargeOf, microsOf } from '../../src/call/record/rating.js';
import type { Rate } from '../../src/call/routing/resources.js';
import { ManualClock } from '../../src/kernel/index.js';

/** Decimal text as the document's schema admits it. */
const amount = fc
  .tuple(fc.nat(999_999_999), fc.nat(6), fc.nat(999_999))
  .map(([units, digits, fraction]) =>
    digits === 0 ? String(units) : `${units}.${String(fraction).padStart(6, '0').slice(0, digits)}`,
  );
const small = fc.tuple(fc.nat(9), fc.nat(999_999)).map(([u, f]) => `${u}.${String(f).padStart(6, '0')}`);
const pulse = fc.integer({ min: 1, max: 3600 });
const rateArb = fc.record({
  outbound_price: small,
  currency: fc.constantFrom('USD', 'INR'),
  setup_fee: fc.option(small, { nil: undefined }),
  minimum_charge: fc.option(small, { nil: undefined }),
  first_seconds: fc.option(pulse, { nil: undefined }),
  next_seconds: fc.option(pulse, { nil: undefined }),
});
const talk = fc.oneof(
  fc.nat(86_400_000),
  fc.nat(3_000),
  fc.nat(7_200).map((seconds) => seconds * 1000),
);

/** Digits by hand: a decimal as a whole number of micros. */
const toMicros = (text: string): bigint => {
  const [units = '0', fraction = ''] = text.split('.');
  return BigInt(units) * 1_000_000n + BigInt((fraction + '000000').slice(0, 6));
};

/** The same sum another way: pulses one by one, in 60ths of a micro. */
const independent = (rate: Rate, talkMs: number): bigint => {
  const first = rate.first_seconds ?? 60;
  const next = rate.next_seconds ?? 60;
  let billed = first;
  while (billed * 1000 < talkMs) billed += next;
  const sixtieths = toMicros(rate.outbound_price ?? '0') * BigInt(billed);
  const whole = sixtieths / 60n;
  const rounded = (sixtieths % 60n) * 2n >= 60n ? whole + 1n : whole;
  const sum = rounded + toMicros(rate.setup_fee ?? '0');
  const least = toMicros(rate.minimum_charge ?? '0');
  return sum > least ? sum : least;
};

const defined = (rate: { [K in keyof Rate]?: Rate[K] | undefined }): Rate =>
  Object.fromEntries(Object.entries(rate).filter(([, value]) => value !== undefined));

t.test('charges of many calls add up to an independent sum, to the micro', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(rateArb, talk), { maxLength: 40 }), (calls) => {
      let total = 0n;
      let expected = 0n;
      for (const [wide, talkMs] of calls) {
        const rate = defined(wide);
        const charge = chargeOf({ rate, networkGroup: 'c/US/x', prefix: '1' }, 'outbound', talkMs);
        if (charge === null || !Number.isSafeInteger(charge.micros)) return false;
        if (!Number.isInteger(charge.billedSeconds) || charge.billedSeconds * 1000 < talkMs) return false;
        total += BigInt(charge.micros);
        expected += independent(rate, talkMs);
      }
      return total === expected;
    }),
    { numRuns: 400 },
  );
  t.pass('400 random bills');
});

t.test('calls and the dials of their flows add up to the micro, however they overlap', async (t) => {
  const dial = fc.record({ rate: rateArb, fromMs: fc.nat(600_000), talkMs: fc.nat(3_600_000) });
  fc.assert(
    fc.property(fc.array(dial, { maxLength: 12 }), (dials) => {
      const clock = new ManualClock(Date.UTC(2026, 10, 22));
      const ledger = new SpendLedger(clock);
      const own = { callId: 'c', trunkSid: 't', accountSid: undefined, direction: 'outbound' as const };
      const expected = new Map<string, bigint>();
      const charges: (Charge | null)[] = [];
      const steps = dials.flatMap(({ rate, fromMs, talkMs }, i) => {
        const counted = { ...own, dialId: `dial-${i}`, priced: { rate: rate as Rate } };
        const charge = chargeOf(counted.priced, 'outbound', talkMs);
        charges.push(charge);
        const { currency } = rate;
        expected.set(currency, (expected.get(currency) ?? 0n) + independent(rate as Rate, talkMs));
        const begin = (): void => ledger.answer(counted);
        return [
          { atMs: fromMs, run: begin },
          { atMs: fromMs + talkMs, run: () => ledger.endDial(counted, charge) },
        ];
      });
      for (const { atMs, run } of steps.sort((a, b) => a.atMs - b.atMs)) {
        clock.advance(Math.max(0, atMs - clock.nowMs()));
        run();
      }
      const sums = (): boolean =>
        [...expected].every(([currency, micros]) => BigInt(ledger.committedMicros('trunk:t', currency)) === micros);
      if (!sums()) return false;
      ledger.end(own, ...charges);
      return sums() && ledger.dump().running === 0;
    }),
    { numRuns: 200 },
  );
  t.pass('200 random calls');
});

t.test('amounts of the document become micros and text again without loss', async (t) => {
  fc.assert(
    fc.property(amount, (text) => {
      const micros = microsOf(text);
      return micros !== undefined && BigInt(micros) === toMicros(text) && microsOf(amountOf(micros)) === micros;
    }),
  );
  t.equal(amountOf(12_500), '0.0125');
  t.equal(amountOf(5_000_000), '5');
  t.equal(amountOf(-1), '-0.000001');
  for (const bad of ['', '1.', '.5', '1e3', '-1', '0.0000001', '1234567890', ' 1']) t.equal(microsOf(bad), undefined);
});

t.test('pulses, fee, minimum and rounding', async (t) => {
  const charge = (rate: Rate, talkMs: number) => chargeOf({ rate }, 'outbound', talkMs)?.micros;
  t.equal(charge({ outbound_price: '0.6' }, 0), 600_000, 'an answered call is charged its first minute');
  t.equal(charge({ outbound_price: '0.6' }, 60_000), 600_000);
  t.equal(charge({ outbound_price: '0.6' }, 60_001), 1_200_000, 'a millisecond begins the next minute');
  t.equal(charge({ outbound_price: '0.6', first_seconds: 1, next_seconds: 1 }, 61_000), 610_000, 'per second');
  t.equal(charge({ outbound_price: '0.6', first_seconds: 30, next_seconds: 6 }, 31_000), 360_000, '30/6');
  t.equal(charge({ outbound_price: '0.6', setup_fee: '0.05' }, 1), 650_000);
  t.equal(charge({ outbound_price: '0.01', minimum_charge: '0.25', setup_fee: '0.1' }, 1), 250_000);
  t.equal(charge({ outbound_price: '0.00003', first_seconds: 1 }, 1), 1, '30/60 of a micro is half: up');
  t.equal(charge({ outbound_price: '0.000029', first_seconds: 1 }, 1), 0, '29/60 of a micro: down');
  t.equal(charge({ outbound_price: '0' }, 5_000), 0, 'free is a price');
  t.equal(charge({ inbound_price: '1' }, 5_000), undefined, 'no price for this direction');
  t.equal(charge({ outbound_price: '999999999.999999' }, 604_800_000), Number.MAX_SAFE_INTEGER, 'the bound');
  t.equal(chargeOf({}, 'inbound', 1), null);
  t.equal(billedSecondsOf({ first_seconds: 60, next_seconds: 1 }, 60_000.2), 61);
  const inbound = chargeOf({ rate: { inbound_price: '0.0085' } }, 'inbound', 119_999);
  t.same(inbound, {
    currency: 'USD',
    micros: 17_000,
    billedSeconds: 120,
    rate: { inbound_price: '0.0085' },
    networkGroup: null,
    prefix: null,
  });
});
