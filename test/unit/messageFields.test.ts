import t from 'tap';
import { canonicalName, sameName } from '../../src/sip/message/headerNames.js';
import { param, parseNameAddr, splitList } from '../../src/sip/message/nameAddr.js';
import { reasonPhrase } from '../../src/sip/message/reasons.js';
import { bytesToUtf8, detach, lineSafe, quote, unquote, utf8ToBytes } from '../../src/sip/message/text.js';
import { parseVia } from '../../src/sip/message/via.js';

t.test('name-addr and addr-spec in all their forms', async (t) => {
  const forms: [string, string | undefined, string, string][] = [
    ['<sip:a@b>', undefined, 'sip:a@b', ''],
    ['sip:a@b', undefined, 'sip:a@b', ''],
    ['sip:a@b;tag=1', undefined, 'sip:a@b', ';tag=1'],
    ['sip:a@b ;   tag    = 1918181833n', undefined, 'sip:a@b', ';   tag    = 1918181833n'],
    ['<sip:a@b;user=phone>;tag=1', undefined, 'sip:a@b;user=phone', ';tag=1'],
    ['Bob <sip:a@b>', 'Bob', 'sip:a@b', ''],
    ['caller<sip:a@b>', 'caller', 'sip:a@b', ''],
    ['A. Bell  (x) <sip:a@b>'.replace('(x) ', ''), 'A. Bell', 'sip:a@b', ''],
    ["token1~` token2'+_ token3*%!.- <sip:a@b>", "token1~` token2'+_ token3*%!.-", 'sip:a@b', ''],
    ['"Bell, A \\" <x>" <sip:a@b>;tag=9', '"Bell, A \\" <x>"', 'sip:a@b', ';tag=9'],
    ['"" <sip:a@b>', '""', 'sip:a@b', ''],
    ['"x"<sip:a@b>', '"x"', 'sip:a@b', ''],
    ['<sip:a@b?Route=%3Csip:c%3E>', undefined, 'sip:a@b?Route=%3Csip:c%3E', ''],
    ['<sip:a,b@c>', undefined, 'sip:a,b@c', ''],
    ['<tel:+1;ext=2>', undefined, 'tel:+1;ext=2', ''],
    ['isbn:2983792873', undefined, 'isbn:2983792873', ''],
    ['<http://www.example.com>;tag=3', undefined, 'http://www.example.com', ';tag=3'],
    ['<sip:a@b> ; q = 0.33 ; x = "a;b,c"', undefined, 'sip:a@b', '; q = 0.33 ; x = "a;b,c"'],
    ['  <sip:a@b>  ', undefined, 'sip:a@b', ''],
  ];
  for (const [value, display, uri, params] of forms) {
    t.match(parseNameAddr(value), { display, uri, params }, value);
  }
  t.equal(parseNameAddr('<sip:a@b>;x;tag="q"')?.tag, 'q');
  t.equal(parseNameAddr('sip:a@b')?.tag, undefined);
});

t.test('addresses that hide whom they mean are refused', async (t) => {
  const bad = [
    '',
    '*',
    'bob',
    'bob@example.com',
    '<>',
    '<sip:>',
    '<bob>',
    '<sip:a@b',
    'sip:a@b>',
    '"Mr. J. User <sip:a@b>',
    '"Bob" sip:a@b',
    '"Bob"',
    'Bell, Alexander <sip:a@b>',
    '< sip:a@b>',
    '<sip:a@b >',
    '<sip:a b>',
    '<<sip:a@b>>',
    'sip:a@b?Route=x',
    'sip:a@b, sip:c@d',
    '<sip:a@b>, <sip:c@d>',
    '<sip:a@b>;',
    '<sip:a@b>;;x',
    '<sip:a@b>;tag=',
    '<sip:a@b>;tag="x',
    '<sip:a@b>;tag=a b',
    '<sip:a@b> x',
    'sip:a@b;tag=1,',
    'Bob\u00e9 <sip:a@b>',
  ];
  for (const value of bad) t.equal(parseNameAddr(value), undefined, JSON.stringify(value));
});

t.test('header parameters: any case, spaces, quotes, flags', async (t) => {
  const params = ' ; Tag = 1 ;lr;x="a\\"b;c";Y=z';
  t.equal(param(params, 'tag'), '1');
  t.equal(param(params, 'LR'), '');
  t.equal(param(params, 'x'), 'a"b;c');
  t.equal(param(params, 'y'), 'z');
  t.equal(param(params, 'c'), undefined);
  t.equal(param('', 'tag'), undefined);
  t.equal(param(';a=1;a=2', 'a'), '1');
});

t.test('lists are split at their own commas only', async (t) => {
  t.same(splitList('a, b ,c'), ['a', 'b', 'c']);
  t.same(splitList('"a,b" <sip:x,y@z>, c'), ['"a,b" <sip:x,y@z>', 'c']);
  t.same(splitList('"a\\",b", c'), ['"a\\",b"', 'c']);
  t.same(splitList(' a '), ['a']);
  t.same(splitList(''), []);
  t.same(splitList(',, a,'), ['a']);
  t.same(splitList('<sip:a"b>, c'), ['<sip:a"b>', 'c']);
});

