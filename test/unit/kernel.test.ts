import t from 'tap';
import {
  EventChannel,
  ManualClock,
  SeededRandom,
  SystemClock,
  SystemRandom,
  TandemError,
} from '../../src/kernel/index.js';

t.test('a manual clock fires timers in the order of their time, then of their setting', (t) => {
  const clock = new ManualClock();
  const fired: string[] = [];
  const note = (name: string, delayMs: number) =>
    clock.setTimer(name, delayMs, () => fired.push(`${name}@${clock.nowMs()}`));
  note('late', 100);
  note('early', 50);
  note('also early', 50);
  note('now', 0);
  const cancelled = note('cancelled', 60);
  cancelled.cancel();
  cancelled.cancel();
  t.equal(cancelled.active, false);
  t.strictSame(clock.dump(), { late: 1, early: 1, 'also early': 1, now: 1 });
  clock.advance(99);
  t.strictSame(fired, ['now@0', 'early@50', 'also early@50']);
  clock.advance(1);
  t.strictSame(fired.slice(3), ['late@100']);
  t.equal(clock.pending, 0);
  t.end();
});

t.test('a timer set by a timer runs at its own time within one advance', (t) => {
  const clock = new ManualClock();
  const times: number[] = [];
  const again = (): void => {
    times.push(clock.nowMs());
    if (times.length < 3) clock.setTimer('again', 10, again);
  };
  clock.setTimer('again', 10, again);
  clock.advance(100);
  t.strictSame(times, [10, 20, 30]);
  t.end();
});

t.test('a timer may cancel another that is due at the same time', (t) => {
  const clock = new ManualClock();
  let other = false;
  clock.setTimer('first', 10, () => second.cancel());
  const second = clock.setTimer('second', 10, () => {
    other = true;
  });
  clock.advance(10);
  t.equal(other, false);
  t.equal(clock.pending, 0);
  t.end();
});

t.test('stepping the wall clock leaves durations alone', (t) => {
  const clock = new ManualClock(1000);
  clock.advance(500);
  clock.stepWall(3_600_000);
  t.equal(clock.nowMs(), 500);
  t.equal(clock.wallMs(), 3_601_500);
  t.end();
});

t.test('advanceAsync lets promises run between timers', async (t) => {
  const clock = new ManualClock();
  const seen: string[] = [];
  const wait = (ms: number) => new Promise<void>((resolve) => clock.setTimer('wait', ms, resolve));
  const work = (async () => {
    await wait(10);
    seen.push(`a@${clock.nowMs()}`);
    await wait(10);
    seen.push(`b@${clock.nowMs()}`);
  })();
  await clock.advanceAsync(30);
  await work;
  t.strictSame(seen, ['a@10', 'b@20']);
});

t.test('the system clock fires in order, goes on after a callback that threw, and is monotonic', async (t) => {
  const errors: unknown[] = [];
  const clock = new SystemClock((error) => errors.push(error));
  const fired: string[] = [];
  const alive = setInterval(() => {}, 1000);
  await new Promise<void>((resolve) => {
    clock.setTimer('last', 30, resolve);
    clock.setTimer('throws', 10, () => {
      throw new Error('on purpose');
    });
    clock.setTimer('after', 15, () => fired.push('after'));
    clock.setTimer('first', 5, () => fired.push('first'));
    clock.setTimer('never', 5, () => fired.push('never')).cancel();
  });
  clearInterval(alive);
  t.strictSame(fired, ['first', 'after']);
  t.equal(errors.length, 1);
  t.strictSame(clock.dump(), {});
  const before = clock.nowMs();
  t.ok(clock.nowMs() >= before);
});

t.test('random text has the form asked for, and a seed repeats it', (t) => {
  for (const random of [new SystemRandom(), new SeededRandom(1)]) {
    t.match(random.hex(12), /^[0-9a-f]{24}$/);
    t.match(random.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    for (let i = 0; i < 1000; i++) {
      const value = random.float();
      if (value < 0 || value >= 1) t.fail(`float ${value}`);
    }
  }
  t.equal(new SeededRandom(7).hex(20), new SeededRandom(7).hex(20));
  const many = new SystemRandom();
  t.equal(new Set(Array.from({ length: 5000 }, () => many.hex(8))).size, 5000);
  t.end();
});

t.test('an observer that throws does not stop the others', (t) => {
  const errors: unknown[] = [];
  const channel = new EventChannel<number>((error) => errors.push(error));
  const seen: number[] = [];
  channel.subscribe(() => {
    throw new TandemError({ code: 'x', message: 'y' });
  });
  const unsubscribe = channel.subscribe((n) => seen.push(n));
  channel.emit(1);
  unsubscribe();
  unsubscribe();
  channel.emit(2);
  t.strictSame(seen, [1]);
  t.equal(errors.length, 2);
  t.end();
});
