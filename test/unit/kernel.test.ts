import { spawnSync } from 'node:child_process';
import t from 'tap';
import {
  EventChannel,
  ManualClock,
  NOT_LISTED,
  Roster,
  SeededRandom,
  SlotMap,
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

t.test('a slot map does what a Map does', (t) => {
  const random = new SeededRandom(11);
  const ours = new SlotMap<number>();
  const theirs = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const key = `k${Math.floor(random.float() * 60)}`;
    if (Math.floor(random.float() * 3) === 0) t.equal(ours.delete(key), theirs.delete(key));
    else {
      ours.set(key, i);
      theirs.set(key, i);
    }
    if (ours.get(key) !== theirs.get(key) || ours.has(key) !== theirs.has(key)) t.fail(`${key} at ${i}`);
    if (ours.size !== theirs.size) t.fail(`size at ${i}`);
  }
  t.same([...ours], [...theirs], 'in the same order');
  t.same([...ours.keys()], [...theirs.keys()]);
  const met: number[] = [];
  for (const value of ours.values()) {
    if (met.length === 0) for (const key of [...ours.keys()].slice(1, 3)) ours.delete(key);
    met.push(value);
  }
  t.same(
    met,
    [...theirs.values()].filter((_, i) => i !== 1 && i !== 2),
    'what is removed meanwhile does not come',
  );
  ours.clear();
  t.same([ours.size, [...ours.values()], ours.get('k1')], [0, [], undefined]);
  t.end();
});

t.test('a roster does what a Set does, but for the order', (t) => {
  const random = new SeededRandom(12);
  const members = Array.from({ length: 40 }, (_, id) => ({ id, place: NOT_LISTED }));
  const ours = new Roster<(typeof members)[number]>();
  const theirs = new Set<(typeof members)[number]>();
  const ids = (all: Iterable<{ id: number }>): number[] => [...all].map(({ id }) => id).sort((a, b) => a - b);
  for (let i = 0; i < 3000; i++) {
    const member = members[Math.floor(random.float() * members.length)] as (typeof members)[number];
    if (Math.floor(random.float() * 2) === 0) t.equal(ours.delete(member), theirs.delete(member));
    else {
      ours.add(member);
      theirs.add(member);
    }
    if (ours.has(member) !== theirs.has(member) || ours.size !== theirs.size) t.fail(`at ${i}`);
  }
  t.same(ids(ours), ids(theirs));
  t.same(ids(ours.takeAll()), ids(theirs));
  t.same([ours.size, members.every(({ place }) => place === NOT_LISTED)], [0, true]);
  t.end();
});

/** Octets that the collector of young objects moves to the old generation while calls come and go, 20 at a time. */
const movedWith = (made: string): number => {
  const script = `
    import { SlotMap } from ${JSON.stringify(new URL('../../src/kernel/index.js', import.meta.url).href)};
    const calls = ${made};
    const call = (from, to) => {
      for (let i = from; i < to; i++) {
        calls.set('call-' + i, Array.from({ length: 60 }, (_, k) => ({ i, k })));
        calls.delete('call-' + (i - 20));
      }
    };
    call(0, 500);
    gc();
    call(500, 30000);`;
  const flags = ['--expose-gc', '--trace-gc-nvp', '--no-allocation-site-pretenuring', '--input-type=module'];
  const { stdout } = spawnSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8' });
  const moved = [...stdout.matchAll(/ gc=s .* promoted=(\d+)/g)].map(([, octets]) => Number(octets));
  if (moved.length < 5) throw new Error(`${moved.length} collections were seen`);
  return moved.reduce((sum, octets) => sum + octets, 0);
};

t.test('what has left a slot map does not grow old', (t) => {
  const [map, slots] = [movedWith('new Map()'), movedWith('new SlotMap()')];
  t.ok(slots < map / 4, `${slots} octets, with a Map ${map}`);
  t.end();
});
