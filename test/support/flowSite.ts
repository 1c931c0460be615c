/** A node whose numbers flows answer, a caller with a telephone, a PBX, an echo bot, a web server. */
import { RtpPeer, amplitudeAt } from '../contract/media/peer.js';
import { type PeerDialog, type PeerMessage, SipPeer } from './sipPeer.js';
import { TandemNode } from './tandemNode.js';

export const NODE = '127.0.43.101';
export const CARRIER = '127.0.43.110';
export const PBX = '127.0.43.120';
export const BOT = '127.0.43.105';
export const WEB = '127.0.43.106';
const SIP_PORT = 22_100;
const PBX_PORT = 22_120;

/** Numbers by flow: the flow's index makes the number. */
export const numberOf = (index: number): string => `+9180400010${String(index).padStart(2, '0')}`;

export const routing = (flows: readonly object[]): object => ({
  accounts: [{ sid: 'demo' }],
  carriers: [{ id: 'telco', source_acl: [{ ip: CARRIER }], gateways: [{ uri: `sip:${CARRIER}:22110` }] }],
  trunks: [
    {
      trunk_sid: 'trk',
      account_sid: 'demo',
      trunk_name: 'pbx',
      whitelisted_ips: [{ ip: PBX }],
      destination_uris: [{ destination: `${PBX}:${PBX_PORT}` }],
      phone_numbers: flows.map((flow, i) => ({
        phone_number: numberOf(i),
        mode: 'flow',
        flow: (flow as { id: string }).id,
        carrier: 'telco',
      })),
    },
  ],
  flows,
});

export const mediaConfig = (rtpPorts: readonly [number, number], address = NODE): object => ({
  rtpPorts,
  address,
  workers: 1,
  egress: ['127.0.0.0/8'],
  recordingsPath: './recordings',
});

export const startNode = (flows: readonly object[]): Promise<TandemNode> =>
  TandemNode.start({
    address: NODE,
    port: SIP_PORT,
    routing: routing(flows),
    config: { media: mediaConfig([23_000, 23_199]) },
  });

/** One end of a call: signalling and audio. */
export class Phone {
  readonly sip: SipPeer;
  readonly rtp: RtpPeer;
  dialog: PeerDialog | undefined;
  callId = '';

  private constructor(sip: SipPeer, rtp: RtpPeer) {
    this.sip = sip;
    this.rtp = rtp;
  }

  static async open(address: string, rtpPort: number, sipPort = 0): Promise<Phone> {
    return new Phone(await SipPeer.open({ address, port: sipPort }), await RtpPeer.bind(address, rtpPort));
  }

  static pbx(rtpPort: number): Promise<Phone> {
    return Phone.open(PBX, rtpPort, PBX_PORT);
  }

  /** Calls a number of the node, and is answered. */
  async calls(number: string, target = `${NODE}:${SIP_PORT}`): Promise<void> {
    const invite = this.sip.sendInvite({
      target,
      uri: `sip:${number}@${target}`,
      from: `<sip:+919812345678@${this.sip.address}>;tag=c${this.rtp.port}`,
      body: this.rtp.sdp(),
    });
    const answer = await this.sip.expect('200 INVITE');
    this.callId = invite.callId;
    this.rtp.pointAt(answer.body);
    this.dialog = invite.confirm(answer);
  }

  /** Is called, and answers. */
  async answers(): Promise<void> {
    const invite = await this.sip.expectRequest('INVITE');
    invite.respond(180);
    this.rtp.pointAt(invite.message.body);
    this.dialog = invite.dialog(invite.respond(200, { body: this.rtp.sdp() }));
    await this.sip.expect('ACK');
  }

  /** Answers a re-INVITE with its own description. @returns the offer; empty where it was asked for one */
  async renegotiates(version: number): Promise<PeerMessage> {
    const invite = await this.sip.expectRequest('INVITE');
    if (invite.message.body.length > 0) this.rtp.pointAt(invite.message.body);
    invite.respond(200, { body: this.rtp.sdp(['a=sendrecv'], version) });
    const ack = await this.sip.expect('ACK');
    if (ack.body.length > 0) this.rtp.pointAt(ack.body);
    return ack;
  }

  async hangsUp(): Promise<void> {
    this.dialog?.send('BYE');
    await this.sip.expect('200 BYE');
  }

  async isHungUp(): Promise<PeerMessage> {
    const bye = await this.sip.expectRequest('BYE');
    bye.respond(200);
    return bye.message;
  }

  /** Resolves when a tone was heard for this long, among what came since `from`. */
  async hears(hz: number, ms: number, from = this.rtp.heard.length): Promise<void> {
    const samples = ms * 8;
    // Each stretch is looked at once: with every packet only what that packet completes.
    let at = 0;
    await this.rtp.until(() => {
      const pcm = this.rtp.audio(from);
      for (; at + samples <= pcm.length; at += 160) {
        if (amplitudeAt(pcm.subarray(at, at + samples), hz) > 3000) return true;
      }
      return false;
    }, 8000);
  }

  async close(): Promise<void> {
    await this.sip.close();
    await this.rtp.close();
  }
}
