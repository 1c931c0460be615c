/** Texts with expressions in them: `Hello {{ caller.name }}`. */
import { type Result, err, ok } from '../../kernel/index.js';
import { type Expression, type ExpressionError, type Lookup, evaluate, parseExpression } from './expression.js';
import { problemAt } from './lexer.js';
import { MAX_TEXT, textOf } from './values.js';

/** Literal texts and expressions in turn. */
export type Template = readonly (string | Expression)[];

const MAX_PARTS = 64;

export const hasTemplate = (text: string): boolean => text.includes('{{');

/** `}}` inside a quoted text does not close. Each character is looked at once here and once by the parser. */
export function parseTemplate(text: string): Result<Template, ExpressionError> {
  const parts: (string | Expression)[] = [];
  let at = 0;
  for (;;) {
    const open = text.indexOf('{{', at);
    if (open < 0) break;
    if (parts.length >= MAX_PARTS) return err(problemAt('too_long', open, `more than ${MAX_PARTS} parts`));
    const close = closeOf(text, open + 2);
    if (close < 0) return err(problemAt('unclosed_template', open, "'{{' without '}}'"));
    const inner = parseExpression(text.slice(open + 2, close));
    if (!inner.ok) return err({ ...inner.error, at: inner.error.at + open + 2 });
    if (open > at) parts.push(text.slice(at, open));
    parts.push(inner.value);
    at = close + 2;
  }
  if (at < text.length) parts.push(text.slice(at));
  return ok(parts);
}

function closeOf(text: string, from: number): number {
  let quote = '';
  for (let i = from; i < text.length; i++) {
    const char = text[i] as string;
    if (quote !== '') {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '}' && text[i + 1] === '}') return i;
  }
  return -1;
}

/** Percent-encoding that takes any text: halves of surrogate pairs become U+FFFD. */
export const encodeText = (text: string): string => encodeURIComponent(text.replaceAll(/[\uD800-\uDFFF]/gu, '\uFFFD'));

/** The text, at most 4096 characters of it. `encode` is applied to what is filled in behind the beginning. */
export function fillTemplate(template: Template, lookup: Lookup, encode?: (text: string) => string): string {
  let text = '';
  for (const part of template) {
    if (typeof part === 'string') text += part;
    else {
      const value = textOf(evaluate(part, lookup));
      text += encode === undefined || text === '' ? value : encode(value);
    }
    if (text.length > MAX_TEXT) return text.slice(0, MAX_TEXT);
  }
  return text;
}
