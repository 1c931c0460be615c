/**
 * Conditions of flows: literals, variables, comparison, `and` `or` `not`, four functions. A recursive-descent parser
 * with a bound on depth; evaluation walks the tree once. Nothing is ever handed to the JavaScript engine.
 *
 *   condition := all { "or" all }            all := factor { "and" factor }
 *   factor    := "not" factor | operand [ ("=="|"!="|"<"|"<="|">"|">=") operand ]
 *   operand   := text | number | "true" | "false" | "null" | name { "." name } | function "(" … ")" | "(" condition ")"
 */
import { type Result, err, ok } from '../../kernel/index.js';
import { matchesDigits } from './digitPattern.js';
import { type ExpressionError, type Token, problemAt, tokenize } from './lexer.js';
import { type Value, isTrue, textOf } from './values.js';

export type { ExpressionError } from './lexer.js';
export { MAX_EXPRESSION } from './lexer.js';

type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=';
type FunctionName = 'contains' | 'startsWith' | 'length' | 'matchesDigits';

export type Expression =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'variable'; readonly path: readonly string[]; readonly at: number }
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Expression[] }
  | { readonly kind: 'not'; readonly part: Expression }
  | { readonly kind: 'compare'; readonly sign: Comparison; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'call'; readonly name: FunctionName; readonly args: readonly Expression[] };

/** Value of a variable; null when it has none. */
export type Lookup = (path: readonly string[]) => Value;

export const MAX_DEPTH = 32;

const FUNCTIONS: { readonly [N in FunctionName]: { readonly args: number; run(args: readonly Value[]): Value } } = {
  contains: { args: 2, run: ([text, part]) => textOf(text ?? null).includes(textOf(part ?? null)) },
  startsWith: { args: 2, run: ([text, part]) => textOf(text ?? null).startsWith(textOf(part ?? null)) },
  length: { args: 1, run: ([text]) => textOf(text ?? null).length },
  matchesDigits: { args: 2, run: ([text, pattern]) => matchesDigits(textOf(text ?? null), textOf(pattern ?? null)) },
};

const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>=']);
const CONSTANTS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['true', true],
  ['false', false],
  ['null', null],
]);
const RESERVED = new Set(['and', 'or', 'not', ...CONSTANTS.keys()]);

/** @returns the condition, or where and why the text is none; never throws */
export function parseExpression(text: string): Result<Expression, ExpressionError> {
  const tokens = tokenize(text);
  if (!Array.isArray(tokens)) return err(tokens);
  const parser = new Parser(tokens);
  const expression = parser.condition(0);
  if (parser.problem !== undefined) return err(parser.problem);
  const rest = parser.peek();
  return rest.kind === 'end'
    ? ok(expression)
    : err(problemAt('unexpected_word', rest.at, `unexpected '${rest.value}'`));
}

const NOTHING: Expression = { kind: 'literal', value: null };

/** The first problem stops it: from then on every method returns at once. */
class Parser {
  problem: ExpressionError | undefined;
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  peek(): Token {
    return this.#tokens[this.#next] as Token;
  }

  condition(depth: number): Expression {
    return this.#chain('or', () => this.#chain('and', () => this.#factor(depth)));
  }

  #chain(word: 'and' | 'or', part: () => Expression): Expression {
    const first = part();
    if (!this.#isWord(word)) return first;
    const parts = [first];
    while (this.problem === undefined && this.#isWord(word)) {
      this.#next++;
      parts.push(part());
    }
    return { kind: word, parts };
  }

