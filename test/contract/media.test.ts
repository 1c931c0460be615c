import { SystemClock, SystemRandom } from '../../src/kernel/index.js';
import { EmbeddedMedia, spawnThread } from '../../src/media/index.js';
import { mediaContract } from './media/contract.js';

const entry = new URL('../../src/cli/mediaWorker.js', import.meta.url);

mediaContract('the embedded engine on one worker', {
  makePort: (rtpPorts) =>
    new EmbeddedMedia(
      { workers: 1, address: '127.0.41.1', rtpPorts },
      { clock: new SystemClock(), random: new SystemRandom(), spawn: spawnThread(entry) },
    ),
  network: '127.0.41',
  peerPort: 20_500,
  rtpPorts: [20_000, 20_099],
});
