/** Greetings with text are spoken by the programs that a machine has: espeak-ng, flite, or none. */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { programPath } from '../support/endpoints.js';
import { Phone } from '../support/flowSite.js';
import { FlowTown, wayOf } from '../support/flowTown.js';
import { soundMsOf } from '../support/soundFiles.js';

const SORRY_HZ = 800;
const SENTENCE = 'Thank you for calling. All our lines are busy at the moment, so please wait for a little while.';
const say = (text: string): object => ({
  applet: 'greeting',
  params: { play: [{ text }] },
  exits: { next: 'bye', error: 'sorry' },
});
const sorry = {
  applet: 'greeting',
  params: { play: [{ tone: [SORRY_HZ], duration_ms: 400 }] },
  exits: { next: 'bye' },
};
const bye = { applet: 'hangup' };
const FLOWS = [
  { id: 'long', start: 'say', nodes: { say: say(SENTENCE), sorry, bye } },
  { id: 'short', start: 'say', nodes: { say: say('Hello.'), sorry, bye } },
];
t.setTimeout(110_000);

/** A folder with these programs in it and no others. */
const folderOf = async (programs: readonly (readonly [name: string, debianPackage: string])[]): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-speech-'));
  for (const [name, debianPackage] of programs) await symlink(programPath(name, debianPackage), join(folder, name));
  return folder;
};

for (const [at, [program, debianPackage]] of (
  [
    ['espeak-ng', 'espeak-ng'],
    ['flite', 'flite'],
  ] as const
).entries()) {
  t.test(`${program} speaks a greeting`, async (t) => {
    const path = await folderOf([[program, debianPackage]]);
    t.teardown(() => rm(path, { recursive: true, force: true }));
    const town = await FlowTown.start({ index: 6 + at, flows: FLOWS }, { env: { PATH: path } });
    const { node } = town;
    t.teardown(() => node.destroy());
    const heardMs: { [flow: string]: number } = {};
    for (const [i, { id }] of FLOWS.entries()) {
      const phone = await Phone.open(town.address('caller'), 30_500 + 2 * i);
      t.teardown(() => phone.close());
      await phone.calls(town.numberOf(id), node.hostPort);
      const record = await node.record(phone.callId, 15_000);
      await phone.isHungUp();
      const ms = soundMsOf(phone.rtp.audio());
      heardMs[id] = ms;
      t.same(wayOf(record), ['say:next', 'bye:call_ended'], id);
      const spokenMs = record.flow?.path[0]?.durationMs ?? 0;
      t.ok(ms > spokenMs * 0.4 && ms <= spokenMs + 200, `${id}: ${ms} ms of ${spokenMs} sound`);
    }
    const { long = 0, short = 0 } = heardMs;
    t.ok(long > 3000 && long < 12_000, `a sentence of eighteen words: ${long} ms`);
    t.ok(short > 150 && short < 1500, `one word: ${short} ms`);
    await node.stop();
  });
}

t.test('without a speech program a text is an error with a name, and takes the branch for it', async (t) => {
  const path = await folderOf([]);
  t.teardown(() => rm(path, { recursive: true, force: true }));
  const town = await FlowTown.start({ index: 8, flows: FLOWS }, { env: { PATH: path } });
  t.teardown(() => town.node.destroy());
  const phone = await Phone.open(town.address('caller'), 30_500);
  t.teardown(() => phone.close());
  const heard = phone.hears(SORRY_HZ, 200, 0);
  await phone.calls(town.numberOf('long'), town.node.hostPort);
  await heard;
  await phone.isHungUp();
  const record = await town.node.record(phone.callId);
  t.same(wayOf(record), ['say:error', 'sorry:next', 'bye:call_ended']);
  t.match(record.flow?.path[0], { error: 'speech_failed' });
  await town.node.stop();
});
