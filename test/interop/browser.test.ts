/** Two browsers with sip.js, each at an exchange of its own, over secure WebSocket; their audio goes past both. */
import { rmSync } from 'node:fs';
import t from 'tap';
import type { Page } from 'playwright-core';
import { type CallOutcome, Softphones } from '../support/browser.js';
import { certificateFolder, makeCertificate } from '../support/certificates.js';
import { TandemNode } from '../support/tandemNode.js';

const [NEAR, FAR] = ['127.0.39.1', '127.0.39.2'] as const;
const [PAGES, FOREIGN] = ['127.0.39.3', '127.0.39.4'] as const;
const PORT = 39_000;
const WSS_PORT = 39_443;
const ALICE_NUMBER = '+918040000001';
const BOB_NUMBER = '+918040000002';

/** The parts of a page's `phone` that are asked for; see test/support/browser.ts. */
interface Phone {
  connect(account: object): Promise<void>;
  register(): Promise<number>;
  unregister(): Promise<number>;
  call(uri: string): Promise<CallOutcome>;
  answer(): Promise<{ state: string; caller: string }>;
  press(digit: string): Promise<number>;
  hangUp(): Promise<void>;
  audio(): Promise<number>;
  disconnect(): Promise<void>;
  readonly state: string;
  readonly heard: string[];
}
declare const phone: Phone;

const folder = certificateFolder({
  node: makeCertificate({ name: 'exchange', alternatives: [`IP:${NEAR}`, `IP:${FAR}`] }),
});
const phones = await Softphones.start([PAGES, FOREIGN]);

const start = (address: string, other: string, user: string, number: string): Promise<TandemNode> =>
  TandemNode.start({
    address,
    port: PORT,
    listen: [`udp://${address}:${PORT}`, `tcp://${address}:${PORT}`, `wss://${address}:${WSS_PORT}`],
    config: {
      sip: {
        listen: [`udp://${address}:${PORT}`, `tcp://${address}:${PORT}`, `wss://${address}:${WSS_PORT}`],
        tls: { certificates: [{ certificate: `${folder}/node.pem`, key: `${folder}/node.key` }] },
        webSocket: { origins: [phones.origin(0)] },
      },
    },
    routing: {
      accounts: [{ sid: 'demo' }],
      carriers: [{ id: 'other', source_acl: [{ ip: other }], gateways: [{ uri: `sip:${other}:${PORT}` }] }],
      trunks: [
        {
          trunk_sid: `trk_${user}`,
          account_sid: 'demo',
          trunk_name: user,
          domain_name: `${user}.example`,
          whitelisted_ips: [],
          credentials: [{ user_name: user, password: 'geheim' }],
          destination_uris: [{ destination: 'registered' }],
          phone_numbers: [{ phone_number: number, mode: 'pstn', carrier: 'other' }],
          settings: { trunk_external_alias: number },
        },
      ],
    },
  });

const near = await start(NEAR, FAR, 'alice', ALICE_NUMBER);
const far = await start(FAR, NEAR, 'bob', BOB_NUMBER);
t.teardown(async () => {
  await phones.stop();
  await near.stop();
  await far.stop();
  rmSync(folder, { recursive: true, force: true });
});

const connect = (page: Page, exchange: string, user: string, password = 'geheim'): Promise<void> =>
  page.evaluate((account) => phone.connect(account), {
    server: `wss://${exchange}:${WSS_PORT}`,
    uri: `sip:${user}@${user}.example`,
    user,
    password,
  });

t.test('a browser registers over secure WebSocket, by digest', async (t) => {
  const page = await phones.open();
  await connect(page, NEAR, 'alice');
  t.equal(await page.evaluate(() => phone.register()), 200);
  const registered = JSON.stringify(await (await near.get('/api/registrations')).json());
  t.match(registered, /alice/);
  t.match(registered, /wss/i);
  t.equal(await page.evaluate(() => phone.unregister()), 200);
  t.notMatch(JSON.stringify(await (await near.get('/api/registrations')).json()), /"alice"/);
  await page.evaluate(() => phone.disconnect());
  await page.close();
});

t.test('a wrong password does not register', async (t) => {
  const page = await phones.open();
  await connect(page, NEAR, 'alice', 'wrong');
  const status = await page.evaluate(() => phone.register());
  t.ok(status === 401 || status === 403, `${status}`);
  await page.evaluate(() => phone.disconnect());
  await page.close();
});

t.test('a page of another origin is not let in', async (t) => {
  for (const [index, outcome] of ['open', 'error'].entries()) {
    const page = await phones.open(index);
    const came = page.evaluate(
      (url) =>
        new Promise<string>((resolve) => {
          const socket = new WebSocket(url, 'sip');
          socket.onopen = () => {
            socket.close();
            resolve('open');
          };
          socket.onerror = () => resolve('error');
        }),
      `wss://${NEAR}:${WSS_PORT}`,
    );
    t.equal(await came, outcome, phones.origin(index));
    await page.close();
  }
});

t.test('one browser calls the other through both exchanges, and they hear each other', async (t) => {
  const [alice, bob] = [await phones.open(), await phones.open()];
  await connect(alice, NEAR, 'alice');
  await connect(bob, FAR, 'bob');
  t.equal(await bob.evaluate(() => phone.register()), 200);
  const taken = bob.evaluate(() => phone.answer());
  const call = await alice.evaluate((uri) => phone.call(uri), `sip:${BOB_NUMBER}@alice.example`);
  t.match(call, { state: 'Established', status: 200 });
  t.match(await taken, { state: 'Established', caller: new RegExp(ALICE_NUMBER.replace('+', '\\+')) });

  t.ok((await alice.evaluate(() => phone.audio())) > 0, 'Alice hears Bob');
  t.ok((await bob.evaluate(() => phone.audio())) > 0, 'Bob hears Alice');
  t.equal(await alice.evaluate(() => phone.press('5')), 200, 'a key by INFO');
  t.match(await bob.evaluate(() => phone.heard), [/Signal=5/]);

  await bob.evaluate(() => phone.hangUp());
  await alice.waitForFunction(() => phone.state === 'Terminated');
  const record = await near.record(call.callId);
  t.match(record, { outcome: 'answered', endedBy: 'callee' });
  t.equal(far.records().filter(({ outcome }) => outcome === 'answered').length, 1, 'one record at the other exchange');
  for (const page of [alice, bob]) {
    await page.evaluate(() => phone.disconnect());
    await page.close();
  }
});

t.test('a call to a browser that has gone is refused, with the reason', async (t) => {
  const alice = await phones.open();
  await connect(alice, NEAR, 'alice');
  const call = await alice.evaluate((uri) => phone.call(uri), `sip:${BOB_NUMBER}@alice.example`);
  t.match(call, { state: 'Terminated', status: 480 });
  t.match(
    far.records().map(({ reasonCode }) => reasonCode),
    ['normal_clearing', 'not_registered'],
  );
  await alice.evaluate(() => phone.disconnect());
  await alice.close();
});
