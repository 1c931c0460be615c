/** Changes inputs: some ways know the form of what they change, the others take it as octets. */
import type { Dice } from './dice.js';
import { mutateJson } from './mutateJson.js';
import { mutateLines } from './mutateLines.js';
import type { Target } from './target.js';

const LONG = [16, 64, 255, 256, 257, 1024, 4096, 8192, 33_000];
const EDGE_NUMBERS = [
  ...['0', '-0', '-1', '+1', '00', '1e3', '0x10', ' 1', '1 ', '', '1.5', '255', '256', '65535', '65536', '99999999999'],
  ...['2147483647', '2147483648', '4294967295', '4294967296', '4294967297', '9007199254740993'],
  ...['18446744073709551615', '18446744073709551616', '9'.repeat(400), 'NaN', 'Infinity', '\u0661'],
];
const ODD = [0, 9, 10, 13, 32, 34, 37, 44, 58, 59, 60, 61, 62, 63, 64, 91, 92, 93, 127, 128, 255];

type Change = (data: Buffer, dice: Dice, target: Target, other: Buffer) => Buffer;

const splice = (data: Buffer, from: number, to: number, piece: Buffer): Buffer =>
  Buffer.concat([data.subarray(0, from), piece, data.subarray(Math.max(from, to))]);

const OCTETS: readonly Change[] = [
  (data, dice) => {
    const out = Buffer.from(data);
    if (out.length > 0) out[dice.below(out.length)]! ^= 1 << dice.below(8);
    return out;
  },
  (data, dice) => splice(data, dice.below(data.length + 1), 0, Buffer.from([dice.pick(ODD)])),
  (data, dice) => {
    const at = dice.below(data.length);
    return splice(data, at, at + 1, Buffer.from([dice.once(2) ? dice.pick(ODD) : dice.below(256)]));
  },
  (data, dice) => {
    const at = dice.below(data.length);
    return splice(data, at, at + 1 + dice.below(dice.once(4) ? data.length : 8), Buffer.alloc(0));
  },
  (data, dice) => {
    const at = dice.below(data.length);
    const piece = data.subarray(at, at + 1 + dice.below(40));
    return splice(data, dice.below(data.length), 0, piece);
  },
  (data, dice) => {
    const at = dice.below(data.length);
    const run = Buffer.alloc(dice.pick(LONG), data.length > 0 && dice.once(2) ? data[at] : dice.pick(ODD));
    return splice(data, at, at + dice.below(2), run);
  },
  (data, dice) => {
    const at = dice.below(data.length);
    const piece = data.subarray(at, at + 1 + dice.below(12));
    const times = Math.min(Math.floor(dice.pick(LONG) / Math.max(1, piece.length)), 4096);
    return splice(data, at, 0, Buffer.concat(Array.from({ length: times }, () => piece)));
  },
  (data, dice, { words }) => {
    const at = dice.below(data.length + 1);
    return splice(data, at, at + dice.below(6), Buffer.from(dice.pick(words), 'latin1'));
  },
  (data, dice, _target, other) => {
    const cut = dice.below(data.length);
    return Buffer.concat([data.subarray(0, cut), other.subarray(dice.below(other.length))]);
  },
  (data, dice, _target, other) => {
    const at = dice.below(other.length);
    return splice(data, dice.below(data.length), 0, other.subarray(at, at + 1 + dice.below(80)));
  },
  (data, dice) => changeNumber(data, dice),
];

/** One of the numbers in the text becomes an edge. */
const changeNumber = (data: Buffer, dice: Dice): Buffer => {
  const starts: number[] = [];
  const isDigit = (i: number): boolean => data[i]! >= 0x30 && data[i]! <= 0x39;
  for (let i = 0; i < data.length; i++) if (isDigit(i) && (i === 0 || !isDigit(i - 1))) starts.push(i);
  if (starts.length === 0) return data;
  const from = dice.pick(starts);
  let to = from;
  while (to < data.length && isDigit(to)) to++;
  return splice(data, from, to, Buffer.from(dice.pick(EDGE_NUMBERS), 'latin1'));
};

/** @param other another input of the corpus, to take pieces from */
export const mutate = (data: Buffer, other: Buffer, target: Target, dice: Dice): Buffer => {
  let out = data;
  for (let rounds = 1 + dice.below(dice.once(3) ? 8 : 3); rounds > 0; rounds--) {
    const structured = target.kind !== 'octets' && !dice.once(3);
    if (structured && target.kind === 'json') out = mutateJson(out, other, target, dice);
    else if (structured && target.kind !== 'text') out = mutateLines(out, other, target, dice);
    else out = dice.pick(OCTETS)(out, dice, target, other);
    if (out.length > target.maxBytes) out = out.subarray(0, target.maxBytes);
  }
  return Buffer.from(out);
};
