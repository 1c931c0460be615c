/** Forks on both sides of a real node, over UDP: a proxy behind a trunk rings several telephones with one INVITE. */
import t from 'tap';
import { type PeerMessage, type PeerTransaction, SipPeer } from '../support/sipPeer.js';
import { singleTrunk } from '../support/singleTrunk.js';

const [NODE, CARRIER, PROXY, DESK, SOFT] = [50, 51, 52, 53, 54].map((n) => `127.44.1.${n}`) as [
  string,
  string,
  string,
  string,
  string,
];
const PORT = 31_440;
const DID = '+918040000044';
const sdp = (port: number): string =>
  `v=0\r\no=- ${port} 1 IN IP4 ${PROXY}\r\ns=-\r\nc=IN IP4 ${PROXY}\r\nt=0 0\r\nm=audio ${port} RTP/AVP 0\r\n`;
const [OFFER, ONE, TWO, CHANGED] = [sdp(31_800), sdp(31_802), sdp(31_804), sdp(31_806)] as const;
const RELIABLY = [
  ['Require', '100rel'],
  ['RSeq', '1'],
] as const;

const tagOf = (message: PeerMessage): string => /;tag=([^;>\s]+)/.exec(message.header('To') ?? '')?.[1] ?? '';
const portOf = (message: PeerMessage): string => /m=audio (\d+)/.exec(message.text)?.[1] ?? '';

const rackOf = (progress: PeerMessage) => [['RAck', `${progress.header('RSeq') ?? ''} ${progress.cseq}`]] as const;

