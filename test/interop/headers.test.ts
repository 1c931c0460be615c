/** What trunks and carriers say of headers, on the wire: an edge between real sockets, both directions, a whole call. */
import t, { type Test } from 'tap';
import { EdgeRig } from '../support/edgeRig.js';
import { FOREIGN, NUMBER, TOWN, peerAt, sdpOf, townRouting } from '../support/edgeTown.js';
import type { PeerHeader, PeerMessage, SipPeer } from '../support/sipPeer.js';

const ADDRESS = '127.0.34.7';
const PORT = 34_600;
const PORTS = { carrier: 34_610, pbx: 34_620 };
const EDGE = `${ADDRESS}:${PORT}`;

t.setTimeout(60_000);

const open = async (t: Test, sip: { readonly carrier?: object; readonly trunk?: object }) => {
  const routing = townRouting(PORTS, {
    carrier: { sip: { headers: sip.carrier ?? {} } },
    trunk: { sip: { headers: sip.trunk ?? {} } },
  });
  const rig = await EdgeRig.open({ address: ADDRESS, port: PORT, routing });
  const pbx = await peerAt(TOWN.pbx, PORTS.pbx);
  const telco = await peerAt(TOWN.carrier, PORTS.carrier);
  t.teardown(async () => {
    await rig.close();
    await Promise.all([pbx.close(), telco.close()]);
    if (rig.errors.length > 0) throw rig.errors[0];
  });
  return { rig, pbx, telco };
};

interface Crossed {
  readonly invite: PeerMessage;
  readonly ringing: PeerMessage;
  readonly bye: PeerMessage;
}

/** One call with these fields in INVITE, 180 and BYE. @returns what came out at the other side */
const call = async (from: SipPeer, to: SipPeer, outbound: boolean, fields: readonly PeerHeader[]): Promise<Crossed> => {
  const uri = outbound ? `sip:${FOREIGN}@${EDGE}` : `sip:${NUMBER}@${EDGE}`;
  const caller = outbound ? NUMBER : FOREIGN;
  const invite = from.sendInvite({
    target: EDGE,
    uri,
    from: `<sip:${caller}@${from.address}>;tag=a`,
    headers: fields,
    body: sdpOf(from.address),
  });
  const arrived = await to.expectRequest('INVITE');
  arrived.respond(180, { headers: fields });
  const ringing = await from.expect('180 INVITE');
  arrived.respond(200, { body: sdpOf(to.address) });
  const dialog = invite.confirm(await from.expect('200 INVITE'));
  await to.expect('ACK');
  dialog.send('BYE', { headers: fields });
  const bye = await to.expectRequest('BYE');
  bye.respond(200);
  await from.expect('200 BYE');
  return { invite: arrived.message, ringing, bye: bye.message };
};

const UUI: PeerHeader = ['User-to-User', '56a390f3d2b7310023a2;encoding=hex'];
const Q850: PeerHeader = ['Reason', 'Q.850;cause=16;text="Terminated"'];
const STIR: PeerHeader = ['Identity', 'eyJhbGciOiJFUzI1NiJ9.e30.c2ln;info=<https://cert.example/c.pem>;ppt=shaken'];

