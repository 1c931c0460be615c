/** The order in which targets are tried: by priority, drawn by weight among equals. */
import type { Target } from './table.js';

/**
 * @param targets sorted by priority
 * @param random uniform in [0, 1), drawn once for each choice among two or more
 */
export function orderTargets(targets: readonly Target[], random: () => number): readonly Target[] {
  if (targets.length < 2) return targets;
  const ordered: Target[] = [];
  for (let start = 0; start < targets.length;) {
    const priority = targets[start]?.priority;
    let end = start + 1;
    while (end < targets.length && targets[end]?.priority === priority) end++;
    drawByWeight(targets.slice(start, end), random, ordered);
    start = end;
  }
  return ordered;
}

/** Without replacement; targets of weight 0 come after all others, in the order written. */
function drawByWeight(equals: Target[], random: () => number, into: Target[]): void {
  let total = 0;
  for (const target of equals) total += target.weight;
  while (equals.length > 1 && total > 0) {
    let left = random() * total;
    let index = 0;
    while (index < equals.length - 1 && left >= (equals[index] as Target).weight)
      left -= (equals[index++] as Target).weight;
    const [chosen] = equals.splice(index, 1) as [Target];
    total -= chosen.weight;
    into.push(chosen);
  }
  into.push(...equals);
}
