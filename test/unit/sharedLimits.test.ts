/** A node's part of a limit that nodes share, without anybody to hand out parts. The rest is in the contract with Redis. */
import t from 'tap';
import type { Ask, ExchangeAnswer } from '../../src/call/admission/exchange.js';
import { LimitLeases } from '../../src/call/admission/limitLeases.js';
import { Share } from '../../src/call/admission/share.js';
import { SharedLimiter } from '../../src/call/admission/sharedLimiter.js';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';

const CLAIM = { key: 'trunk:a', concurrentCalls: 10, callsPerSecond: undefined };

t.test('a part is what was granted; cut off for long, an equal part is everybody’s', async (t) => {
  const share = new Share(CLAIM, 0, { nodes: 2, aloneSinceMs: undefined });
  const company = { nodes: 2, aloneSinceMs: undefined };
  t.equal(share.quota(10, company), 5, 'nothing was granted yet: an equal part');
  share.known = true;
  share.held = 0;
  t.equal(share.quota(10, company), 0);
  t.equal(share.quota(10, { nodes: 2, aloneSinceMs: 0 }), 0, 'cut off for a moment: parts stay');
  t.equal(share.quota(10, { nodes: 2, aloneSinceMs: 0, cutOff: true }), 5, 'no trunk is shut out');
  share.held = 8;
  t.equal(share.quota(10, { nodes: 2, aloneSinceMs: 0, cutOff: true }), 8, 'what is held stays');
  t.equal(share.quota(6, { nodes: 2, aloneSinceMs: 0, cutOff: true }), 6, 'never more than the limit');
});

t.test('ten seconds after the last answer a node that held nothing takes calls again', async (t) => {
  const clock = new ManualClock();
  const limiter = new SharedLimiter();
  let reachable = true;
  const exchange = {
    onNews: () => {},
    exchange: (asks: readonly Ask[]): Promise<ExchangeAnswer> =>
      reachable
        ? Promise.resolve({ nodes: 2, recovering: false, grants: asks.map(() => ({ held: 0, tokens: 0 })) })
        : Promise.reject(new Error('ECONNREFUSED')),
    leave: () => Promise.resolve(),
  };
  const events: string[] = [];
  const leases = new LimitLeases({
    limiter,
    exchange,
    clock,
    random: new SeededRandom(1),
    onEvent: (event) => events.push(event.type),
  });
  await leases.start(2000);
  const mayCall = (): boolean => {
    const claimed = limiter.claim([CLAIM], clock.nowMs());
    if (claimed.ok) limiter.release(claimed.value, clock.nowMs());
    return claimed.ok;
  };
  mayCall();
  await clock.advanceAsync(3000);
  t.notOk(mayCall(), 'the other node holds it all');
  reachable = false;
  await clock.advanceAsync(5000);
  t.equal(events.at(-1), 'alone');
  t.notOk(mayCall(), 'parts stay while the others may only be late');
  await clock.advanceAsync(12_000);
  t.ok(mayCall());
  await leases.close();
});
