const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/**
 * Runs `work` and tells the longest turn of the event loop meanwhile, in milliseconds: by the clock, or by the CPU time of
 * the process where that is less, as a turn does not become longer because others had the processor in its middle.
 */
export async function longestHoldMs(work: () => Promise<void>): Promise<number> {
  let longestMs = 0;
  let [beganMs, usedMs] = [performance.now(), cpuMs()];
  const look = (): void => {
    const [nowMs, nowUsedMs] = [performance.now(), cpuMs()];
    longestMs = Math.max(longestMs, Math.min(nowMs - beganMs, nowUsedMs - usedMs));
    [beganMs, usedMs] = [nowMs, nowUsedMs];
    looking = setImmediate(look);
  };
  let looking = setImmediate(look);
  try {
    await work();
  } finally {
    clearImmediate(looking);
  }
  return longestMs;
}
