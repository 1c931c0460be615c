import type { MessagePort } from 'node:worker_threads';
import type { BridgePeer } from './core.js';

/** What two bridged endpoints on different workers say to each other, past the main thread. */
type Said = Int16Array | { readonly digit: string; readonly durationMs: number };

/**
 * The far end of a bridge behind a message port. Calls that are joined after the fact may live on two workers; those
 * of one call never do.
 * @param near hears what the far end says. @param onGone the far end has left.
 */
export function farPeer(
  port: MessagePort,
  near: BridgePeer,
  onGone: () => void,
): { peer: BridgePeer; close: () => void } {
  let open = true;
  const close = (): void => {
    open = false;
    port.close();
  };
  port.on('message', (said: Said) => {
    if (!open) return;
    if (said instanceof Int16Array) near.frame(said);
    else near.key(said.digit, said.durationMs);
  });
  port.on('close', () => {
    if (open) onGone();
  });
  return {
    peer: {
      frame: (pcm) => {
        if (!open) return;
        const copy = pcm.slice();
        port.postMessage(copy, [copy.buffer]);
      },
      key: (digit, durationMs) => {
        if (open) port.postMessage({ digit, durationMs });
      },
    },
    close,
  };
}
