/** What trunks and accounts have spent today: calls being set up, up, and over; across midnight; rebuilt from records. */
import t from 'tap';
import { SpendLedger } from '../../src/call/admission/spend.js';
import { type SettledCall, chargesOf } from '../../src/call/record/chargesToday.js';
import { FileCallRecorder } from '../../src/call/record/fileRecorder.js';
import { type Charge, chargeOf } from '../../src/call/record/rating.js';
import { ManualClock } from '../../src/kernel/index.js';
import { callRecord } from '../support/callRecord.js';

const PRICED = { rate: { outbound_price: '0.6', currency: 'EUR', first_seconds: 10, next_seconds: 1 } };
const call = (callId: string, priced = PRICED) => ({
  callId,
  trunkSid: 't',
  accountSid: 'a',
  direction: 'outbound' as const,
  priced,
});
const charge = (talkMs: number): Charge => chargeOf(PRICED, 'outbound', talkMs) as Charge;

t.test('a call counts with its first pulse, then as it goes on, then by its record', async (t) => {
  const clock = new ManualClock();
  const ledger = new SpendLedger(clock);
  const spent = (key = 'trunk:t', currency = 'EUR') => ledger.committedMicros(key, currency);
  t.equal(spent(), 0);
  ledger.begin(call('one'));
  ledger.begin(call('one'));
  t.equal(spent(), 100_000, 'ten seconds, once');
  t.equal(spent('account:a'), 100_000);
  t.equal(spent('trunk:t', 'USD'), 0);
  clock.advance(30_000);
  t.equal(spent(), 100_000, 'ringing costs nothing more');
  ledger.answer(call('one', { rate: { ...PRICED.rate, outbound_price: '1.2' } }));
  t.equal(spent(), 200_000, 'the destination that answered costs twice as much');
  clock.advance(25_000);
  t.equal(spent(), 500_000);
  ledger.end(call('one'), charge(25_000));
  t.equal(spent(), 250_000, 'what the record says');
  ledger.begin(call('two'));
  ledger.end(call('two'), null);
  t.equal(spent(), 250_000, 'nobody answered');
  ledger.end(call('never begun'), charge(1));
  t.equal(spent(), 350_000);
  t.match(ledger.dump(), { running: 0 });
});

t.test('a new day begins with what is up', async (t) => {
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 23, 59, 50));
  const ledger = new SpendLedger(clock);
  ledger.end(call('before'), charge(60_000));
  ledger.begin(call('across'));
  ledger.answer(call('across'));
  t.equal(ledger.committedMicros('trunk:t', 'EUR'), 700_000);
  clock.advance(20_000);
  t.equal(ledger.committedMicros('trunk:t', 'EUR'), 200_000);
  ledger.end(call('across'), charge(20_000));
  t.equal(ledger.committedMicros('trunk:t', 'EUR'), 200_000);
});

t.test('dials count beside their call, and are settled with it, on the day of its end', async (t) => {
  const clock = new ManualClock(Date.UTC(2026, 10, 22, 23, 59, 0));
  const ledger = new SpendLedger(clock);
  const spent = () => ledger.committedMicros('account:a', 'EUR');
  const dial = (dialId: string, priced = PRICED) => ({ ...call('one', priced), dialId });
  ledger.begin(call('one'));
  ledger.answer(call('one'));
  for (const id of ['lost', 'won']) ledger.begin(dial(id));
  t.equal(spent(), 300_000, 'each first pulse');
  ledger.endDial(dial('lost'), null);
  ledger.answer(dial('won'));
  clock.advance(20_000);
  t.equal(spent(), 400_000);
  ledger.endDial(dial('won'), charge(20_000));
  ledger.endDial(dial('won'), charge(20_000));
  ledger.endDial(dial('unknown'), charge(20_000));
  clock.advance(30_000);
  t.equal(spent(), 500_000 + 200_000, 'one goes on, the other has cost what it has');
  t.match(ledger.takeChanged(), [{ micros: 700_000 }, { micros: 700_000 }], 'other nodes hear of it');
  clock.advance(20_000);
  t.equal(spent(), 900_000, 'the next day begins with all that is not settled');
  ledger.end(call('one'), charge(70_000), charge(20_000), null);
  t.equal(spent(), 900_000);
  clock.advance(5000);
  t.equal(spent(), 900_000, 'nothing of it goes on');
  t.match(ledger.dump(), { running: 0 });
  ledger.begin(dial('abandoned'));
  ledger.end(call('one'), null);
  t.equal(spent(), 900_000, 'a call takes what is left of its dials along');
  t.match(ledger.dump(), { running: 0 });
});

t.test('own sums are news once, those of others are added', async (t) => {
  const clock = new ManualClock();
  const ledger = new SpendLedger(clock);
  t.equal(ledger.committedMicros('account:x', 'USD'), 0);
  t.same([...ledger.asked(1000)], [{ key: 'account:x', currency: 'USD' }]);
  ledger.end(call('one'), charge(10_000));
  t.same(ledger.takeChanged(), [
    { key: 'trunk:t', currency: 'EUR', micros: 100_000 },
    { key: 'account:a', currency: 'EUR', micros: 100_000 },
  ]);
  t.same(ledger.takeChanged(), []);
  ledger.changeAll();
  t.equal(ledger.takeChanged().length, 2);
  ledger.hear([{ key: 'trunk:t', currency: 'EUR', micros: 5 }]);
  ledger.hear([{ key: 'trunk:t', currency: 'EUR', micros: 7 }]);
  t.equal(ledger.committedMicros('trunk:t', 'EUR'), 100_007);
  clock.advance(2000);
  t.same([...ledger.asked(1000)], []);
});

t.test('the day is read again from its records', async (t) => {
  const evilUri = 'sip:x@y","decision":{';
  const folder = t.testdir({});
  const clock = new ManualClock(Date.UTC(2026, 10, 22));
  const recorder = new FileCallRecorder({ folder, rotateBytes: 9000, rotateDaily: true, clock, onAlarm: () => {} });
  for (let i = 0; i < 40; i++) {
    const endedAt = i < 10 ? '2026-11-21T23:59:59.999Z' : '2026-11-22T00:00:00.000Z';
    const evil = ',"charge":{"currency":"EUR","micros":9},"decision":{';
    recorder.write(
      callRecord({ callId: `c${i}`, endedAt, charge: i % 2 === 0 ? charge(i * 1000) : null, callerReceived: evil }),
    );
  }
  const dial = { uri: evilUri, carrierId: 'x', answeredAt: '', talkMs: 1 };
  const dials = [11_000, 12_000].map((talkMs) => ({ ...dial, charge: charge(talkMs) }));
  const { decision, ...rest } = callRecord({ callId: 'dials', endedAt: '2026-11-22T00:00:00.000Z' });
  recorder.write({ ...rest, dials: [...dials, { ...dial, charge: null }], decision });
  await recorder.close();
  const found: SettledCall[] = [];
  for await (const one of chargesOf(folder, '2026-11-22', () => Promise.resolve())) found.push(one);
  t.same(
    found.map(({ callId }) => callId),
    [...Array.from({ length: 15 }, (_, i) => `c${10 + 2 * i}`), 'dials', 'dials'],
  );
  t.same(
    found.slice(15).map((one) => one.charge),
    [charge(11_000), charge(12_000)],
    'a call that cost nothing itself may have dials that did',
  );
  t.same(found[3]?.charge, charge(16_000));
  t.match(found[0], { trunkSid: 'trk_demo', accountSid: 'demo' });
});
