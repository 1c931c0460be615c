import t from 'tap';
import { ManualClock, SeededRandom } from '../../src/kernel/index.js';
import { Bridge } from '../../src/call/bridge/bridge.js';
import { type CallEnding, endingOf } from '../../src/call/bridge/ending.js';
import type { Estate } from '../../src/call/bridge/heir.js';
import { HeaderPolicy } from '../../src/call/bridge/headerPolicy.js';
import { BRIDGE_TABLE, type BridgeEvent, type BridgeState } from '../../src/call/bridge/states.js';
import { type BridgeObserver, DEFAULT_BRIDGE_SETTINGS } from '../../src/call/bridge/world.js';
import { Draft } from '../../src/call/routing/draft.js';
import type { SignalMessage } from '../../src/signal/port.js';
import {
  type FakeIncomingLeg,
  FakeMessage,
  type FakeOutgoingLeg,
  FakeReinvite,
  FakeSignal,
} from '../support/fakeSignal.js';

/** A bridge with two destinations, taken apart from the session. */
class Bench {
  readonly clock = new ManualClock();
  readonly signal = new FakeSignal();
  readonly endings: CallEnding[] = [];
  readonly a: FakeIncomingLeg;
  readonly bridge: Bridge;
  releases = 0;

  constructor() {
    this.a = this.signal.leg();
    const draft = new Draft('r1', {
      sourceAddress: '',
      sourcePort: 0,
      transport: 'udp',
      calledNumber: '',
      callerNumber: '',
    });
    draft.destinations = ['192.0.2.1', '192.0.2.2'].map((host) => ({
      uri: `sip:1@${host}`,
      gateway: host,
      priority: 0,
      weight: 1,
    }));
    const observer: BridgeObserver = {
      onAttemptStarted: () => {},
      onAttemptEnded: () => {},
      onRinging: () => {},
      onAnswered: () => {},
      onOver: (ending) => this.endings.push(ending),
      onReleased: () => this.releases++,
      onRefer: (_side, request) => request.respond(603),
      onFault: () => {},
    };
    const { clock, signal: port } = this;
    const world = {
      port,
      clock,
      random: new SeededRandom(1),
      policy: new HeaderPolicy(),
      settings: DEFAULT_BRIDGE_SETTINGS,
    };
    const call = {
      aLeg: this.a,
      plan: { decision: draft.accept() },
      invite: { from: '<sip:x@localhost>', body: Buffer.from('o') },
    };
    this.bridge = new Bridge(world, call, observer);
    this.a.sink = this.bridge;
  }

  get b(): FakeOutgoingLeg {
    return this.signal.b(1);
  }

  bringTo(state: BridgeState): void {
    if (state === 'deciding') return;
    this.bridge.begin();
    if (state === 'attempting') return;
    if (state === 'ringing') return this.b.progresses(180);
    if (state === 'early_media') return this.b.progresses(183, 'early');
    this.b.answers();
    if (state === 'answering') return;
    this.a.acks();
    if (state === 'established') return;
    if (state === 'handed_over') return this.handOver();
    this.a.byes();
    if (state === 'ended') this.b.confirms();
  }

  /** To an heir that tells what it hears, and closes the books at the first end. */
  handOver(): void {
    const { bridge, a, b, signal } = this;
    const estate = bridge.estate as Estate;
    bridge.handOver(
      {
        get state() {
          const ended = a.ended && b.ended;
          return ended ? 'ended' : 'handed_over';
        },
        take: (_bridge, event, now) => {
          signal.ladder.push(`heir <- ${event}`);
          now.request?.respond(200);
          if (now.request === undefined) bridge.conclude(endingOf('a', { kind: 'local_bye' }, true));
          if (a.ended && b.ended) bridge.released(0);
        },
        abandon: () => bridge.released(0),
        dump: () => ({}),
      },
      estate.relay,
    );
  }

