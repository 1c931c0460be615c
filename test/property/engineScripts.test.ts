/**
 * Random lives of calls between two engines over a bad network. Whatever happens, in the end nothing is left, every
 * attempt had one outcome, and every established side was told of its end once.
 */
import t from 'tap';
import { SeededRandom } from '../../src/kernel/index.js';
import type { Dialog, IncomingInvite, SipEngine, TransportName } from '../../src/sip/index.js';
import { SimEngines } from '../support/simEngines.js';

const SDP = Buffer.from('v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n');
const HOSTS = ['10.0.0.1', '10.0.0.2'] as const;

/** One side of one established call. */
interface Side {
  readonly dialog: Dialog;
  readonly at: string;
  ends: string[];
}

class Script {
  readonly sim: SimEngines;
  readonly dice: SeededRandom;
  readonly complaints: string[] = [];
  readonly sides: Side[] = [];
  readonly attempts: { outcomes: string[] }[] = [];
  readonly requests: { outcomes: string[] }[] = [];
  readonly transport: TransportName;
  answered = 0;

  constructor(seed: number, lossRate: number, transport: TransportName) {
    const link = { lossRate, duplicateRate: 0.05, reorderRate: 0.1, delayMs: { min: 1, max: 40 } };
    this.sim = new SimEngines(seed, link);
    this.dice = new SeededRandom(seed ^ 0x5eed);
    this.transport = transport;
  }

  chance(rate: number): boolean {
    return this.dice.float() < rate;
  }

  later(maxMs: number, act: () => void): void {
    this.sim.clock.setTimer('script', this.dice.float() * maxMs, act);
  }

  async run(): Promise<void> {
    for (const host of HOSTS) {
      const engine = await this.sim.engine(host, { onInvite: (invite) => this.callee(invite, host), onRequest: (request) => void request.respond(200) }, this.transport); // prettier-ignore
      const peer = host === HOSTS[0] ? HOSTS[1] : HOSTS[0];
      for (let call = 0; call < 2; call++) this.later(5_000, () => this.caller(engine, host, peer));
    }
    this.sim.clock.advance(60_000);
    // Whatever still stands is hung up by one side, or by both at once.
    for (const side of this.sides) if (side.dialog.state === 'confirmed' && this.chance(0.7)) this.hangUp(side);
    this.sim.clock.advance(30_000);
    for (const side of this.sides) if (side.dialog.state === 'confirmed') this.hangUp(side);
    this.sim.clock.advance(900_000);
  }

  caller(engine: SipEngine, host: string, peer: string): void {
    const attempt = { outcomes: [] as string[] };
    const uri = `sip:bob@${peer}${this.transport === 'tcp' ? ';transport=tcp' : ''}`;
    const headers = this.chance(0.3) ? [['Supported', '100rel'] as const] : [];
    const sent = engine.invite(
      { uri, headers, body: SDP },
      {
        onProvisional: (response, dialog) => {
          if (response.header('RSeq') === undefined || dialog === undefined) return;
          const rack = `${response.header('RSeq') ?? ''} 1 INVITE`;
          this.ask(dialog, 'PRACK', [['RAck', rack]]);
        },
        onAnswered: (_response, dialog) => {
          attempt.outcomes.push('answered');
          this.answered++;
          this.adopt(dialog, host);
          if (this.chance(0.9)) dialog.ack();
          else this.later(5_000, () => void dialog.ack());
        },
        onFailed: (response) => attempt.outcomes.push(String(response.status)),
      },
    );
    if ('refusal' in sent) {
      this.complaints.push(`refused: ${sent.detail}`);
      return;
    }
    this.attempts.push(attempt);
    if (this.chance(0.3)) this.later(3_000, () => void sent.cancel());
  }

  callee(invite: IncomingInvite, host: string): void {
    let gone = false;
    invite.listener = { onCancel: () => (gone = true), onAck: () => {} };
    const settle = (): void => {
      if (gone) return;
      if (this.chance(0.25)) return void invite.respond(this.chance(0.5) ? 486 : 302);
      const responded = invite.respond(200, { body: SDP });
      if (responded.ok && invite.dialog !== undefined) this.adopt(invite.dialog, host);
    };
    if (this.chance(0.5)) invite.respond(180);
    if (this.chance(0.4)) this.later(1_000, () => void invite.respond(183, { body: SDP }, true));
    if (this.chance(0.2)) settle();
    else this.later(4_000, settle);
  }

