/** Changes to JSON documents: members dropped, doubled, replaced, nested, taken from elsewhere. */
import type { Dice } from './dice.js';
import type { Target } from './target.js';

type Holder = { [key: string]: unknown };

const isHolder = (value: unknown): value is Holder => typeof value === 'object' && value !== null;

/** Every object and array of a document; bounded, as an input may be one deep nest. */
const holdersOf = (root: unknown): Holder[] => {
  const found: Holder[] = isHolder(root) ? [root] : [];
  for (let i = 0; i < found.length && found.length < 2000; i++) {
    for (const value of Object.values(found[i]!)) if (isHolder(value)) found.push(value);
  }
  return found;
};

const EDGES: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 1.5, 1e308, -1e308, 2 ** 31, 2 ** 53, '', ' ', 'x', [], {}, [[]], [null]],
  ...['__proto__', 'constructor', 'toString', '{{', '{{ a }}', '{{ call.from }}', '\u0000', '\ud800', 'a'.repeat(5000)],
];

const nest = (depth: number, array: boolean): unknown => {
  let value: unknown = 0;
  for (let i = 0; i < depth; i++) value = array ? [value] : { a: value };
  return value;
};

const edge = (dice: Dice, words: readonly string[]): unknown => {
  if (dice.once(12)) return nest(dice.pick([3, 40, 500]), dice.once(2));
  return dice.once(3) ? dice.pick(words) : dice.pick(EDGES);
};

export const mutateJson = (data: Buffer, other: Buffer, { words }: Target, dice: Dice): Buffer => {
  const root = parsed(data);
  const holders = holdersOf(root);
  if (holders.length === 0) return data;
  const holder = dice.pick(holders);
  const keys = Object.keys(holder);
  const key = keys.length === 0 ? dice.pick(words) : dice.pick(keys);
  const foreign = holdersOf(parsed(other));
  switch (dice.below(7)) {
    case 0:
      delete holder[key];
      break;
    case 1:
      holder[dice.pick(words)] = holder[key];
      break;
    case 2:
      if (foreign.length > 0) holder[key] = structuredClone(dice.pick(foreign));
      break;
    case 3:
      if (Array.isArray(holder)) for (let i = dice.below(50); i > 0; i--) holder.push(structuredClone(holder[0]));
      else holder[dice.pick(words)] = edge(dice, words);
      break;
    default:
      holder[key] = edge(dice, words);
  }
  const text = JSON.stringify(root);
  return dice.once(20) ? Buffer.from(text.replace(`"${key}"`, `"${dice.pick(words)}"`)) : Buffer.from(text);
};

const parsed = (data: Buffer): unknown => {
  try {
    return JSON.parse(data.toString('utf8'));
  } catch {
    return undefined;
  }
};
