import t from 'tap';
import { GatewayHealth, type HealthChange } from '../../src/call/health/gatewayHealth.js';
import { GatewayProber } from '../../src/call/health/prober.js';
import {
  type Encounter,
  HEALTH_TABLE,
  type HealthEvent,
  type HealthState,
  eventOf,
} from '../../src/call/health/states.js';
import { ManualClock } from '../../src/kernel/index.js';

const GATEWAY = '192.0.2.1:5060';
const SILENCE: Encounter = { result: 'silence', sipStatus: 0 };
const OK: Encounter = { result: 'answered', sipStatus: 200 };

function made(probed = false) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const told = ({ gateway, state, cause, quarantineMs }: HealthChange): void =>
    void changes.push(`${gateway} ${state} ${cause} ${quarantineMs}`);
  const health = new GatewayHealth(clock, { quarantineMs: 5_000, maxQuarantineMs: 60_000, probed }, told);
  return { clock, changes, health };
}

t.test('every cell of the table', async (t) => {
  const expected: { readonly [state in HealthState]: { readonly [event in HealthEvent]: string } } = {
    up: { answer: 'up', fault: 'down first', quarantine_over: 'up' },
    down: { answer: 'up', fault: 'down', quarantine_over: 'trial' },
    trial: { answer: 'up', fault: 'down longer', quarantine_over: 'trial' },
  };
  for (const [state, events] of Object.entries(expected)) {
    for (const [event, text] of Object.entries(events)) {
      const { next, quarantine } = HEALTH_TABLE[state as HealthState][event as HealthEvent];
      t.equal([next, quarantine].filter(Boolean).join(' '), text, `${state} + ${event}`);
    }
  }
});

t.test('an answer of any kind is a sign of life, but for 503; a withdrawn call says nothing', async (t) => {
  for (const result of ['silence', 'timeout', 'transport_error', 'unresolved_host'])
    t.equal(eventOf({ result, sipStatus: 0 }), 'fault', result);
  t.equal(eventOf({ result: 'response', sipStatus: 503 }), 'fault');
  for (const sipStatus of [200, 404, 408, 480, 486, 500, 504, 603])
    t.equal(eventOf({ result: 'response', sipStatus }), 'answer', `${sipStatus}`);
  t.equal(eventOf({ result: 'ring_timeout', sipStatus: 180 }), 'answer', 'who rings lives');
  t.equal(eventOf({ result: 'cancelled', sipStatus: 0 }), undefined);
});

t.test(
  'a gateway that was silent is down at once, on trial after its quarantine, and up at the first answer',
  async (t) => {
    const { clock, changes, health } = made();
    t.notOk(health.isDown(GATEWAY), 'unknown gateways are up');
    health.met(GATEWAY, SILENCE);
    t.ok(health.isDown(GATEWAY));
    clock.advance(4_999);
    t.ok(health.isDown(GATEWAY));
    clock.advance(1);
    t.notOk(health.isDown(GATEWAY), 'the next call may try it');
    t.same([...health.ailing()], [{ gateway: GATEWAY, state: 'trial' }]);
    health.met(GATEWAY, OK);
    t.same(changes, [`${GATEWAY} down silence 5000`, `${GATEWAY} trial silence 5000`, `${GATEWAY} up answer 0`]);
    t.same(health.dump(), [], 'a healthy gateway costs nothing');
    t.equal(clock.pending, 0);
  },
);

t.test('each failed trial doubles the quarantine, up to its bound; calls that were on their way do not', async (t) => {
  const { clock, health } = made();
  const lengths: number[] = [];
  for (let round = 0; round < 6; round++) {
    health.met(GATEWAY, SILENCE);
    for (let call = 0; call < 20; call++) health.met(GATEWAY, SILENCE);
    const [{ quarantineMs } = { quarantineMs: 0 }] = health.dump() as { quarantineMs: number }[];
    lengths.push(quarantineMs);
    clock.advance(quarantineMs);
  }
  t.same(lengths, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  health.close();
  t.equal(clock.pending, 0);
});

t.test('a gateway may ask for time by Retry-After, within the bound', async (t) => {
  const { clock, health } = made();
  health.met(GATEWAY, { result: 'response', sipStatus: 503 }, 30_000);
  clock.advance(29_999);
  t.ok(health.isDown(GATEWAY));
  clock.advance(1);
  t.notOk(health.isDown(GATEWAY));
  health.met('other', { result: 'response', sipStatus: 503 }, 86_400_000);
  clock.advance(60_000);
  t.notOk(health.isDown('other'));
  health.close();
});

t.test('what is remembered is bounded', async (t) => {
  const { clock, health } = made();
  for (let i = 0; i < 10_500; i++) health.met(`gateway${i}`, SILENCE);
  t.equal(health.dump().length, 10_000);
  t.notOk(health.isDown('gateway0'), 'the oldest is forgotten');
  t.equal(clock.pending, 10_000);
  health.close();
  t.equal(clock.pending, 0);
});

t.test('probes bring a gateway back without a call, and look at all of them where that is wanted', async (t) => {
  const { clock, health } = made(true);
  const asked: string[] = [];
  const waiting = new Map<string, (encounter: Encounter) => void>();
  const prober = new GatewayProber(health, {
    clock,
    settings: { downMs: 2_000, allMs: 30_000 },
    all: () => ['a', 'b'],
    ask: (gateway, done) => {
      asked.push(gateway);
      waiting.set(gateway, done);
    },
  });
  prober.start();
  health.met('a', SILENCE);
  clock.advance(2_000);
  t.same(asked, ['a'], 'those that are down only');
  clock.advance(2_000);
  t.same(asked, ['a'], 'one request at a time for each');
  clock.advance(2_000);
  t.ok(health.isDown('a'), 'no call is the trial');
  waiting.get('a')?.({ result: 'response', sipStatus: 404 });
  t.notOk(health.isDown('a'), 'any answer will do');
  clock.advance(24_000);
  t.same(asked, ['a', 'a', 'b']);
  waiting.get('b')?.({ result: 'timeout', sipStatus: 0 });
  t.ok(health.isDown('b'), 'found before a call did');
  prober.stop();
  health.close();
  t.equal(clock.pending, 0);
});

t.test('a table of thousands of gateways is asked a few at a time', async (t) => {
  const { clock, health } = made();
  let underWay = 0;
  let most = 0;
  const answers: (() => void)[] = [];
  const prober = new GatewayProber(health, {
    clock,
    settings: { downMs: 0, allMs: 1_000 },
    all: () => Array.from({ length: 5_000 }, (_, i) => `g${i}`),
    ask: (_gateway, done) => {
      most = Math.max(most, ++underWay);
      answers.push(() => {
        underWay--;
        done(OK);
      });
    },
  });
  prober.start();
  clock.advance(1_000);
  let asked = 0;
  for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) {
    asked++;
    answer();
  }
  t.equal(asked, 5_000);
  t.equal(most, 50);
  prober.stop();
});
