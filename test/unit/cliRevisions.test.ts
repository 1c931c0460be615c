import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { diff, publish, revisions, rollback } from '../../src/cli/revisions.js';
import { loadConfig } from '../../src/config/index.js';
import { adminRig } from '../support/adminRig.js';

const LISTEN = '127.0.65.2:31020';
const DOCUMENT = {
  accounts: [{ sid: 'acme', api_keys: [{ key: 'a', token: 'ta' }] }],
  trunks: [
    { trunk_sid: 'trk_a', account_sid: 'acme', trunk_name: 'a', credentials: [{ user_name: 'u', password: 'hush' }] },
  ],
};

t.test('history, difference, rollback and publication of a running node', async (t) => {
  const rig = await adminRig(DOCUMENT, LISTEN);
  t.teardown(() => rig.close());
  await rig.admin.listen();
  const folder = await mkdtemp(join(tmpdir(), 'tandem-cli-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const config = loadConfig({ env: {}, flags: ['--admin.listen', LISTEN] });
  const run = async (verb: typeof revisions, ...argv: string[]) => {
    const written = t.capture(process.stdout, 'write', () => true);
    try {
      const code = await verb(config, argv);
      return {
        code,
        out: written()
          .map((call) => String(call.args[0]))
          .join(''),
      };
    } finally {
      written.restore();
    }
  };
  const file = join(folder, 'new.yaml');
  const [trunk] = DOCUMENT.trunks;
  const wanted = {
    ...DOCUMENT,
    trunks: [{ ...trunk, trunk_name: 'renamed', phone_numbers: [{ phone_number: '+918040000001', mode: 'pstn' }] }],
  };
  await writeFile(file, JSON.stringify(wanted));
  t.same(await run(publish, file, '--note', 'first'), { code: 0, out: 'revision 1, 2 changes\n' });
  t.same(await run(publish, file), { code: 0, out: 'nothing to change; revision 1 stays\n' });
  t.same(await run(revisions), {
    code: 0,
    out:
      '   REVISION  AT (UTC)             CHANGES  AUTHOR        NOTE\n' +
      '*  1         2026-01-01 00:00:00  2        cli:operator  first\n',
  });
  const shown = await run(diff, '0', '1');
  t.equal(shown.code, 1);
  t.equal(
    shown.out,
    '~ trunk trk_a\n    - trunk_name: "a"\n    + trunk_name: "renamed"\n' +
      '+ phone_number +918040000001\n    + phone_number: "+918040000001"\n    + mode: "pstn"\n    + trunk_sid: "trk_a"\n',
  );
  t.same(await run(rollback, '0'), { code: 0, out: 'revision 2, 2 changes\n' });
  t.same(await run(diff, '0', '2'), { code: 0, out: '' });
  t.match(JSON.parse((await run(revisions, '--json', '--limit', '1')).out), {
    revisions: [{ revision: '2', note: 'rollback to 0' }],
  });
  t.equal(rig.control.directory().trunk('trk_a')?.trunk_name, 'a');
  await t.rejects(run(rollback, '77'), { code: 'node_refused', message: /there is no revision '77'/ });
  await t.rejects(run(diff, '0'), { code: 'bad_arguments', message: /usage: tandem diff A B/ });
  await t.rejects(run(revisions, '--limt', '1'), { code: 'bad_arguments' });
  await t.rejects(run(revisions, '--url', 'http://127.0.65.2:31021'), { code: 'node_unreachable' });
  await t.rejects(run(revisions, '--key', 'a', '--token', 'no'), { code: 'node_refused', message: /key and token/ });
  await writeFile(file, 'trunks: [\n  password: "hush"');
  await t.rejects(run(publish, file), { code: 'unreadable_document', message: /^(?!.*hush).*new\.yaml/s });
});