  adopt(dialog: Dialog, at: string): void {
    const side: Side = { dialog, at, ends: [] };
    this.sides.push(side);
    dialog.listener = {
      onRequest: (request) => void request.respond(200),
      onInvite: (invite) => {
        invite.listener = { onCancel: () => {}, onAck: () => {} };
        if (this.chance(0.5)) invite.respond(200, { body: SDP });
        else this.later(2_000, () => void invite.respond(this.chance(0.8) ? 200 : 488, { body: SDP }));
      },
      onTerminated: (end) => {
        side.ends.push(end);
        if (dialog.state !== 'terminated') this.complaints.push('told of an end that is none');
      },
    };
    for (let act = 0; act < 3; act++) {
      if (this.chance(0.4)) this.later(20_000, () => this.reinvite(side));
      if (this.chance(0.3)) this.later(20_000, () => this.ask(dialog, this.chance(0.5) ? 'INFO' : 'UPDATE', []));
    }
    if (this.chance(0.5)) this.later(15_000, () => this.hangUp(side));
  }

  reinvite({ dialog }: Side): void {
    const attempt = { outcomes: [] as string[] };
    const sent = dialog.invite(
      { body: SDP },
      {
        onProvisional: () => {},
        onAnswered: () => {
          attempt.outcomes.push('answered');
          dialog.ack();
        },
        onFailed: (response) => attempt.outcomes.push(String(response.status)),
      },
    );
    if ('refusal' in sent) return;
    this.attempts.push(attempt);
    if (this.chance(0.2)) this.later(500, () => void sent.cancel());
  }

  ask(dialog: Dialog, method: string, headers: [string, string][]): void {
    const request = { outcomes: [] as string[] };
    const sent = dialog.request(method, { headers }, {
      onResponse: (response) => {
        if (response.status >= 200) request.outcomes.push(String(response.status));
      },
    }); // prettier-ignore
    if (!('refusal' in sent)) this.requests.push(request);
  }

  hangUp({ dialog }: Side): void {
    this.ask(dialog, 'BYE', []);
  }

  /** What does not hold, in words. */
  verdict(): string[] {
    const found = [...this.complaints];
    for (const { outcomes } of this.attempts) {
      if (outcomes.length !== 1) found.push(`an INVITE had ${outcomes.length} outcomes: ${outcomes.join()}`);
    }
    for (const { outcomes } of this.requests) {
      if (outcomes.length !== 1) found.push(`a request had ${outcomes.length} finals: ${outcomes.join()}`);
    }
    for (const { dialog, ends, at } of this.sides) {
      if (dialog.state !== 'terminated') found.push(`a dialog at ${at} is still ${dialog.state}`);
      // A 2xx held for its PRACK may be taken back by a CANCEL before it was a call.
      if (ends.length > 1) found.push(`a dialog at ${at} ended ${ends.length} times: ${ends.join()}`);
    }
    const alive = Object.entries(this.sim.alive()).filter(([, count]) => count > 0);
    if (alive.length > 0) found.push(`alive: ${alive.join(' ')} ${JSON.stringify(this.sim.clock.dump())}`);
    for (const error of this.sim.errors) found.push(error instanceof Error ? (error.stack ?? '') : String(error));
    return found;
  }
}

for (const [transport, lossRate, seeds, least] of [
  ['udp', 0, 60, 1],
  ['udp', 0.05, 170, 1],
  ['udp', 0.2, 170, 1],
  ['tcp', 0.02, 60, 1],
] as const) {
  t.test(`${seeds} random scripts over ${transport} with ${lossRate * 100}% loss end at rest`, async (t) => {
    let answered = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const script = new Script(seed * 104_729 + seeds, lossRate, transport);
      await script.run();
      const verdict = script.verdict();
      // A dialed or accepted connection may stay open; its end is the peer's business.
      if (verdict.length > 0) t.fail(`seed ${seed}: ${verdict.join('; ')}`);
      answered += script.answered;
      for (const engine of script.sim.engines) engine.stop();
      script.sim.clock.advance(60_000);
      if (script.sim.clock.pending > 0) t.fail(`seed ${seed}: timers after stop: ${JSON.stringify(script.sim.clock.dump())}`); // prettier-ignore
      const sockets = script.sim.world.dump();
      if (sockets.length > 0) t.fail(`seed ${seed}: sockets after stop: ${sockets.join()}`);
    }
    t.ok(answered >= seeds * least, `${answered} calls were answered`);
  });
}

t.test('engines stopped at any moment leave nothing, and everybody has been told', async (t) => {
  for (let seed = 1; seed <= 100; seed++) {
    const transport = seed % 3 === 0 ? 'tcp' : 'udp';
    const script = new Script(seed * 7_351, 0.05, transport);
    const stopAtMs = script.dice.float() * 12_000;
    script.sim.clock.setTimer('script', stopAtMs, () => {
      for (const engine of script.sim.engines) engine.stop();
    });
    await script.run();
    const verdict = script.verdict().filter((line) => !line.startsWith('refused: the engine has stopped'));
    if (verdict.length > 0) t.fail(`seed ${seed}: ${verdict.join('; ')}`);
    const sockets = script.sim.world.dump();
    if (sockets.length > 0) t.fail(`seed ${seed}: sockets after stop: ${sockets.join()}`);
  }
  t.pass('100 stops');
});
