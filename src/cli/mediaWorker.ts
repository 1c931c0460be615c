/** Entry point of the media engine's worker threads: the one place where the engine meets its sockets. */
import { setPriority } from 'node:os';
import { SystemClock, SystemMetronome, SystemRandom } from '../kernel/index.js';
// Not the faces of these folders: a worker would load most of the program, and each node has several.
import { MediaWorker } from '../media/engine/mediaWorker.js';
import { threadMain } from '../media/engine/thread.js';
import { connectFrugally } from '../net/frugalConnect.js';
import { bindRtpPair } from '../net/rtpSockets.js';

/** Of a thread that has something to do every 5 ms, and little: before whoever computes at length. */
const PRIORITY = -5;

const preferThisThread = (): void => {
  try {
    // On Linux 0 is the calling thread, not its process.
    if (process.platform === 'linux') setPriority(0, PRIORITY);
  } catch {
    // Not permitted, as for most users: then the thread waits its turn.
  }
};

const thread = threadMain();
if (thread !== undefined) {
  preferThisThread();
  new MediaWorker({
    ...thread,
    clock: new SystemClock(),
    random: new SystemRandom(),
    metronome: new SystemMetronome(),
    bind: bindRtpPair,
    connect: connectFrugally,
    onDefect: (error) => {
      process.stderr.write(
        `media worker: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
    },
  }).start();
}
