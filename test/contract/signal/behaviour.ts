import type { Test } from 'tap';
import type { IncomingLeg, InviteSpec, OutgoingLeg } from '../../../src/signal/port.js';
import type { IncomingCall, LegProbe } from '../../support/signalApp.js';
import { type Rig, openPeer, uriOfPeer } from '../../support/signalRig.js';
import type {
  PeerDialog,
  PeerMessage,
  PeerRequest,
  PeerRequestSpec,
  PeerTransaction,
  SipPeer,
} from '../../support/sipPeer.js';

/** What one behaviour runs with. */
export interface Stage {
  readonly t: Test;
  readonly rig: Rig;
  /** Opened for this behaviour and closed after it. */
  readonly peer: SipPeer;
  /** A further peer. */
  open(transport?: 'udp' | 'tcp', name?: string): Promise<SipPeer>;
}

export interface Behaviour {
  readonly name: string;
  readonly run: (stage: Stage) => Promise<void>;
}

export const SDP_A =
  'v=0\r\no=a 1 1 IN IP4 127.0.35.1\r\ns=-\r\nc=IN IP4 127.0.35.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n';
export const SDP_B =
  'v=0\r\no=b 2 2 IN IP4 127.0.35.2\r\ns=-\r\nc=IN IP4 127.0.35.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n';
export const SDP_TYPE = 'application/sdp';
export const sdp = (text: string): { readonly contentType: string; readonly body: Buffer } => ({
  contentType: SDP_TYPE,
  body: Buffer.from(text),
});

export const outgoingSpec = (peer: SipPeer, more: Partial<InviteSpec> = {}): InviteSpec => ({
  uri: uriOfPeer(peer),
  from: '"Tandem" <sip:+918040000001@localhost>',
  to: `<${uriOfPeer(peer)}>`,
  ...sdp(SDP_A),
  ...more,
});

/** `host:port` of the port under test, as this peer reaches it. */
export const targetOf = (rig: Rig, peer: SipPeer): string => (peer.transport === 'tcp' ? rig.tcp : rig.udp);

export interface Arrived extends IncomingCall {
  readonly invite: PeerTransaction;
}

/** peer -> INVITE; the application has the leg. */
export async function callIn({ rig, peer }: Stage, spec: PeerRequestSpec = {}): Promise<Arrived> {
  const invite = peer.sendInvite({ target: targetOf(rig, peer), body: SDP_A, ...spec });
  return { invite, ...(await rig.app.call()) };
}

export interface Established {
  readonly leg: IncomingLeg | OutgoingLeg;
  readonly probe: LegProbe;
  readonly dialog: PeerDialog;
}

/** peer -> INVITE, 200 <- us, peer -> ACK. */
export async function establishIn(
  stage: Stage,
  spec: PeerRequestSpec = {},
): Promise<Established & { leg: IncomingLeg }> {
  const { invite, leg, probe } = await callIn(stage, spec);
  leg.answer(sdp(SDP_B));
  const dialog = invite.confirm(await stage.peer.expect('200 INVITE'));
  await probe.expect('ack');
  return { leg, probe, dialog };
}

export interface Placed {
  readonly leg: OutgoingLeg;
  readonly probe: LegProbe;
  readonly invite: PeerRequest;
}

/** us -> INVITE; the peer has it. */
export async function callOut({ rig, peer }: Stage, more: Partial<InviteSpec> = {}): Promise<Placed> {
  const { leg, probe } = rig.app.invite(rig.port, outgoingSpec(peer, more));
  return { leg, probe, invite: await peer.expectRequest('INVITE') };
}

/** us -> INVITE, 200 <- peer, us -> ACK. */
export async function establishOut(stage: Stage): Promise<Established & { leg: OutgoingLeg; ok: PeerMessage }> {
  const { leg, probe, invite } = await callOut(stage);
  const ok = invite.respond(200, { body: SDP_B });
  await probe.expect('answered');
  leg.ack();
  await stage.peer.expect('ACK');
  return { leg, probe, dialog: invite.dialog(ok), ok };
}

/** The peer hangs up and the leg reports it. */
export async function hangUp({ peer }: Stage, { dialog, probe }: Established): Promise<void> {
  dialog.send('BYE');
  await peer.expect('200 BYE');
  await probe.expect('ended');
}

/** Both ways of having an established call, for behaviours that do not depend on who called. */
export const EITHER_WAY: readonly [string, (stage: Stage) => Promise<Established>][] = [
  ['of a call that came in', (stage) => establishIn(stage)],
  ['of a call that went out', (stage) => establishOut(stage)],
];

/** Another peer of this file's address. */
export const openStagePeer = openPeer;