  /** Everything still open comes to its end, as the port promises. */
  finish(): void {
    if (!this.a.ended) this.a.ends({ kind: 'engine_lost' });
    for (let round = 0; round < 3; round++) {
      for (const leg of [...this.signal.outgoing]) {
        if (leg.ended) continue;
        if (leg.answeredByPeer) leg.ends({ kind: 'engine_lost' });
        else leg.fails({ kind: 'cancelled' });
      }
    }
  }
}

const message = (method: string): SignalMessage => new FakeMessage({ method });
const poison = {
  get message(): SignalMessage {
    throw new Error('poison');
  },
  respond: () => {
    throw new Error('poison');
  },
};

const tick = (bench: Bench, name: string): void => {
  const delayMs =
    { silence: 3000, ring_timeout: 60_000, duration_limit: 14_400_000, release_timeout: 40_000 }[name] ?? 0;
  bench.clock.advance(delayMs);
};

/** Fires an event at the bench's bridge, whether or not the port would ever deliver it there. */
const FIRE: { readonly [E in BridgeEvent]: (bench: Bench) => void } = {
  begin: ({ bridge }) => bridge.begin(),
  a_ack: ({ a, bridge }) => bridge.onAck(a, message('ACK'), undefined),
  a_cancelled: ({ a }) => a.ends({ kind: 'cancelled', message: undefined }),
  a_bye: ({ a }) => a.ends({ kind: 'remote_bye', message: message('BYE') }),
  a_lost: ({ a }) => a.ends({ kind: 'dialog_lost', status: 481 }),
  a_over: ({ a }) => a.ends({ kind: 'rejected' }),
  a_request: ({ a }) => void a.asks('INFO'),
  a_reinvite: ({ a, bridge }) => bridge.onReinvite(a, new FakeReinvite(a, 'o', [])),
  b_trying: ({ b }) => b.sink.onTrying(b),
  b_progress: ({ b }) => b.sink.onProgress(b, new FakeMessage({ status: 180 })),
  b_answered: ({ b }) => {
    b.answeredByPeer = true;
    b.sink.onAnswered(b, new FakeMessage({ status: 200, body: 'ans' }));
  },
  b_failed: ({ b }) => {
    b.ended = true;
    b.sink.onFailed(b, { kind: 'response', status: 503, message: new FakeMessage({ status: 503 }) });
  },
  b_bye: ({ b }) => b.ends({ kind: 'remote_bye', message: message('BYE') }),
  b_lost: ({ b }) => b.ends({ kind: 'dialog_lost', status: 481 }),
  b_over: ({ b }) => b.ends({ kind: 'local_bye' }),
  b_request: ({ b }) => void b.asks('INFO'),
  b_reinvite: ({ b }) => b.sink.onReinvite(b, new FakeReinvite(b, 'o', [])),
  picked_up: ({ bridge, signal }) =>
    bridge.pickUp({
      destination: { uri: 'sip:2@192.0.2.3', gateway: '192.0.2.3', priority: 0, weight: 1 },
      leg: (events) => {
        const by = signal.invite({ uri: 'sip:2@192.0.2.3', from: '', to: '' }, events) as FakeOutgoingLeg;
        return Object.assign(by, { begin: () => by.answers('ans') });
      },
    }),
  silence: (bench) => tick(bench, 'silence'),
  ring_timeout: (bench) => tick(bench, 'ring_timeout'),
  duration_limit: (bench) => tick(bench, 'duration_limit'),
  release_timeout: (bench) => tick(bench, 'release_timeout'),
  hang_up: ({ bridge }) => bridge.hangUp({ sipStatus: 503, reasonCode: 'drain_limit', q850: 41 }),
  fault: ({ a, bridge }) => bridge.onRequest(a, poison),
};

type Expectation = string | undefined;
type Row = { readonly [E in BridgeEvent]: Expectation };

