/** A node between a carrier behind NAT and a trunk behind an outbound proxy; SIGHUP leaves it serving. */
import t from 'tap';
import { SipPeer } from '../support/sipPeer.js';
import { TandemNode } from '../support/tandemNode.js';

const [NODE, CARRIER, PROXY] = ['127.0.31.50', '127.0.31.51', '127.0.31.52'] as const;
const PORT = 31_500;
const DID = '+918040000031';
const SDP = 'v=0\r\no=- 1 1 IN IP4 127.0.31.51\r\ns=-\r\nc=IN IP4 127.0.31.51\r\nt=0 0\r\nm=audio 31800 RTP/AVP 0\r\n';

t.test('BYE reaches a carrier whose Contact lies; next_hop takes the INVITE and leaves its Request-URI', async (t) => {
  const proxy = await SipPeer.open({ address: PROXY, name: 'proxy' });
  const carrier = await SipPeer.open({ address: CARRIER, name: 'carrier' });
  const node = await TandemNode.start({
    address: NODE,
    port: PORT,
    routing: {
      accounts: [{ sid: 'demo' }],
      carriers: [
        {
          id: 'telco',
          kind: 'byo',
          source_acl: [{ ip: CARRIER }],
          gateways: [{ uri: `sip:${CARRIER}:${carrier.port}`, priority: 0, weight: 1 }],
          sip: { nat: true },
        },
      ],
      trunks: [
        {
          trunk_sid: 'trk',
          account_sid: 'demo',
          trunk_name: 'pbx',
          whitelisted_ips: [{ ip: PROXY }],
          destination_uris: [{ destination: 'pbx.example', priority: 0, weight: 1 }],
          phone_numbers: [{ phone_number: DID, mode: 'pstn', carrier: 'telco' }],
          sip: { next_hop: `sip:${PROXY}:${proxy.port};transport=udp` },
        },
      ],
    },
  });
  t.teardown(async () => {
    await node.stop();
    await proxy.close();
    await carrier.close();
  });
  node.signal('SIGHUP');
  const target = `${NODE}:${PORT}`;
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
