/** Two who talk through an exchange that transfers them. */
import type { PeerDialog, SipPeer } from './sipPeer.js';

export interface Up {
  readonly peer: SipPeer;
  readonly dialog: PeerDialog;
  readonly callId: string;
}

/** @returns what a re-INVITE offers, once it was answered with this */
export const agrees = async ({ peer }: Up, media: string): Promise<string> => {
  const reinvite = await peer.expectRequest('INVITE');
  reinvite.respond(200, { body: media });
  await peer.expect('ACK');
  return reinvite.text;
};

export const hangsUp = async ({ peer, dialog }: Up, other: Up): Promise<void> => {
  dialog.send('BYE');
  await peer.expect('200 BYE');
  (await other.peer.expectRequest('BYE')).respond(200);
};
