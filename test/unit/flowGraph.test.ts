/** What is refused at publish, and in which words; the language of conditions. */
import t from 'tap';
import { APPLETS, checkFlow } from '../../src/call/applets/catalogue.js';
import { matchesDigits } from '../../src/call/flow/digitPattern.js';
import { evaluate, parseExpression } from '../../src/call/flow/expression.js';
import { fillTemplate, parseTemplate } from '../../src/call/flow/template.js';
import { type Value, isTrue } from '../../src/call/flow/values.js';
import { problemsOf } from '../support/flowLadder.js';

const bye = { applet: 'hangup' };
const say = (next: string, more: object = {}) => ({
  applet: 'greeting',
  params: { play: [{ file: 'a.wav' }] },
  exits: { next },
  ...more,
});

t.test('a refusal names the place and the rule', async (t) => {
  const cases: [string, Parameters<typeof problemsOf>, RegExp][] = [
    ['no such start', [{ a: bye }, { start: 'b' }], /^start leads to 'b', which is no node/],
    ['no such fallback', [{ a: bye }, { fallback: 'b' }], /^fallback leads to 'b'/],
    [
      'no such applet',
      [{ a: { applet: 'greting' } }],
      /^nodes.a.applet is an unknown applet 'greting' \(did you mean 'greeting'\?\)/,
    ],
    [
      'params',
      [{ a: say('b', { params: { play: [] } }), b: bye }],
      /^nodes.a.params.play must NOT have fewer than 1 items/,
    ],
    [
      'unknown param',
      [{ a: { applet: 'hangup', params: { caus: 1 } } }],
      /^nodes.a.params has an unknown key 'caus' \(did you mean 'cause'\?\)/,
    ],
    ['no such target', [{ a: say('c') }], /^nodes.a.exits.next leads to 'c'/],
    [
      'unknown exit',
      [{ a: say('b', { exits: { next: 'b', nxet: 'b' } }), b: bye }],
      /^nodes.a.exits has an unknown key 'nxet' \(did you mean 'next'\?\)/,
    ],
    ['exit that leads nowhere', [{ a: say('b', { exits: {} }) }], /^nodes.a.exits must say where 'next' leads/],
    ['choice that leads nowhere', [{ a: { applet: 'menu', params: { choices: ['1'] } } }], /must say where '1' leads/],
    [
      'template',
      [{ a: say('b', { params: { play: [{ text: 'x {{ call.form }}' }] } }), b: bye }],
      /^nodes.a.params.play\[0\].text uses 'call.form' \(call has sid, from/,
    ],
    [
      'template syntax',
      [{ a: say('b', { params: { play: [{ text: 'x {{ a' }] } }), b: bye }],
      /'{{' without '}}' at character 3/,
    ],
    [
      'node in a template',
      [{ a: say('b', { params: { play: [{ text: '{{nodes.c.digits}}' }] } }), b: bye }],
      /there is no node 'c'/,
    ],
    [
      'unknown variable',
      [{ a: say('b', { params: { play: [{ text: '{{vip}}' }] } }), b: bye }],
      /unknown variable 'vip'/,
    ],
    ['set', [{ a: say('b', { set: { vip: 'yes' } }), b: bye }], /^nodes.a.set.vip is no variable of this flow/],
    [
      'condition',
      [
        {
          a: {
            applet: 'switchcase',
            params: { cases: [{ when: 'call.from = 1', exit: 'x' }] },
            exits: { x: 'b', otherwise: 'b' },
          },
          b: bye,
        },
      ],
      /^nodes.a.params.cases\[0\].when is no condition: unexpected character '=' \(equality is '=='\)/,
    ],
    ['variable name', [{ a: bye }, { variables: { call: 1 } }], /^variables.call has the name of something else/],
    ['version', [{ a: bye }, { version: 'x' }], /^version must be an integer/],
    [
      'stream for exotel',
      [
        {
          a: {
            applet: 'voicebot',
            params: { url: 'wss://x.example/', custom_parameters: { a: '', b: '', c: '', d: '' } },
          },
        },
      ],
      /custom_parameters must be at most 3 in the exotel dialect: put several into one/,
    ],
    [
      'long parameters for exotel',
      [
        {
          a: {
            applet: 'stream',
            params: { url: 'wss://x.example/', custom_parameters: { a: 'x'.repeat(256) } },
            exits: { next: 'b' },
          },
          b: bye,
        },
      ],
      /^nodes.a.params.custom_parameters must be at most 256 characters in all, names included, .*: send an id/,
    ],
    [
      'long URL for exotel',
      [{ a: { applet: 'voicebot', params: { url: `wss://x.example/${'y'.repeat(584)}` } } }],
      /^nodes.a.params.url must be shorter than 600 characters in the exotel dialect: send an id/,
    ],
    [
      'stream for twilio',
      [{ a: { applet: 'voicebot', params: { url: 'wss://x.example/', dialect: 'twilio', sample_rate: 16000 } } }],
      /mulaw at 8000/,
    ],
    ['stream URL', [{ a: { applet: 'voicebot', params: { url: 'x.example/' } } }], /must begin with ws:/],
    ['transfer', [{ a: { applet: 'transfer' } }], /must be given, or 'refer', not both/],
  ];
  for (const [name, args, rule] of cases) {
    const problems = problemsOf(...args);
    t.equal(problems.length, 1, name);
    t.match(problems[0], rule, name);
  }
  t.notOk(checkFlow(null).ok);
  t.notOk(checkFlow({ id: 'x', start: 'a', nodes: { a: bye }, extra: 1 }).ok);
  t.notOk(checkFlow(JSON.parse('{"id":"x","start":"__proto__","nodes":{"__proto__":{"applet":"hangup"}}}')).ok);
});

t.test('a flow without a way out is refused with the way into it', async (t) => {
  const menu = (exits: object) => ({ applet: 'menu', params: { choices: ['1'] }, exits });
  t.same(
    problemsOf({ hi: say('menu'), menu: menu({ 1: 'more', timeout: 'menu', invalid: 'menu' }), more: say('menu') }),
    ['nodes.hi has no way to an end of the call: hi -> menu -> more -> menu'.replace('nodes.hi', 'nodes.menu')],
  );
  t.same(problemsOf({ menu: menu({ 1: 'menu', timeout: 'bye' }), bye }), [], 'a timeout is a way out');
  t.same(
    problemsOf({ menu: menu({ 1: 'menu', invalid: 'menu' }), sorry: say('bye'), bye }, { fallback: 'sorry' }),
    [],
    'and so is the fallback of an exit that leads nowhere',
  );
  t.same(
    problemsOf({ menu: menu({ 1: 'menu', timeout: 'menu', invalid: 'menu', error: 'bye' }), bye }).length,
    1,
    'an error is none',
  );
});

t.test('a loop in which nothing waits is refused with its way; a bound makes it good', async (t) => {
  const ask = (more: object = {}) => ({
    applet: 'passthru',
    params: { url: 'https://x.example/' },
    exits: { a: 'say', b: 'bye' },
    ...more,
  });
  t.same(problemsOf({ ask: ask(), say: say('ask'), bye }), [
    'nodes.ask is in a loop in which nothing waits for the caller and no node has max_visits: ask -> say -> ask',
  ]);
  t.same(problemsOf({ ask: ask({ max_visits: 3 }), say: say('ask'), bye }), []);
  t.same(
    problemsOf({ a: say('b', { exits: { next: 'b', error: 'a' } }), b: bye }).length,
    1,
    'a node that retries itself',
  );
});

t.test('what is never reached is a warning', async (t) => {
  const checked = checkFlow({ id: 'x', start: 'a', nodes: { a: bye, b: bye } });
  t.match(checked, { ok: true, value: { warnings: [{ message: 'nodes.b is never reached: no exit leads to it' }] } });
});

t.test('every applet says what it is', async (t) => {
  for (const [name, applet] of APPLETS) {
    t.equal(applet.name, name);
    t.match(applet.does, /\.$/);
    t.match(applet.params, { type: 'object', additionalProperties: false });
  }
});

const values = new Map<string, Value>([
  ['call.from', '+919876543210'],
  ['nodes.ask-1.digits', '42'],
  ['vip', true],
  ['count', 3],
  ['empty', ''],
]);
const lookup = (path: readonly string[]): Value => values.get(path.join('.')) ?? null;
const value = (text: string): Value | string => {
  const parsed = parseExpression(text);
  return parsed.ok ? evaluate(parsed.value, lookup) : parsed.error.code;
};

t.test('conditions', async (t) => {
  const cases: [string, Value][] = [
    ['call.from', '+919876543210'],
    ['missing.thing == null', true],
    ['missing', null],
    ["call.from == '+919876543210'", true],
    ['nodes.ask-1.digits == 42', true],
    ['nodes.ask-1.digits == "042"', false],
    ['nodes.ask-1.digits < 100 and nodes.ask-1.digits >= 42', true],
    ['"9" < "10"', true],
    ['"b" > "a"', true],
    ['count != 3 or not vip', false],
    ['not not vip', true],
    ['vip == true', true],
    ['1 == 1 and (2 == 3 or not empty)', true],
    ['not empty and vip', true],
    ['contains(call.from, "9876")', true],
    ['startsWith(call.from, "+44")', false],
    ['length(call.from) == 13', true],
    ['length(missing)', 0],
    ['matchesDigits(nodes.ask-1.digits, "XX")', true],
    ['-1.5 < 0', true],
    ['missing < 1', false],
    ['missing == ""', false],
    ['"it\\"s" == \'it"s\'', true],
    ['true', true],
  ];
  for (const [text, wanted] of cases) t.equal(value(text), wanted, text);
});

t.test('what is no condition is told where and why', async (t) => {
  const cases: [string, string][] = [
    ['', 'unexpected_end'],
    ['call.', 'unexpected_end'],
    ['a == == b', 'unexpected_word'],
    ['a b', 'unexpected_word'],
    ['a == b == c', 'unexpected_word'],
    ['(a', 'unexpected_end'],
    ['"a', 'unterminated_text'],
    ['a = b', 'unexpected_character'],
    ['a; b', 'unexpected_character'],
    ['eval("1")', 'unknown_function'],
    ['constructor("1")', 'unknown_function'],
    ['length()', 'unexpected_word'],
    ['length(a, b)', 'wrong_argument_count'],
    ['and', 'unexpected_word'],
    [`${'('.repeat(40)}a${')'.repeat(40)}`, 'too_deep'],
    [`${'not '.repeat(40)}a`, 'too_deep'],
    ['a'.repeat(1025), 'too_long'],
  ];
  for (const [text, code] of cases) t.equal(value(text), code, text.slice(0, 40));
  const parsed = parseExpression('a == $');
  t.match(parsed, { error: { at: 5, message: "unexpected character '$' at character 6" } });
});

t.test('templates', async (t) => {
  const fill = (text: string, encode?: (text: string) => string) => {
    const parsed = parseTemplate(text);
    return parsed.ok ? fillTemplate(parsed.value, lookup, encode) : parsed.error.code;
  };
  t.equal(fill('plain'), 'plain');
  t.equal(fill('{{call.from}} and {{ missing }}!'), '+919876543210 and !');
  t.equal(fill('{{ "}}" }}{ {x}'), '}}{ {x}');
  t.equal(fill('{{ length(call.from) }}'), '13');
  t.equal(fill('{{ a'), 'unclosed_template');
  t.equal(fill('{{ }}'), 'unexpected_end');
  t.equal(fill('{{a}}'.repeat(65)), 'too_long');
  t.equal(fill('{{call.from}}/{{call.from}}', encodeURIComponent), '+919876543210/%2B919876543210');
  t.equal(fill('x'.repeat(5000)).length, 4096);
});

t.test('patterns of digits', async (t) => {
  t.ok(matchesDigits('2019', 'NXZX'));
  t.notOk(matchesDigits('2109', 'NXZX'));
  t.notOk(matchesDigits('1019', 'NXZX'));
  t.notOk(matchesDigits('12', 'X'));
  t.ok(matchesDigits('+911', '+9.'));
  t.notOk(matchesDigits('+9', '+9.'));
  t.notOk(matchesDigits('12a', '1.'));
  t.ok(matchesDigits('*9#', '*X#'));
  t.ok(matchesDigits('', ''));
  t.ok(isTrue('0') && !isTrue(0) && !isTrue(''));
});
