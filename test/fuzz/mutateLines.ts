/** Changes to text of lines with names and values: SIP heads, SDP, frames. */
import type { Dice } from './dice.js';
import type { Target } from './target.js';

type LineChange = (lines: string[], dice: Dice, other: readonly string[], words: readonly string[]) => void;

const COMPACT: readonly (readonly [string, string])[] = [
  ['Via', 'v'],
  ['From', 'f'],
  ['To', 't'],
  ['Call-ID', 'i'],
  ['Contact', 'm'],
  ['Content-Length', 'l'],
  ['Content-Type', 'c'],
  ['Subject', 's'],
  ['Supported', 'k'],
];

const at = (lines: readonly string[], dice: Dice): number => dice.below(lines.length);

/** Applies to the value of a `Name: value` line; other lines stay. */
const onValue = (lines: string[], dice: Dice, change: (value: string) => string): void => {
  const i = at(lines, dice);
  const line = lines[i] ?? '';
  const colon = line.indexOf(':');
  lines[i] = colon < 0 ? change(line) : `${line.slice(0, colon + 1)} ${change(line.slice(colon + 1).trim())}`;
};

const percent = (text: string): string =>
  [...text].map((c) => `%${(c.charCodeAt(0) & 255).toString(16).padStart(2, '0')}`).join('');

const CHANGES: readonly LineChange[] = [
  (lines, dice) => void lines.splice(at(lines, dice), 0, lines[at(lines, dice)] ?? ''),
  (lines, dice) => void lines.splice(at(lines, dice), 1),
  (lines, dice) => {
    const [a, b] = [at(lines, dice), at(lines, dice)];
    [lines[a], lines[b]] = [lines[b] ?? '', lines[a] ?? ''];
  },
  (lines, dice, other) => void lines.splice(at(lines, dice), dice.below(2), other[at(other, dice)] ?? ''),
  // Folded in two; or a line that only looks folded.
  (lines, dice) => {
    const i = at(lines, dice);
    const line = lines[i] ?? '';
    const cut = dice.below(line.length);
    lines.splice(i, 1, line.slice(0, cut), `${dice.pick([' ', '\t', '  ', ''])}${line.slice(cut)}`);
  },
  // The name of another line, or the compact one.
  (lines, dice) => {
    const i = at(lines, dice);
    const value = (lines[i] ?? '').split(':').slice(1).join(':');
    const name = dice.once(2) ? dice.pick(COMPACT.flat()) : (lines[at(lines, dice)] ?? '').split(':')[0];
    lines[i] = `${name}${dice.pick([':', ' :', '\t: ', ':  '])}${value}`;
  },
  (lines, dice) => onValue(lines, dice, (value) => `${value}, ${value}`),
  (lines, dice) => onValue(lines, dice, (value) => Array.from({ length: 1 + dice.below(300) }, () => value).join(',')),
  (lines, dice, _other, words) => onValue(lines, dice, (value) => `${value};${dice.pick(words)}=${dice.pick(words)}`),
  (lines, dice, _other, words) => onValue(lines, dice, () => dice.pick(words)),
  (lines, dice) => onValue(lines, dice, (value) => `"${value}`),
  (lines, dice) => onValue(lines, dice, (value) => `<${value}>`),
  (lines, dice) => onValue(lines, dice, percent),
  (lines, dice) => onValue(lines, dice, (value) => value.toUpperCase()),
  (lines, dice) => onValue(lines, dice, () => ''),
  (lines, dice, other) =>
    onValue(lines, dice, () => (other[at(other, dice)] ?? '').split(':').slice(1).join(':').trim()),
  (lines, dice) =>
    onValue(lines, dice, (value) => value + dice.pick(['\u00c0\u00af', '\u00e9', '\u00ff', '\u0000', '\r', '\n'])),
];

/** Lines are those of the whole text, body included; some of the line ends become others. */
export const mutateLines = (data: Buffer, other: Buffer, { words }: Target, dice: Dice): Buffer => {
  const lines = data.toString('latin1').split('\r\n');
  dice.pick(CHANGES)(lines, dice, other.toString('latin1').split('\r\n'), words);
  if (!dice.once(12)) return Buffer.from(lines.join('\r\n'), 'latin1');
  let text = '';
  lines.forEach((line, i) => {
    if (i > 0) text += dice.once(6) ? dice.pick(['\n', '\r', '\n\r', '\r\r\n', '\r\n\r\n']) : '\r\n';
    text += line;
  });
  return Buffer.from(text, 'latin1');
};
