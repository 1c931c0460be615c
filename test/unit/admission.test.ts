import t from 'tap';
import { CallLimiter } from '../../src/call/admission/limiter.js';
import { UnlistedLog, screenSource } from '../../src/call/admission/sourceGate.js';
import { TableBuilder } from '../../src/call/routing/compile.js';
import type { LimitClaim } from '../../src/call/routing/decision.js';

const claim = (key: string, callsPerSecond?: number, concurrentCalls?: number): LimitClaim => ({
  key,
  callsPerSecond,
  concurrentCalls,
});

t.test('calls are counted up and down; a second release does nothing', async (t) => {
  const limiter = new CallLimiter();
  const claims = [claim('trunk:a', undefined, 2), claim('carrier:c')];
  const first = limiter.claim(claims, 0);
  const second = limiter.claim(claims, 0);
  if (!first.ok || !second.ok) throw new Error('refused');
  t.equal(limiter.concurrent('trunk:a'), 2);
  t.match(limiter.claim(claims, 0), { ok: false, error: { key: 'trunk:a', limit: 'concurrent_calls' } });
  t.equal(limiter.concurrent('carrier:c'), 2);
  limiter.release(first.value);
  limiter.release(first.value);
  t.equal(limiter.concurrent('trunk:a'), 1);
  t.equal(limiter.claim(claims, 0).ok, true);
  t.equal(limiter.claim(claims, 0).ok, false);
});

t.test('a claim takes all of its limits or none', async (t) => {
  const limiter = new CallLimiter();
  t.match(limiter.claim([claim('trunk:a', 1, 5), claim('carrier:c', 0)], 0), {
    ok: false,
    error: { key: 'carrier:c' },
  });
  t.equal(limiter.concurrent('trunk:a'), 0);
  t.equal(limiter.rateAllows('trunk:a', 1, 0), true, 'the rate is given back too');
  t.match(limiter.dump(), { calls: 0, concurrent: {} });
});

t.test('a rate lets a second of calls start at once, then one at a time', async (t) => {
  const limiter = new CallLimiter();
  const rate = [claim('trunk:a', 10)];
  for (let i = 0; i < 10; i++) t.equal(limiter.claim(rate, 1000).ok, true);
  t.match(limiter.claim(rate, 1000), { ok: false, error: { limit: 'calls_per_second', retryAfterMs: 100 } });
  t.equal(limiter.rateAllows('trunk:a', 10, 1099), false);
  t.equal(limiter.rateAllows('trunk:a', 10, 1100), true);
  t.equal(limiter.claim(rate, 1100).ok, true);
  t.equal(limiter.claim(rate, 1100).ok, false);
  t.equal(limiter.claim(rate, 500).ok, false, 'a clock that goes back gives nothing');
  const slow = [claim('trunk:slow', 0.5)];
  t.same(
    [0, 1999, 2000].map((now) => limiter.claim(slow, now).ok),
    [true, false, true],
  );
});

t.test('idle keys are forgotten', async (t) => {
  const limiter = new CallLimiter();
  for (let i = 0; i < 50_000; i++) {
    const held = limiter.claim([claim(`trunk:${i}`, 5, 5)], i);
    if (held.ok) limiter.release(held.value);
  }
  const { rates, calls, concurrent } = limiter.dump();
  t.ok(rates < 5000, `${rates} buckets`);
  t.equal(calls, 0);
  t.same(concurrent, {});
});

t.test('only listed sources pass the gate', async (t) => {
  const table = await new TableBuilder().compile({
    kind: 'full',
    revision: 'r',
    batches: [
      [{ type: 'carrier', value: { id: 'c', kind: 'byo', source_acl: [{ ip: '192.0.2.0', mask: 25 }], gateways: [] } }],
    ],
  });
  t.equal(screenSource(table, '192.0.2.127'), 'known');
  t.equal(screenSource(table, '::ffff:192.0.2.1'), 'known');
  t.equal(screenSource(table, '192.0.2.128'), 'unknown');
  t.equal(screenSource(table, ''), 'unknown');
});

t.test('a flood from unlisted sources writes few lines and keeps little', async (t) => {
  const log = new UnlistedLog({ perSourcePerMinute: 2, perSecond: 5, maxSources: 100 });
  t.same(
    [0, 0, 0, 30_000, 30_000].map((now) => log.shouldLog('203.0.113.1', now)),
    [true, true, false, true, false],
  );
  t.equal(log.takeUnlogged(), 2);
  t.equal(log.takeUnlogged(), 0);
  let lines = 0;
  for (let i = 0; i < 10_000; i++) if (log.shouldLog(`203.0.${i >> 8}.${i & 255}`, 40_000 + i / 10)) lines++;
  t.ok(lines <= 11, `${lines} lines in a second`);
  t.ok(log.size <= 100);
  t.equal(log.takeUnlogged(), 10_000 - lines);
});
