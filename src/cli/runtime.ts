import { setFlagsFromString } from 'node:v8';

/**
 * Settings of V8 that suit a node: nearly all that a call makes is garbage when it ends, and all calls run the same code.
 *
 * - Every new object is made in the young generation. By default V8 watches which places in the code make objects that
 *   live on, and makes theirs in the old generation from then on. A node that starts under load, or is overtaken by it, has
 *   hundreds of calls open in each collection, so V8 learns that calls live long; when the load is gone it does not unlearn
 *   it. Every call then fills the old generation, and whatever a finished one still refers to is moved there after it.
 * - The old generation is collected when it has doubled, not when it has grown by a third: a full collection holds calls up
 *   for 10 to 20 ms, and its helpers take the other cores for longer. Memory beyond what lives is what that costs.
 * - The young generation is collected by the thread that makes the garbage: little of it survives, so that it takes 2 or 3
 *   ms, and helpers that wait for a core on a full machine made that 90 at times.
 * - Code is optimised after a quarter of the work that V8 waits for by default: a call takes a thousand small steps, each
 *   once, and it took some 30,000 calls until the last of them was compiled.
 */
export const suitRuntime = (): void => {
  setFlagsFromString('--no-allocation-site-pretenuring');
  setFlagsFromString('--heap-growing-percent=100');
  setFlagsFromString('--no-parallel-scavenge');
  setFlagsFromString('--interrupt-budget=16896');
};
