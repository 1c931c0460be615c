/** Every regular expression of the program on 64 kB made to be slow, and whole messages of that size. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { StreamFramer } from '../../src/sip/message/framing.js';
import { parseMessage } from '../../src/sip/message/parse.js';
import { attacksOn } from '../support/regexAttacks.js';

const LENGTH = 65_536;
const MAX_MS = 10;
/** Short first: an expression that takes exponential time would not come back from a long text. */
const LENGTHS = [22, 26, 30, 512, 4096, 16_384, LENGTH];

interface Expression {
  readonly where: string;
  readonly expression: RegExp;
}

const sourcesIn = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sourcesIn(path) : path.endsWith('.ts') ? [path] : [];
  });

/** Literals, and what JSON Schemas have as patterns; `dynamic`: made from parts while the program runs. */
const expressionsOf = (file: string): { readonly found: Expression[]; readonly dynamic: string[] } => {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Expression[] = [];
  const dynamic: string[] = [];
  const add = (node: ts.Node, pattern: string, flags: string): void => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    found.push({ where: `${file}:${line + 1}`, expression: new RegExp(pattern, flags) });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf('/');
      add(node, node.text.slice(1, end), node.text.slice(end + 1));
    } else if (ts.isStringLiteralLike(node) && node.text.startsWith('^') && node.text.length > 2) {
      add(node, node.text, 'u');
    } else if (ts.isNewExpression(node) && node.expression.getText() === 'RegExp') {
      dynamic.push(`${file}: ${node.getText()}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { found, dynamic };
};

const all = sourcesIn('src').map(expressionsOf);

/** What the program does with an expression: it looks for the first match, or for all. */
const apply = (expression: RegExp, text: string): void => {
  expression.lastIndex = 0;
  if (expression.global) text.replaceAll(expression, '');
  else expression.test(text);
};

/** CPU time; the least of some tries, as the machine may be busy and the compiler at work. */
const cpuMs = (work: () => void, enoughMs: number): number => {
  let best = Infinity;
  for (let tries = 0; tries < 6 && best > enoughMs; tries++) {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
};

/** @returns the slowest text and its time, or undefined when all are fast enough */
const slowest = (expression: RegExp): string | undefined => {
  for (const attack of attacksOn(expression)) {
    for (const length of LENGTHS) {
      const text = attack(length);
      const tookMs = cpuMs(() => apply(expression, text), MAX_MS);
      if (tookMs > MAX_MS) {
        return `${tookMs.toFixed(1)} ms for ${text.length} characters, ${JSON.stringify(text.slice(0, 40))} ... ${JSON.stringify(text.slice(-8))}`;
      }
    }
  }
  return undefined;
};

t.test(`each takes at most ${MAX_MS} ms for ${LENGTH} characters`, { timeout: 230_000 }, async (t) => {
  const tried = new Set<string>();
  for (const { where, expression } of all.flatMap(({ found }) => found)) {
    if (tried.has(String(expression))) continue;
    tried.add(String(expression));
    t.equal(slowest(expression), undefined, `${where} ${String(expression)}`);
  }
  t.ok(tried.size > 150, `${tried.size} different expressions`);
});

t.test('those made while the program runs are known, and made of what is not hostile', async (t) => {
  const known: readonly string[] = [
    // Our own routes.
    'src/admin/exotel/exotelApi.ts',
    // The name of a field of our own.
    'src/call/record/chargesToday.ts',
  ];
  const dynamic = all.flatMap(({ dynamic: made }) => made);
  for (const one of dynamic)
    t.ok(
      known.some((file) => one.startsWith(file)),
      one,
    );
});

t.test('the attacks find what is slow', async (t) => {
  for (const slow of [/(a+)+$/, /\s+$/, /<[^>]*>/, /^(?:a|a)*b/, /^\d+\d+x/, /x*y/]) t.ok(slowest(slow), String(slow));
  for (const fast of [/^\s+/, /[ab]/g, /^[a-z]{1,64}$/, /^[^@]*@$/]) t.equal(slowest(fast), undefined, String(fast));
});

t.test(
  'a message of 64 kB is parsed and framed in 5 ms, and four times the size takes no more than five times',
  async (t) => {
    const head = 'INVITE sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n';
    const rest = 'To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n';
    const filled = (field: string, bytes: number): string => field.repeat(Math.floor(bytes / field.length));
    const shapes: { readonly [name: string]: (bytes: number) => string } = {
      'fields without end': (bytes) => filled('X-Field: some value of it\r\n', bytes),
      'one long field': (bytes) => `X: ${'a'.repeat(bytes)}\r\n`,
      'a long list of contacts': (bytes) => `Contact: ${filled('<sip:a@b;x=y>;q=0.5, ', bytes)}<sip:z@z>\r\n`,
      'a long list of Vias': (bytes) => `Via: ${filled('SIP/2.0/UDP h;branch=z9hG4bKa, ', bytes)}SIP/2.0/UDP h\r\n`,
      'a folded field': (bytes) => `X: a${filled('\r\n folded', bytes)}\r\n`,
    };
    const limits = { maxMessageBytes: 1 << 20, maxHeaderBytes: 1 << 20, maxHeaders: 10_000 };
    const work = (data: Buffer) => (): void => {
      new StreamFramer(limits).push(data);
      const parsed = parseMessage(data, limits);
      if (parsed.ok) void [parsed.value.headerList('Via'), parsed.value.headerList('Contact'), parsed.value.toBuffer()];
    };
    const messageOf = (shape: (bytes: number) => string, bytes: number): Buffer =>
      Buffer.from(`${head}${rest}${shape(bytes)}Content-Length: 0\r\n\r\n`, 'latin1');
    const body = (bytes: number): Buffer =>
      Buffer.from(`${head}${rest}Content-Length: ${bytes}\r\n\r\n${'a'.repeat(bytes)}`, 'latin1');
    /** Ten at a time: the clock of the kernel steps. */
    const once = (data: Buffer): number => {
      const before = process.cpuUsage();
      for (let i = 0; i < 10; i++) work(data)();
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 10_000;
    };
    const makers = Object.entries(shapes).map(([name, shape]) => [name, (n: number) => messageOf(shape, n)] as const);
    for (const [name, make] of [...makers, ['a long body', body] as const]) {
      const [few, many] = [make(16_000), make(64_000)];
      // In pairs: whatever else the machine does meets both, and the middle one of the ratios has neither's bad moment.
      const pairs = Array.from({ length: 15 }, () => ({ small: once(few), large: once(many) }));
      const large = Math.min(...pairs.map((pair) => pair.large));
      const ratios = pairs.map((pair) => pair.large / pair.small).sort((a, b) => a - b);
      const ratio = ratios[ratios.length >> 1] ?? Infinity;
      t.ok(large <= 5, `${name}: ${large.toFixed(2)} ms`);
      t.ok(ratio <= 5, `${name}: 64 kB take ${ratio.toFixed(2)} times as long as 16 kB`);
    }
  },
);