t.test('Via in all its forms', async (t) => {
  const via = parseVia('SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport');
  t.same(via, {
    transport: 'UDP',
    host: '192.0.2.1',
    port: 5060,
    branch: 'z9hG4bKa',
    received: undefined,
    rport: '',
    maddr: undefined,
    raw: 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport',
    length: 48,
  });
  t.match(parseVia('SIP/2.0/tcp Host.Example.COM'), { transport: 'TCP', host: 'host.example.com', port: undefined });
  t.match(parseVia('SIP/2.0/WSS x.invalid;branch=z9hG4bKb'), { transport: 'WSS' });
  t.match(parseVia('SIP/2.0/TLS-SCTP h'), { transport: 'TLS-SCTP' });
  t.match(parseVia('SIP  /   2.0 /UDP    192.0.2.2;branch=390skdjuw'), { transport: 'UDP', branch: '390skdjuw' });
  t.match(parseVia('SIP / 2.0 / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8'), { branch: 'z9hG4bK9ikj8' });
  t.match(parseVia('SIP/2.0/UDP h : 5070 ;rport=4000;received=192.0.2.9'), {
    port: 5070,
    rport: 4000,
    received: '192.0.2.9',
  });
  t.match(parseVia('SIP/2.0/UDP [2001:db8::1]:5060;received=[2001:DB8::2]'), {
    host: '2001:db8::1',
    received: '2001:DB8::2',
  });
  t.match(parseVia('SIP/2.0/UDP [::1];received=::2'), { host: '::1', received: '::2', port: undefined });
  t.match(parseVia('SIP/2.0/UDP h;maddr=239.0.0.1;ttl=16'), { maddr: '239.0.0.1' });
  t.match(parseVia('SIP/2.0/UDP h;BRANCH=z9hG4bKx;Rport'), { branch: 'z9hG4bKx', rport: '' });
  t.match(parseVia('SIP/7.0/UDP c.example.com;branch=z9hG4bKk'), { host: 'c.example.com' });
  t.equal(parseVia('SIP/2.0/UDP h;branch=z9hG4bK')?.branch, undefined, 'the bare cookie identifies nothing');
  t.equal(parseVia('SIP/2.0/UDP h')?.branch, undefined);
  t.equal(parseVia(' SIP/2.0/UDP h ')?.raw, 'SIP/2.0/UDP h');
});

t.test('malformed Vias are refused', async (t) => {
  const bad = [
    '',
    'SIP/2.0/UDP',
    'SIP/2.0/UDP ',
    'SIP/2.0 h',
    '/2.0/UDP h',
    'SIP/2.0/UDP 192.0.2.15;;,;,,',
    'SIP/2.0/UDP h;',
    'SIP/2.0/UDP h;;rport',
    'SIP/2.0/UDP h;branch=',
    'SIP/2.0/UDP h:0',
    'SIP/2.0/UDP h:70000',
    'SIP/2.0/UDP h:',
    'SIP/2.0/UDP h;rport=x',
    'SIP/2.0/UDP h;rport=65536',
    'SIP/2.0/UDP [::1',
    'SIP/2.0/UDP [x]',
    'SIP/2.0/UDP h x',
    'SIP/2.0/UDP a..b',
    'SIP/2.0/UDP h, SIP/2.0/UDP i',
    'SIP/2.0/UDP h,',
  ];
  for (const value of bad) t.equal(parseVia(value), undefined, JSON.stringify(value));
});

t.test('header names: compact forms and any case', async (t) => {
  const names: [string, string][] = [
    ['v', 'Via'],
    ['VIA', 'Via'],
    ['vIa', 'Via'],
    ['f', 'From'],
    ['T', 'To'],
    ['i', 'Call-ID'],
    ['call-id', 'Call-ID'],
    ['CSEQ', 'CSeq'],
    ['m', 'Contact'],
    ['l', 'Content-Length'],
    ['c', 'Content-Type'],
    ['e', 'Content-Encoding'],
    ['k', 'Supported'],
    ['s', 'Subject'],
    ['o', 'Event'],
    ['u', 'Allow-Events'],
    ['r', 'Refer-To'],
    ['b', 'Referred-By'],
    ['x', 'Session-Expires'],
    ['www-authenticate', 'WWW-Authenticate'],
    ['X-Own', 'X-Own'],
    ['C%6Fntact', 'C%6Fntact'],
    ['z', 'z'],
    ['', ''],
    ['Bad Name', 'Bad Name'],
    ['\u0156ia', '\u0156ia'],
  ];
  for (const [raw, canonical] of names) t.equal(canonicalName(raw), canonical, raw);
  t.ok(sameName('v', 'VIA'));
  t.ok(sameName('x-own', 'X-Own'));
  t.notOk(sameName('x-own', 'x-other'));
});

t.test('texts: quoting, detaching, UTF-8, and nothing that could start a line', async (t) => {
  t.equal(unquote('"a\\"b\\\\"'), 'a"b\\');
  t.equal(unquote('plain'), 'plain');
  t.equal(unquote('"'), '"');
  t.equal(unquote(quote('a"\\b')), 'a"\\b');
  const long = 'x'.repeat(100) + '\u00e9';
  t.equal(detach(long.slice(3)), long.slice(3));
  t.equal(bytesToUtf8(utf8ToBytes('Zoë ☎')), 'Zoë ☎');
  t.equal(lineSafe('a\r\nVia: x'), 'a  Via: x');
  const hidden = lineSafe('a\u010d\u010aVia: evil');
  t.equal(
    Buffer.from(hidden, 'latin1').toString('utf8'),
    'a\u010d\u010aVia: evil',
    'beyond one octet: UTF-8, not a line end',
  );
  t.notMatch(hidden, /[\r\n]/);
  t.equal(lineSafe('caf\u00e9'), 'caf\u00e9', 'a byte string stays');
});

t.test('reason phrases', async (t) => {
  t.equal(reasonPhrase(200), 'OK');
  t.equal(reasonPhrase(487), 'Request Terminated');
  t.equal(reasonPhrase(499), 'Client Error');
  t.equal(reasonPhrase(999), 'Unknown');
});