/** No leg of B yet, or no such timer: the event cannot exist. Then the table must have nothing, or 481, in the cell. */
const NEVER = undefined;
const SAME = 'same';

const noLegs = {
  b_trying: NEVER,
  b_progress: NEVER,
  b_answered: NEVER,
  b_failed: NEVER,
  b_bye: NEVER,
  b_lost: NEVER,
  b_over: NEVER,
  b_request: NEVER,
  b_reinvite: NEVER,
  picked_up: NEVER,
};
const noTimers = { silence: NEVER, ring_timeout: NEVER, duration_limit: NEVER, release_timeout: NEVER };

const unanswered = {
  begin: SAME,
  a_ack: SAME,
  a_cancelled: 'releasing: B1 <- CANCEL',
  a_bye: 'releasing: B1 <- CANCEL',
  a_lost: 'releasing: B1 <- CANCEL {SIP;cause=481;text="Other leg lost"}',
  a_over: 'releasing: B1 <- CANCEL',
  a_request: 'same: A <- 500 (INFO)',
  a_reinvite: 'same: A <- 500 (re-INVITE)',
  b_trying: SAME,
  b_progress: 'ringing: A <- 180',
  b_answered: 'answering: B1 <- ACK, A <- 200 [ans]',
  b_failed: 'attempting: B2 <- INVITE [o]',
  b_bye: 'attempting: B2 <- INVITE [o]',
  b_lost: 'attempting: B2 <- INVITE [o]',
  b_over: 'attempting: B2 <- INVITE [o]',
  b_request: 'same: B1 <- 500 (INFO)',
  b_reinvite: 'same: B1 <- 500 (re-INVITE)',
  picked_up:
    'answering: B2 <- INVITE, B1 <- CANCEL {SIP;cause=200;text="Call completed elsewhere"}, B2 <- ACK, A <- 200 [ans]',
  ...noTimers,
  hang_up:
    'releasing: A <- 503 {SIP;cause=503;text="drain_limit" | Q.850;cause=41}, B1 <- CANCEL {SIP;cause=503;text="drain_limit" | Q.850;cause=41}',
  fault:
    'releasing: A <- 500 {SIP;cause=500;text="internal_error" | Q.850;cause=41}, B1 <- CANCEL {SIP;cause=500;text="internal_error" | Q.850;cause=41}',
};

const answered = {
  begin: SAME,
  a_cancelled: 'releasing: B1 <- BYE',
  a_bye: 'releasing: B1 <- BYE',
  a_lost: 'releasing: B1 <- BYE {SIP;cause=481;text="Other leg lost"}',
  a_over: 'releasing: B1 <- BYE',
  a_request: 'same: B1 <- INFO',
  b_trying: SAME,
  b_progress: SAME,
  b_answered: SAME,
  b_request: 'same: A <- INFO',
  picked_up: SAME,
  ...noTimers,
};

const byes = (reason: string): string => `releasing: B1 <- BYE ${reason}, A <- BYE ${reason}`;

