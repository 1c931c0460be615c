import type { NegotiatedAudio } from '../../src/media/sdp/description.js';

/** PCMU both ways with keys as events, to 192.0.2.9. */
export const AUDIO: NegotiatedAudio = {
  codec: 'PCMU',
  clockRate: 8000,
  payloadType: 0,
  receive: new Map([[0, 'PCMU']]),
  sendEvents: 101,
  receiveEvents: 101,
  remoteAddress: '192.0.2.9',
  remotePort: 4000,
  remoteRtcpAddress: '192.0.2.9',
  remoteRtcpPort: 4001,
  sends: true,
  receives: true,
  packetMs: 20,
  crypto: undefined,
};