t.test('an INVITE that forks behind us', async (t) => {
  const {
    carrier,
    trunk: proxy,
    target,
  } = await singleTrunk(t, {
    ...{ node: { address: NODE, port: PORT }, carrier: CARRIER, trunk: PROXY, number: DID },
    more: () => ({ trunk: { sip: { redirects: 'follow', redirect_hosts: [DESK, SOFT] } } }),
  });
  const desk = await SipPeer.open({ address: DESK, name: 'desk' });
  const soft = await SipPeer.open({ address: SOFT, name: 'soft' });
  t.teardown(async () => {
    await desk.close();
    await soft.close();
  });
  const call = (headers: readonly (readonly [string, string])[]): PeerTransaction =>
    carrier.sendInvite({ target, uri: `sip:${DID}@${target}`, body: OFFER, headers });

  await t.test('each reliable early dialog is the caller’s own, with PRACK and UPDATE of its own', async (t) => {
    const a = call([['Supported', '100rel']]);
    const invite = await proxy.expectRequest('INVITE');
    invite.respond(183, { toTag: 'one', body: ONE, headers: RELIABLY });
    const one = await carrier.expect('183');
    invite.respond(183, { toTag: 'two', body: TWO, headers: RELIABLY });
    const two = await carrier.expect('183');
    t.not(tagOf(one), tagOf(two), 'another To tag');
    t.same([portOf(one), portOf(two)], ['31802', '31804'], 'and its own description');

    const inTwo = a.dialog(two);
    inTwo.send('PRACK', { headers: rackOf(two) });
    const prackTwo = await proxy.expectRequest('PRACK');
    t.equal(tagOf(prackTwo.message), 'two', 'the PRACK of the second arrives in the second');
    prackTwo.respond(200);
    await carrier.expect('200 PRACK');
    const inOne = a.dialog(one);
    inOne.send('PRACK', { headers: rackOf(one) });
    const prackOne = await proxy.expectRequest('PRACK');
    t.equal(tagOf(prackOne.message), 'one');
    prackOne.respond(200);
    await carrier.expect('200 PRACK');

    inOne.send('UPDATE', { body: OFFER });
    const updateOne = await proxy.expectRequest('UPDATE');
    inTwo.send('UPDATE', { body: OFFER });
    const updateTwo = await proxy.expectRequest('UPDATE');
    t.same([tagOf(updateOne.message), tagOf(updateTwo.message)], ['one', 'two'], 'both at once: no glare');
    updateTwo.respond(200, { body: CHANGED });
    t.equal(tagOf(await carrier.expect('200 UPDATE')), tagOf(two));
    updateOne.respond(200, { body: ONE });
    t.equal(tagOf(await carrier.expect('200 UPDATE')), tagOf(one));

    const answer = invite.respond(200, { toTag: 'two', body: CHANGED });
    const ok = await carrier.expect('200 INVITE');
    t.equal(tagOf(ok), tagOf(two), 'the answer is in the dialog of who answered');
    inTwo.ack(1);
    t.equal(tagOf((await proxy.expectRequest('ACK')).message), 'two');

    invite.respond(200, { toTag: 'one', body: ONE });
    const late = await proxy.expectRequest('ACK');
    t.equal(tagOf(late.message), 'one', 'RFC 3261 §13.2.2.4: a second answer is acknowledged');
    const unwanted = await proxy.expectRequest('BYE');
    t.equal(tagOf(unwanted.message), 'one', 'and its dialog ended');
    unwanted.respond(200);
    t.equal(carrier.count('200 INVITE'), 1, 'of which the caller hears nothing');

    inOne.send('UPDATE', { body: OFFER });
    t.ok(await carrier.expect('481 UPDATE'), 'the other early dialog has ended');
    inTwo.send('BYE');
    const bye = await proxy.expectRequest('BYE');
    t.equal(tagOf(bye.message), tagOf(answer));
    bye.respond(200);
    await carrier.expect('200 BYE');
  });

  await t.test('BYE in one early dialog ends that one; the other is answered', async (t) => {
    const a = call([]);
    const invite = await proxy.expectRequest('INVITE');
    invite.respond(183, { toTag: 'one', body: ONE });
    const one = await carrier.expect('183');
    invite.respond(183, { toTag: 'two', body: TWO });
    const two = await carrier.expect('183');
    t.not(tagOf(one), tagOf(two));
    a.dialog(one).send('BYE');
    await carrier.expect('200 BYE');
    invite.respond(200, { toTag: 'two', body: '' });
    const ok = await carrier.expect('200 INVITE');
    t.equal(tagOf(ok), tagOf(two));
    t.equal(portOf(ok), '31804', 'with the description that its own early dialog had');
    const up = a.confirm(ok);
    await proxy.expectRequest('ACK');
    up.send('BYE');
    (await proxy.expectRequest('BYE')).respond(200);
    await carrier.expect('200 BYE');
  });

  await t.test('CANCEL ends all of them, and all answers to it have the first tag', async (t) => {
    const a = call([]);
    const invite = await proxy.expectRequest('INVITE');
    invite.respond(183, { toTag: 'one', body: ONE });
    const one = await carrier.expect('183');
    invite.respond(183, { toTag: 'two', body: TWO });
    await carrier.expect('183');
    a.cancel();
    t.equal(tagOf(await carrier.expect('200 CANCEL')), tagOf(one));
    t.equal(tagOf(await carrier.expect('487')), tagOf(one));
    const cancel = await proxy.expectRequest('CANCEL');
    cancel.respond(200);
    invite.respond(487, { toTag: 'one' });
    await proxy.expectRequest('ACK');
  });

  /** Both telephones ring. */
  const ringBoth = async () => {
    const a = call([]);
    const invite = await proxy.expectRequest('INVITE');
    const contact = `<sip:12@${desk.hostPort}>;q=0.5, <sip:13@${soft.hostPort}>;q=0.5`;
    invite.respond(302, { headers: [['Contact', contact]] });
    await proxy.expectRequest('ACK');
    return { a, atDesk: await desk.expectRequest('INVITE'), atSoft: await soft.expectRequest('INVITE') };
  };

  await t.test('two contacts of equal q ring at once; the first answer wins, the other gets CANCEL', async (t) => {
    const { a, atDesk, atSoft } = await ringBoth();
    atDesk.respond(180);
    atSoft.respond(180);
    await carrier.expect('180');
    atSoft.respond(200, { body: TWO });
    const cancel = await desk.expectRequest('CANCEL');
    t.equal(cancel.header('Reason'), 'SIP;cause=200;text="Call completed elsewhere"');
    cancel.respond(200);
    atDesk.respond(487);
    await desk.expectRequest('ACK');
    await soft.expectRequest('ACK');
    const ok = await carrier.expect('200 INVITE');
    t.equal(portOf(ok), '31804');
    a.confirm(ok).send('BYE');
    (await soft.expectRequest('BYE')).respond(200);
    await carrier.expect('200 BYE');
  });

  await t.test('both answer: one is connected, the other gets ACK and BYE', async (t) => {
    const { a, atDesk, atSoft } = await ringBoth();
    atDesk.respond(180);
    atSoft.respond(180);
    atDesk.respond(200, { body: ONE });
    atSoft.respond(200, { body: TWO });
    const ok = await carrier.expect('200 INVITE');
    const [wins, loses] = portOf(ok) === '31802' ? [desk, soft] : [soft, desk];
    await wins.expectRequest('ACK');
    await loses.expectRequest('ACK');
    (await loses.expectRequest('BYE')).respond(200);
    a.confirm(ok).send('BYE');
    (await wins.expectRequest('BYE')).respond(200);
    await carrier.expect('200 BYE');
    t.equal(carrier.count('200 INVITE'), 4, 'one answer a call');
  });

  await t.test('nobody answers: the best of their failures', async (t) => {
    const { atDesk, atSoft } = await ringBoth();
    atSoft.respond(503);
    atDesk.respond(486);
    t.ok(await carrier.expect('486'));
  });
});
