/** Entry point of the media engine's worker threads: the one place where the engine meets its sockets. */
import { SystemClock, SystemMetronome, SystemRandom } from '../kernel/index.js';
import { MediaWorker, threadMain } from '../media/index.js';
import { bindRtpPair } from '../net/index.js';

const thread = threadMain();
if (thread !== undefined) {
  new MediaWorker({
    ...thread,
    clock: new SystemClock(),
    random: new SystemRandom(),
    metronome: new SystemMetronome(),
    bind: bindRtpPair,
    onDefect: (error) => {
      process.stderr.write(
        `media worker: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
    },
  }).start();
}
