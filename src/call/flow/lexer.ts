/** Words of the flow language, one pass over the text. */

export interface ExpressionError {
  readonly code:
    | 'too_long'
    | 'too_deep'
    | 'unexpected_character'
    | 'unterminated_text'
    | 'unexpected_word'
    | 'unexpected_end'
    | 'unknown_function'
    | 'wrong_argument_count'
    | 'unclosed_template';
  /** Index into the text, UTF-16 units. */
  readonly at: number;
  readonly message: string;
}

export type Token =
  | { readonly kind: 'text'; readonly at: number; readonly value: string }
  | { readonly kind: 'number'; readonly at: number; readonly value: number }
  /** A name or a word of the language. */
  | { readonly kind: 'word'; readonly at: number; readonly value: string }
  | { readonly kind: 'sign'; readonly at: number; readonly value: string }
  | { readonly kind: 'end'; readonly at: number; readonly value: '' };

export const MAX_EXPRESSION = 1024;

export const problemAt = (code: ExpressionError['code'], at: number, message: string): ExpressionError => ({
  code,
  at,
  message: `${message} at character ${at + 1}`,
});

const BLANK = new Set([' ', '\t', '\n', '\r']);
const isDigit = (char: string | undefined): boolean => char !== undefined && char >= '0' && char <= '9';
const isLetter = (char: string | undefined): boolean =>
  char !== undefined && ((char >= 'a' && char <= 'z') || (char >= 'A' && char <= 'Z') || char === '_');
const SIGNS = ['==', '!=', '<=', '>=', '<', '>', '(', ')', ',', '.'];

/** @returns the tokens, the last of kind `end`; or what is wrong */
export function tokenize(text: string): Token[] | ExpressionError {
  if (text.length > MAX_EXPRESSION) return problemAt('too_long', MAX_EXPRESSION, `longer than ${MAX_EXPRESSION}`);
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at] as string;
    if (BLANK.has(char)) {
      at++;
      continue;
    }
    const token = readToken(text, at, tokens.at(-1));
    if ('code' in token.read) return token.read;
    tokens.push(token.read);
    at = token.end;
  }
  tokens.push({ kind: 'end', at: text.length, value: '' });
  return tokens;
}

function readToken(
  text: string,
  at: number,
  before: Token | undefined,
): { read: Token | ExpressionError; end: number } {
  const char = text[at] as string;
  if (char === '"' || char === "'") return readText(text, at, char);
  // After a dot everything is a name: ids of nodes may begin with a digit and hold dashes.
  const named = before?.kind === 'sign' && before.value === '.';
  if (named ? isLetter(char) || isDigit(char) : isLetter(char)) {
    let end = at + 1;
    while (isLetter(text[end]) || isDigit(text[end]) || (named && text[end] === '-')) end++;
    return { read: { kind: 'word', at, value: text.slice(at, end) }, end };
  }
  if (isDigit(char) || (char === '-' && isDigit(text[at + 1]))) {
    let end = at + 1;
    while (isDigit(text[end])) end++;
    if (text[end] === '.' && isDigit(text[end + 1])) {
      end++;
      while (isDigit(text[end])) end++;
    }
    return { read: { kind: 'number', at, value: Number(text.slice(at, end)) }, end };
  }
  const sign = SIGNS.find((candidate) => text.startsWith(candidate, at));
  if (sign === undefined) {
    const hint = char === '=' ? " (equality is '==')" : '';
    return { read: problemAt('unexpected_character', at, `unexpected character '${char}'${hint}`), end: at };
  }
  return { read: { kind: 'sign', at, value: sign }, end: at + sign.length };
}

function readText(text: string, at: number, quote: string): { read: Token | ExpressionError; end: number } {
  let value = '';
  for (let i = at + 1; i < text.length; i++) {
    const char = text[i] as string;
    if (char === quote) return { read: { kind: 'text', at, value }, end: i + 1 };
    if (char === '\\' && i + 1 < text.length) value += text[++i];
    else value += char;
  }
  return { read: problemAt('unterminated_text', at, 'text without an end'), end: at };
}
