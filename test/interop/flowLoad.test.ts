/** Fifty callers with a voice at once, each talking with a bot that echoes. */
import t from 'tap';
import { sine } from '../contract/media/peer.js';
import { BotProcess, FlowTown, wayOf } from '../support/flowTown.js';
import { describe, Sipp } from '../support/sipp.js';

const CALLS = 50;
const TALK_S = 20;
const INDEX = 5;
const PORTS = 240;
t.setTimeout(110_000);

t.test(`${CALLS} calls of ${TALK_S} s over the echo bot: none fails, one record each, nothing is left`, async (t) => {
  const bot = await BotProcess.start(`127.0.64.${INDEX * 10 + 3}`, 30_050);
  t.teardown(() => bot.kill());
  const nodes = {
    bot: { applet: 'voicebot', params: { url: bot.url }, exits: { next: 'bye', failed: 'bye' } },
    bye: { applet: 'hangup' },
  };
  const town = await FlowTown.start({
    index: INDEX,
    flows: [{ id: 'talk', start: 'bot', nodes }],
    rtp: [30_200, PORTS],
  });
  const { node } = town;
  t.teardown(() => node.destroy());
  const before = await town.media();
  const caller = await Sipp.run({
    scenario: 'uac/audio',
    address: town.address('caller'),
    port: 30_010,
    remote: node.hostPort,
    service: town.numberOf('talk'),
    keys: { caller: '+919812345678' },
    audio: sine(440, 8000 * TALK_S),
    audioPort: 30_600,
    calls: CALLS,
    rate: 10,
    pauseMs: TALK_S * 1000 + 500,
    limitMs: 60_000,
  });
  t.equal(caller.exitCode, 0);
  if (caller.exitCode !== 0) t.comment(describe(caller));
  t.equal(caller.succeeded, CALLS);
  t.equal(caller.failed, 0);
  await node.quiet(15_000);
  const records = node.records();
  t.equal(records.length, CALLS, 'one record each');
  t.equal(new Set(records.map(({ aLegCallId }) => aLegCallId)).size, CALLS);
  for (const record of records) {
    t.match(record, { outcome: 'answered', endedBy: 'caller', reasonCode: 'normal_clearing' });
    t.match(record.streams, [{ status: 'completed', disconnectedBy: 'user', detail: 'callended' }]);
    // 1000 packets came, and the bot gave 200 ms at a time back.
    const { packetsReceived = 0 } = record.media?.a ?? {};
    const { framesReceived = 0 } = record.streams?.[0] ?? {};
    t.ok(
      packetsReceived > 985 && framesReceived > 85,
      `${packetsReceived} packets in, ${framesReceived} messages back`,
    );
  }
  const lost = records.reduce((sum, { media }) => sum + (media?.a?.packetsLost ?? 0), 0);
  t.ok(lost <= (CALLS * 1000) / 1000, `${lost} of ${CALLS * 1000} packets lost`);
  t.same(new Set(records.map((record) => wayOf(record).join())), new Set(['bot:next']));
  await town.mediaQuiet();
  const after = await town.media();
  t.equal(after.ports.free + after.ports.resting, before.ports.free, 'all ports are back');
  t.equal(before.ports.free, PORTS / 2);
  await node.stop();
});