const GRID: { readonly [S in BridgeState]: Row } = {
  deciding: {
    ...unanswered,
    ...noLegs,
    begin: 'attempting: B1 <- INVITE [o]',
    a_cancelled: 'ended',
    a_bye: 'ended',
    a_lost: 'ended',
    a_over: 'ended',
    hang_up: 'ended: A <- 503 {SIP;cause=503;text="drain_limit" | Q.850;cause=41}',
    fault: 'ended: A <- 500 {SIP;cause=500;text="internal_error" | Q.850;cause=41}',
  },
  attempting: {
    ...unanswered,
    silence: 'attempting: B1 <- CANCEL {SIP;cause=408;text="No response"}, B2 <- INVITE [o]',
  },
  ringing: {
    ...unanswered,
    b_progress: 'same: A <- 180',
    a_request: 'same: B1 <- INFO',
    b_request: 'same: A <- INFO',
    ring_timeout: 'attempting: B1 <- CANCEL {Q.850;cause=19;text="No answer"}, B2 <- INVITE [o]',
  },
  early_media: {
    ...unanswered,
    b_progress: 'same: A <- 180',
    a_request: 'same: B1 <- INFO',
    b_request: 'same: A <- INFO',
    b_failed: 'ended: A <- 503',
    b_bye: 'ended: A <- 503 {SIP;cause=503;text="destination_unreachable"}',
    b_lost: 'ended: A <- 503 {SIP;cause=503;text="destination_unreachable"}',
    b_over: 'ended: A <- 503 {SIP;cause=503;text="destination_unreachable"}',
    picked_up:
      'answering: B2 <- INVITE, B1 <- CANCEL {SIP;cause=200;text="Call completed elsewhere"}, B2 <- ACK, A <- 200 [ans] in fork1',
    ring_timeout:
      'releasing: B1 <- CANCEL {Q.850;cause=19;text="No answer"}, A <- 480 {SIP;cause=480;text="no_answer"}',
  },
  answering: {
    ...answered,
    a_ack: 'established',
    a_reinvite: 'same: A <- 491 (re-INVITE)',
    b_reinvite: 'same: B1 <- 491 (re-INVITE)',
    // The BYE to A waits for its ACK.
    b_failed: 'releasing',
    b_bye: 'releasing',
    b_lost: 'releasing',
    b_over: 'releasing',
    duration_limit: 'releasing: B1 <- BYE {SIP;cause=408;text="max_duration" | Q.850;cause=102}',
    hang_up: 'releasing: B1 <- BYE {SIP;cause=503;text="drain_limit" | Q.850;cause=41}',
    fault: 'releasing: B1 <- BYE {SIP;cause=500;text="internal_error" | Q.850;cause=41}',
  },
  established: {
    ...answered,
    a_ack: SAME,
    a_reinvite: 'same: B1 <- re-INVITE [o]',
    b_reinvite: 'same: A <- re-INVITE [o]',
    b_failed: 'releasing: A <- BYE {SIP;cause=481;text="Other leg lost"}',
    b_bye: 'releasing: A <- BYE',
    b_lost: 'releasing: A <- BYE {SIP;cause=481;text="Other leg lost"}',
    b_over: 'releasing: A <- BYE',
    duration_limit: byes('{SIP;cause=408;text="max_duration" | Q.850;cause=102}'),
    hang_up: byes('{SIP;cause=503;text="drain_limit" | Q.850;cause=41}'),
    fault: byes('{SIP;cause=500;text="internal_error" | Q.850;cause=41}'),
  },
  handed_over: {
    begin: SAME,
    a_ack: SAME,
    a_cancelled: 'same: heir <- a_cancelled',
    a_bye: 'same: heir <- a_bye',
    a_lost: 'same: heir <- a_lost',
    a_over: 'same: heir <- a_over',
    a_request: 'same: heir <- a_request, A <- 200 (INFO)',
    a_reinvite: 'same: heir <- a_reinvite, A <- 200 (re-INVITE)',
    b_trying: SAME,
    b_progress: SAME,
    b_answered: NEVER,
    b_failed: SAME,
    b_bye: 'same: heir <- b_bye',
    b_lost: 'same: heir <- b_lost',
    b_over: 'same: heir <- b_over',
    b_request: 'same: heir <- b_request, B1 <- 200 (INFO)',
    b_reinvite: 'same: heir <- b_reinvite, B1 <- 200 (re-INVITE)',
    picked_up: SAME,
    ...noTimers,
    duration_limit: 'same: heir <- duration_limit',
    hang_up: 'same: heir <- hang_up',
    fault: 'same: heir <- a_request, heir <- fault',
  },
  // A has hung up, B was sent BYE.
  releasing: {
    begin: SAME,
    a_ack: SAME,
    a_cancelled: SAME,
    a_bye: SAME,
    a_lost: SAME,
    a_over: SAME,
    a_request: 'same: A <- 481 (INFO)',
    a_reinvite: 'same: A <- 481 (re-INVITE)',
    b_trying: SAME,
    b_progress: SAME,
    b_answered: SAME,
    b_failed: 'ended',
    b_bye: 'ended',
    b_lost: 'ended',
    b_over: 'ended',
    b_request: 'same: B1 <- 481 (INFO)',
    b_reinvite: 'same: B1 <- 481 (re-INVITE)',
    picked_up: SAME,
    ...noTimers,
    release_timeout: 'ended',
    hang_up: SAME,
    fault: SAME,
  },
  ended: {
    begin: SAME,
    a_ack: SAME,
    a_cancelled: SAME,
    a_bye: SAME,
    a_lost: SAME,
    a_over: SAME,
    a_request: 'same: A <- 481 (INFO)',
    a_reinvite: 'same: A <- 481 (re-INVITE)',
    b_trying: SAME,
    b_progress: SAME,
    b_answered: SAME,
    b_failed: SAME,
    b_bye: SAME,
    b_lost: SAME,
    b_over: SAME,
    b_request: 'same: B1 <- 481 (INFO)',
    b_reinvite: 'same: B1 <- 481 (re-INVITE)',
    picked_up: SAME,
    ...noTimers,
    hang_up: SAME,
    fault: SAME,
  },
};

