/** A node between a carrier behind NAT and a trunk behind an outbound proxy; SIGHUP leaves it serving. */
import t from 'tap';
import { singleTrunk } from '../support/singleTrunk.js';

const [NODE, CARRIER, PROXY] = ['127.0.31.50', '127.0.31.51', '127.0.31.52'] as const;
const PORT = 31_500;
const DID = '+918040000031';
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.31.51\r\ns=-\r\nc=IN IP4 127.0.31.51\r\nt=0 0\r\nm=audio 31800 RTP/AVP 0\r\n';

t.test('BYE reaches a carrier whose Contact lies; next_hop takes the INVITE and leaves its Request-URI', async (t) => {
  const {
    node,
    carrier,
    trunk: proxy,
    target,
  } = await singleTrunk(t, {
    ...{ node: { address: NODE, port: PORT }, carrier: CARRIER, trunk: PROXY, number: DID },
    more: (trunk) => ({
      carrier: { sip: { nat: true } },
      trunk: {
        destination_uris: [{ destination: 'pbx.example', priority: 0, weight: 1 }],
        sip: { next_hop: `sip:${trunk};transport=udp` },
      },
    }),
  });
  node.signal('SIGHUP');
  const call = carrier.sendInvite({
    target,
    uri: `sip:${DID}@${target}`,
    contact: '<sip:carrier@192.0.2.77:5060>',
    body: SDP,
  });
  const invite = await proxy.expectRequest('INVITE');
  t.equal(invite.uri, `sip:${DID}@pbx.example`, 'nobody had to look that name up');
  const answer = invite.respond(200, { body: SDP });
  const ok = await carrier.expect('200 INVITE');
  call.confirm(ok);
  await proxy.expectRequest('ACK');
  proxy.sendRequest('BYE', {
    target,
    uri: /<([^>]+)>/.exec(invite.header('Contact') ?? '')?.[1] ?? '',
    from: answer.header('To') ?? '',
    to: invite.header('From') ?? '',
    callId: answer.callId,
    cseq: 1,
  });
  const bye = await carrier.expectRequest('BYE');
  t.equal(bye.uri, 'sip:carrier@192.0.2.77:5060', 'sent to where its INVITE came from, by the name that it gave');
  bye.respond(200);
  await proxy.expect('200 BYE');
});
