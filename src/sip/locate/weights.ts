import type { ServiceRecord } from '../ports.js';

/**
 * SRV records in the order in which to try them, RFC 2782: by priority, and among equals drawn by weight.
 * @param draw uniform in [0, 1)
 */
export const orderServices = (records: readonly ServiceRecord[], draw: () => number): ServiceRecord[] => {
  const sorted = [...records].sort((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: ServiceRecord[] = [];
  for (let start = 0; start < sorted.length;) {
    let end = start + 1;
    while (end < sorted.length && sorted[end]?.priority === sorted[start]?.priority) end++;
    drawEquals(sorted.slice(start, end), draw, ordered);
    start = end;
  }
  return ordered;
};

/**
 * "a random number between 0 and the sum inclusive" selects the first record whose running sum reaches it: those of
 * weight 0, which stand first, are chosen ahead of others only seldom.
 */
const drawEquals = (equals: ServiceRecord[], draw: () => number, into: ServiceRecord[]): void => {
  let sum = 0;
  for (const { weight } of equals) sum += weight;
  while (equals.length > 1) {
    const wanted = Math.floor(draw() * (sum + 1));
    let index = 0;
    let running = equals[0]?.weight ?? 0;
    while (running < wanted && index < equals.length - 1) running += equals[++index]?.weight ?? 0;
    const [chosen] = equals.splice(index, 1);
    if (chosen === undefined) return;
    sum -= chosen.weight;
    into.push(chosen);
  }
  into.push(...equals);
};