const states = Object.keys(BRIDGE_TABLE) as BridgeState[];
const events = Object.keys(FIRE) as BridgeEvent[];

t.test('every event in every state does what the grid says, and the call still ends once', async (t) => {
  for (const state of states) {
    for (const event of events) {
      const expected = GRID[state][event];
      if (expected === NEVER) continue;
      const bench = new Bench();
      bench.bringTo(state);
      t.equal(bench.bridge.state, state, `brought to ${state}`);
      bench.signal.takeLadder();
      FIRE[event](bench);
      const sent = bench.signal.takeLadder().filter((line) => line.includes('<-'));
      const now = bench.bridge.state === state && !expected.startsWith(state) ? 'same' : bench.bridge.state;
      t.equal(now + (sent.length > 0 ? `: ${sent.join(', ')}` : ''), expected, `${state} x ${event}`);
      bench.finish();
      t.equal(bench.bridge.state, 'ended', `${state} x ${event}: all legs gone, the call is`);
      t.equal(bench.endings.length, 1, `${state} x ${event}: one ending`);
      t.equal(bench.releases, 1, `${state} x ${event}: one release`);
      t.equal(bench.clock.pending, 0, `${state} x ${event}: no timer`);
    }
  }
});

t.test('cells that no event can reach do nothing of consequence', async (t) => {
  const harmless = new Set(['ignore', 'noDialog', 'defer', 'releaseAnswer']);
  // A timer of another phase is never armed, but a cell may be shared with a phase where it is.
  const shared = new Set(['attempting x ring_timeout', 'answering x duration_limit', 'handed_over x release_timeout']);
  for (const state of states) {
    for (const event of events) {
      if (GRID[state][event] !== NEVER || shared.has(`${state} x ${event}`)) continue;
      t.ok(harmless.has(BRIDGE_TABLE[state][event].action), `${state} x ${event}`);
    }
  }
});

t.test('a held BYE goes out with the ACK, and the leg gets its full time to confirm', async (t) => {
  const bench = new Bench();
  bench.bringTo('answering');
  bench.b.byes();
  bench.clock.advance(30_000);
  bench.signal.takeLadder();
  bench.a.acks();
  t.strictSame(bench.signal.takeLadder(), ['A -> ACK', 'A <- BYE']);
  bench.clock.advance(39_999);
  t.equal(bench.bridge.state, 'releasing');
  bench.clock.advance(1);
  t.equal(bench.bridge.state, 'ended');
});
