/** The order in which targets are tried: by priority, drawn by weight among equals. */

/** What has a place in an order: gateways, destinations, carriers. */
export interface Weighed {
  readonly priority: number;
  readonly weight: number;
}

const samePriority = (a: Weighed, b: Weighed): boolean => a.priority === b.priority;

/**
 * @param targets sorted by priority
 * @param random uniform in [0, 1), drawn once for each choice among two or more
 * @param equal which neighbours are drawn; those of one priority by default
 */
export function orderTargets<T extends Weighed>(
  targets: readonly T[],
  random: () => number,
  equal: (a: T, b: T) => boolean = samePriority,
): readonly T[] {
  if (targets.length < 2) return targets;
  const ordered: T[] = [];
  for (let start = 0; start < targets.length;) {
    const first = targets[start] as T;
    let end = start + 1;
    while (end < targets.length && equal(first, targets[end] as T)) end++;
    drawByWeight(targets.slice(start, end), random, ordered);
    start = end;
  }
  return ordered;
}

/** Without replacement; targets of weight 0 come after all others, in the order written. */
function drawByWeight<T extends Weighed>(equals: T[], random: () => number, into: T[]): void {
  let total = 0;
  for (const target of equals) total += target.weight;
  while (equals.length > 1 && total > 0) {
    let left = random() * total;
    let index = 0;
    while (index < equals.length - 1 && left >= (equals[index] as T).weight) left -= (equals[index++] as T).weight;
    const [chosen] = equals.splice(index, 1) as [T];
    total -= chosen.weight;
    into.push(chosen);
  }
  into.push(...equals);
}