  #factor(depth: number): Expression {
    if (depth > MAX_DEPTH) return this.#fail('too_deep', `nested deeper than ${MAX_DEPTH}`);
    if (this.#isWord('not')) {
      this.#next++;
      return { kind: 'not', part: this.#factor(depth + 1) };
    }
    const left = this.#operand(depth);
    const sign = this.peek();
    if (this.problem !== undefined || sign.kind !== 'sign' || !COMPARISONS.has(sign.value)) return left;
    this.#next++;
    return { kind: 'compare', sign: sign.value as Comparison, left, right: this.#operand(depth) };
  }

  #operand(depth: number): Expression {
    if (this.problem !== undefined) return NOTHING;
    const token = this.peek();
    if (token.kind === 'text' || token.kind === 'number') {
      this.#next++;
      return { kind: 'literal', value: token.value };
    }
    if (token.kind === 'word') return this.#named(token, depth);
    if (!this.#isSign('(')) return this.#unexpected();
    this.#next++;
    const inner = this.condition(depth + 1);
    this.#expect(')');
    return inner;
  }

  #named(token: Token & { kind: 'word' }, depth: number): Expression {
    const constant = CONSTANTS.get(token.value);
    if (constant === undefined && RESERVED.has(token.value)) return this.#unexpected();
    this.#next++;
    if (constant !== undefined) return { kind: 'literal', value: constant };
    if (this.#isSign('(')) return this.#call(token, depth);
    const path = [token.value];
    while (this.#isSign('.')) {
      this.#next++;
      const name = this.peek();
      if (name.kind !== 'word') return this.#unexpected();
      path.push(name.value);
      this.#next++;
    }
    return { kind: 'variable', path, at: token.at };
  }

  #call(token: Token & { kind: 'word' }, depth: number): Expression {
    if (!Object.hasOwn(FUNCTIONS, token.value)) {
      this.problem ??= problemAt('unknown_function', token.at, `unknown function '${token.value}'`);
      return NOTHING;
    }
    const name = token.value as FunctionName;
    const args: Expression[] = [];
    do {
      this.#next++;
      args.push(this.condition(depth + 1));
    } while (this.problem === undefined && this.#isSign(','));
    this.#expect(')');
    const wanted = FUNCTIONS[name].args;
    if (args.length !== wanted) {
      this.problem ??= problemAt('wrong_argument_count', token.at, `${name} takes ${wanted}, not ${args.length}`);
    }
    return { kind: 'call', name, args };
  }

  #isWord(value: string): boolean {
    const token = this.peek();
    return token.kind === 'word' && token.value === value;
  }

  #isSign(value: string): boolean {
    const token = this.peek();
    return token.kind === 'sign' && token.value === value;
  }

  #expect(sign: string): void {
    if (this.#isSign(sign)) this.#next++;
    else this.#unexpected();
  }

  #unexpected(): Expression {
    const token = this.peek();
    return token.kind === 'end'
      ? this.#fail('unexpected_end', 'unexpected end')
      : this.#fail('unexpected_word', `unexpected '${token.value}'`);
  }

  #fail(code: ExpressionError['code'], message: string): Expression {
    this.problem ??= problemAt(code, this.peek().at, message);
    return NOTHING;
  }
}

/** Value of a condition. Variables without a value are null. Never throws. */
export function evaluate(expression: Expression, lookup: Lookup): Value {
  switch (expression.kind) {
    case 'literal':
      return expression.value;
    case 'variable':
      return lookup(expression.path);
    case 'and':
      return expression.parts.every((part) => isTrue(evaluate(part, lookup)));
    case 'or':
      return expression.parts.some((part) => isTrue(evaluate(part, lookup)));
    case 'not':
      return !isTrue(evaluate(expression.part, lookup));
    case 'compare':
      return compare(expression.sign, evaluate(expression.left, lookup), evaluate(expression.right, lookup));
    case 'call':
      return FUNCTIONS[expression.name].run(expression.args.map((arg) => evaluate(arg, lookup)));
  }
}

const NUMBER = /^-?[0-9]{1,15}(?:\.[0-9]{1,15})?$/;

/** A value that can be compared with a number; digits that callers press arrive as text. */
const numberOf = (value: Value): number | undefined => {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && NUMBER.test(value) ? Number(value) : undefined;
};

/** A number on either side makes the comparison numeric where that is possible; else texts, by code unit. */
function compare(sign: Comparison, left: Value, right: Value): boolean {
  const numeric = typeof left === 'number' || typeof right === 'number' || !(sign === '==' || sign === '!=');
  const a = numeric ? numberOf(left) : undefined;
  const b = numeric ? numberOf(right) : undefined;
  if (a !== undefined && b !== undefined) return holds(sign, a < b ? -1 : a > b ? 1 : 0);
  // Null equals null and nothing else; a comparison of order with it is false.
  if (left === null || right === null) return sign === '==' ? left === right : sign === '!=' && left !== right;
  const x = textOf(left);
  const y = textOf(right);
  return holds(sign, x < y ? -1 : x > y ? 1 : 0);
}

function holds(sign: Comparison, order: number): boolean {
  switch (sign) {
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

/** Calls `visit` for each variable of an expression. */
export function eachVariable(
  expression: Expression,
  visit: (variable: Expression & { kind: 'variable' }) => void,
): void {
  switch (expression.kind) {
    case 'variable':
      visit(expression);
      break;
    case 'and':
    case 'or':
      for (const part of expression.parts) eachVariable(part, visit);
      break;
    case 'not':
      eachVariable(expression.part, visit);
      break;
    case 'compare':
      eachVariable(expression.left, visit);
      eachVariable(expression.right, visit);
      break;
    case 'call':
      for (const arg of expression.args) eachVariable(arg, visit);
      break;
    case 'literal':
  }
}