t.test('outbound: a carrier that wants everything, and one that wants nothing', async (t) => {
  const fields: PeerHeader[] = [
    UUI, Q850, STIR,
    ['P-Asserted-Identity', `<sip:${NUMBER}@10.0.0.1>`],
    ['Diversion', `<sip:${NUMBER}@10.0.0.1>;reason=no-answer`],
    ['X-Acme-Id', '7'], ['X-Other', '8'],
    ['Call-Info', '<https://acme.example/card>'], ['Geolocation', '<cid:x@acme.example>'],
    ['P-Charging-Vector', 'icid-value=1'],
  ]; // prettier-ignore
  await t.test('everything', async (t) => {
    const carrier = {
      identity: 'both',
      diversion: 'both',
      stir: 'pass',
      call_info: 'pass',
      geolocation: 'pass',
      pass: ['X-Acme-*'],
    };
    const { pbx, telco } = await open(t, { carrier, trunk: { pass: ['X-Acme-*'] } });
    const { invite, ringing, bye } = await call(pbx, telco, true, fields);
    t.equal(invite.header('P-Asserted-Identity'), `<sip:${NUMBER}@${EDGE}>`, 'ours, at our address');
    t.equal(invite.header('Remote-Party-ID'), `<sip:${NUMBER}@${EDGE}>;party=calling;screen=yes;privacy=off`);
    t.equal(invite.header('Diversion'), `<sip:${NUMBER}@${EDGE}>;reason=no-answer`);
    t.equal(
      invite.header('History-Info'),
      `<sip:${NUMBER}@${EDGE}>;index=1, <sip:${FOREIGN}@${EDGE};cause=408>;index=1.1;mp=1`,
    );
    for (const name of ['Identity', 'Call-Info', 'Geolocation', 'X-Acme-Id', 'User-to-User', 'Reason'])
      t.ok(invite.header(name), name);
    for (const name of ['X-Other', 'P-Charging-Vector']) t.equal(invite.header(name), undefined, name);
    t.equal(ringing.header('X-Acme-Id'), '7', 'back, too: both list it');
    t.equal(bye.header('Reason'), Q850[1]);
    t.equal(bye.header('User-to-User'), UUI[1]);
    t.notMatch(invite.raw.toString('latin1'), /10\.0\.0\.1/, 'no host of the inside');
  });
  await t.test('nothing', async (t) => {
    const carrier = { identity: 'none', user_to_user: 'strip', reason: 'strip', alert_info: 'strip' };
    const { pbx, telco } = await open(t, { carrier });
    const { invite, ringing, bye } = await call(pbx, telco, true, [...fields, ['Alert-Info', '<urn:alert:x>']]);
    for (const message of [invite, ringing, bye]) {
      for (const [name] of [...fields, ['Alert-Info', '']] as const) t.equal(message.header(name), undefined, name);
    }
  });
});

t.test('inbound: a trunk is told what a trusted carrier asserts, unless the caller withholds it', async (t) => {
  const trunk = { identity: 'asserted', diversion: 'diversion' };
  const history = `<sip:+918040000077@10.0.0.1>;index=1, <sip:${NUMBER}@10.0.0.2;cause=486>;index=1.1;mp=1`;
  const fields: PeerHeader[] = [
    ['P-Asserted-Identity', `"Ann" <sip:${FOREIGN}@10.0.0.1>`],
    ['History-Info', history],
  ];
  await t.test('as it is', async (t) => {
    const { pbx, telco } = await open(t, { trunk });
    const { invite } = await call(telco, pbx, false, fields);
    t.equal(invite.header('P-Asserted-Identity'), `<sip:${FOREIGN}@${EDGE}>`);
    t.equal(invite.header('Diversion'), `<sip:+918040000077@${EDGE}>;reason=user-busy`, 'RFC 7544');
  });
  await t.test('withheld', async (t) => {
    const { pbx, telco } = await open(t, { trunk });
    const { invite } = await call(telco, pbx, false, [...fields, ['Privacy', 'id']]);
    t.match(invite.header('From'), /^"Anonymous" <sip:anonymous@anonymous\.invalid>/);
    t.equal(invite.header('P-Asserted-Identity'), undefined);
    t.equal(invite.header('Diversion'), undefined);
    t.notMatch(invite.raw.toString('latin1'), /9812345678/, 'nowhere');
  });
  await t.test('withheld, from a trunk of the trust domain', async (t) => {
    const { pbx, telco } = await open(t, { trunk: { ...trunk, trusted: true } });
    const { invite } = await call(telco, pbx, false, [...fields, ['Privacy', 'id']]);
    t.match(invite.header('From'), /^"Anonymous"/);
    t.equal(invite.header('P-Asserted-Identity'), `<sip:${FOREIGN}@${EDGE}>`);
    t.equal(invite.header('Privacy'), 'id', 'so that it withholds it further');
  });
  await t.test('from a carrier that is not trusted', async (t) => {
    const { pbx, telco } = await open(t, { trunk, carrier: { trusted: false } });
    const { invite } = await call(telco, pbx, false, fields);
    t.equal(invite.header('P-Asserted-Identity'), undefined);
  });
});
