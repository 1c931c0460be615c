/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other; case counts half. */
const distance = (a: string, b: string): number => {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const x = a[i - 1] as string;
      const y = b[j - 1] as string;
      const replace = x === y ? 0 : x.toLowerCase() === y.toLowerCase() ? 0.5 : 1;
      let best = Math.min(at(rows, i - 1, j) + 1, (row[j - 1] as number) + 1, at(rows, i - 1, j - 1) + replace);
      if (i > 1 && j > 1 && x === b[j - 2] && y === a[i - 2]) best = Math.min(best, at(rows, i - 2, j - 2) + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return at(rows, a.length, b.length);
};

const at = (rows: number[][], i: number, j: number): number => rows[i]?.[j] ?? Infinity;

/** The candidate closest to a mistyped word, or undefined when none is close enough to be meant. */
export const nearest = (word: string, candidates: Iterable<string>): string | undefined => {
  const typed = word.slice(0, 64);
  let best: string | undefined;
  let bestDistance = Math.max(1.5, Math.min(typed.length, 12) / 2);
  for (const candidate of candidates) {
    const d = distance(typed, candidate);
    if (d < bestDistance) [best, bestDistance] = [candidate, d];
  }
  return best;
};
