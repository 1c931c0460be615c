/** The search: inputs that reach new blocks of code join the corpus, and the next ones are made from them. */
import { Coverage } from './coverage.js';
import { Dice } from './dice.js';
import { mutate } from './mutate.js';
import { runBounded } from './oracles.js';
import { Finding, type Target } from './target.js';

/** A look at the coverage costs some milliseconds: between two of them inputs run for a multiple of that time. */
const RUN_PER_LOOK = 6;
const MAX_BATCH = 2000;
/** Runs spent on making an input that hurts an oracle smaller. */
const SHRINK_RUNS = 400;
const SHRINK_MS = 20_000;

export interface Found {
  readonly target: string;
  readonly oracle: string;
  readonly message: string;
  readonly input: Buffer;
}

export interface Outcome {
  readonly target: string;
  readonly runs: number;
  /** Functions that ran, and those of which every block did. */
  readonly reached: { readonly functions: number; readonly whole: number };
  readonly corpus: readonly Buffer[];
  readonly found: readonly Found[];
}

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Inputs beside the target's own seeds. */
  readonly corpus: readonly Buffer[];
  /** Findings of one target after which it is left. */
  readonly maxFound: number;
}

/** What an input does: undefined when all oracles hold. */
const verdictOf = async (target: Target, input: Buffer): Promise<{ oracle: string; message: string } | undefined> => {
  try {
    await runBounded(target, input);
    return undefined;
  } catch (error) {
    if (error instanceof Finding) return { oracle: error.oracle, message: error.message };
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { oracle: `throws-${error instanceof Error ? error.name : 'value'}`, message: stack };
  }
};

/** The same fault with fewer octets: pieces are left out, the largest first. */
const shrink = async (target: Target, input: Buffer, oracle: string): Promise<Buffer> => {
  let best = input;
  let runs = 0;
  const until = performance.now() + SHRINK_MS;
  for (let size = Math.ceil(input.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.length;) {
      if (++runs > SHRINK_RUNS || performance.now() > until) return best;
      const smaller = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if ((await verdictOf(target, smaller))?.oracle === oracle) best = smaller;
      else at += size;
    }
  }
  return best;
};

const EMPTY = Buffer.alloc(0);

/** Half of the time one of the newest: what has just opened a way leads on. */
const chosen = (corpus: readonly Buffer[], dice: Dice): Buffer => {
  const newest = dice.once(2) ? corpus.length - 1 - dice.below(Math.min(16, corpus.length)) : -1;
  return corpus[newest >= 0 ? newest : dice.below(corpus.length)] ?? EMPTY;
};

export class Fuzzer {
  readonly #coverage = new Coverage();

  close(): void {
    this.#coverage.close();
  }

  /** Fuzzes one target for so long. */
  async fuzz(target: Target, { seconds, seed, corpus: given, maxFound }: FuzzOptions): Promise<Outcome> {
    const dice = new Dice(seed);
    const corpus: Buffer[] = [];
    const found = new Map<string, Found>();
    this.#coverage.begin(target.covers);
    let runs = 0;
    const run = async (input: Buffer): Promise<boolean> => {
      runs++;
      const verdict = await verdictOf(target, input);
      if (verdict === undefined) return true;
      const { oracle, message } = verdict;
      // One of each kind: the next run finds the next one, when this is mended.
      if (!found.has(oracle)) {
        found.set(oracle, { target: target.name, oracle, message, input: await shrink(target, input, oracle) });
      }
      return false;
    };
    for (const input of [...target.seeds(), ...given]) {
      if (await run(input)) corpus.push(input);
      this.#coverage.take();
    }
    const until = performance.now() + seconds * 1000;
    let lookMs = 5;
    while (performance.now() < until && found.size < maxFound) {
      const batch: Buffer[] = [];
      const batchUntil = Math.min(until, performance.now() + RUN_PER_LOOK * lookMs);
      while (batch.length < MAX_BATCH && performance.now() < batchUntil) {
        const input = mutate(chosen(corpus, dice), dice.pick(corpus) ?? EMPTY, target, dice);
        if (await run(input)) batch.push(input);
      }
      const lookedFrom = performance.now();
      const fresh = this.#coverage.take();
      lookMs = performance.now() - lookedFrom;
      if (fresh) for (const input of await this.#thoseThatReach(target, batch)) corpus.push(input);
    }
    return { target: target.name, runs, reached: this.#coverage.reached, corpus, found: [...found.values()] };
  }

  /** Runs the inputs of a batch once more, one by one, to learn which of them reached what was new. */
  async #thoseThatReach(target: Target, batch: readonly Buffer[]): Promise<Buffer[]> {
    const kept: Buffer[] = [];
    this.#coverage.forgetLast();
    for (const input of batch) {
      await target.run(input);
      if (this.#coverage.take()) kept.push(input);
    }
    return kept;
  }
}
