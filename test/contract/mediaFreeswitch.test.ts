import { FreeswitchSite } from '../support/freeswitch/site.js';
import { mediaContract } from './media/contract.js';

let servers = 0;

mediaContract('FreeSWITCH through drachtio-fsmrf', {
  makePort: (rtpPorts) => {
    const at = 26_400 + 10 * servers++;
    return new FreeswitchSite({
      address: '127.0.61.1',
      servers: [{ address: '127.0.61.11', sipPort: at, eslPort: at + 1, rtpPorts }],
    });
  },
  network: '127.0.61',
  peerPort: 26_500,
  rtpPorts: [26_000, 26_099],
  cannot: {
    turnStrangersAway: 'FreeSWITCH follows the audio to wherever it comes from, unless its profile says otherwise',
    recordToTheFrame: { why: 'a recording is ended by a command that takes its time', withinMs: 150 },
  },
});
