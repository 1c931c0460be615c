import { Worker, parentPort, workerData } from 'node:worker_threads';
import type { Command, FromWorker, MainLink, SpawnWorker, WorkerSettings } from './protocol.js';

/** Runs media workers on threads. @param entry the module that calls `runMediaWorker`. */
export const spawnThread =
  (entry: URL): SpawnWorker =>
  (settings, sink) => {
    const worker = new Worker(entry, { name: 'media', workerData: settings });
    let reason = 'exited';
    worker.on('message', (message: FromWorker) => sink.onMessage(message));
    worker.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    worker.once('exit', (code) => sink.onExit(`${reason} (code ${code})`));
    return {
      post: (command: Command, transfer) => worker.postMessage(command, transfer ?? []),
      terminate: async () => {
        await worker.terminate();
      },
    };
  };

/** The worker's side of `spawnThread`; undefined on a thread that is no media worker. */
export const threadMain = (): { main: MainLink; settings: WorkerSettings } | undefined => {
  const port = parentPort;
  if (port === null) return undefined;
  return {
    settings: workerData as WorkerSettings,
    main: {
      post: (message) => port.postMessage(message),
      onCommand: (receive) => port.on('message', receive),
    },
  };
};
