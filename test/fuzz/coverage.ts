/** Which parts of our own code an input reaches: V8's own coverage, asked in this process. */
import { type Profiler, Session } from 'node:inspector';

/** Offsets [from, to, from, to ...] of a script's text, in order. */
type Spans = readonly number[];

export class Coverage {
  readonly #session = new Session();
  /** What no input has reached yet, by function; a function that never ran is not there. */
  readonly #dark = new Map<string, Spans>();
  /** What the last look replaced; undefined: the function was new. */
  readonly #before = new Map<string, Spans | undefined>();
  #covers: readonly string[] = [];

  constructor() {
    this.#session.connect();
    this.#ask('Profiler.enable');
    // Block counters as flags: counts would keep the functions from being optimised.
    this.#ask('Profiler.startPreciseCoverage', { callCount: false, detailed: true });
  }

  /** @param covers parts of module URLs */
  begin(covers: readonly string[]): void {
    this.#covers = covers;
    this.#dark.clear();
    this.#ask('Profiler.takePreciseCoverage');
  }

  /** Functions that ran, and how many of them ran in all their blocks. */
  get reached(): { readonly functions: number; readonly whole: number } {
    let whole = 0;
    for (const dark of this.#dark.values()) if (dark.length === 0) whole++;
    return { functions: this.#dark.size, whole };
  }

  /** Looks at what ran since the last look. @returns true when some of it never ran before */
  take(): boolean {
    const { result } = this.#ask('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType;
    this.#before.clear();
    for (const { url, scriptId, functions } of result) {
      if (!this.#covers.some((part) => url.includes(part))) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const key = `${scriptId}:${whole.startOffset}:${whole.endOffset}`;
        const before = this.#dark.get(key);
        if (before?.length === 0) continue;
        const dark = darkOf(ranges);
        const left = before === undefined ? dark : intersection(before, dark);
        if (before !== undefined && lengthOf(left) === lengthOf(before)) continue;
        this.#before.set(key, before);
        this.#dark.set(key, left);
      }
    }
    return this.#before.size > 0;
  }

  /** As if the last look had not been: to find out who of many reached what it found. */
  forgetLast(): void {
    for (const [key, spans] of this.#before) {
      if (spans === undefined) this.#dark.delete(key);
      else this.#dark.set(key, spans);
    }
    this.#before.clear();
  }

  close(): void {
    this.#ask('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  /** Commands to one's own thread are answered within the call. */
  #ask(method: string, params: object = {}): unknown {
    let answer: unknown;
    this.#session.post(method, params, (error, value) => {
      if (error !== null) throw error;
      answer = value;
    });
    return answer;
  }
}

/** Ranges lie in each other, the outer first; the innermost says whether a place was reached. */
const darkOf = (ranges: readonly Profiler.CoverageRange[]): Spans => {
  if (ranges.every(({ count }) => count > 0)) return [];
  const borders = [...new Set(ranges.flatMap(({ startOffset, endOffset }) => [startOffset, endOffset]))];
  borders.sort((a, b) => a - b);
  const dark: number[] = [];
  for (let i = 0; i + 1 < borders.length; i++) {
    const [from, to] = [borders[i]!, borders[i + 1]!];
    const inner = ranges.findLast(({ startOffset, endOffset }) => startOffset <= from && to <= endOffset);
    if (inner !== undefined && inner.count === 0) dark.push(from, to);
  }
  return dark;
};

const intersection = (a: Spans, b: Spans): Spans => {
  const both: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const from = Math.max(a[i]!, b[j]!);
    const to = Math.min(a[i + 1]!, b[j + 1]!);
    if (from < to) both.push(from, to);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return both;
};

const lengthOf = (spans: Spans): number => {
  let length = 0;
  for (let i = 0; i < spans.length; i += 2) length += spans[i + 1]! - spans[i]!;
  return length;
};
