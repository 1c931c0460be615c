import t from 'tap';
import { bracketHost } from '../../src/kernel/index.js';
import { equalUri, parseUri, printUri, unescapeUser, uriParam } from '../../src/sip/message/uri.js';

const mustParse = (text: string) => {
  const uri = parseUri(text);
  if (uri === undefined) throw new Error(`not parsed: ${text}`);
  return uri;
};

t.test('every form of a SIP URI is taken apart and printed back as it was', async (t) => {
  const forms: [string, object][] = [
    ['sip:example.com', { scheme: 'sip', user: undefined, host: 'example.com', port: undefined, params: '' }],
    ['sip:alice@example.com', { user: 'alice', password: undefined }],
    ['sips:alice:secret@example.com:5061', { scheme: 'sips', user: 'alice', password: 'secret', port: 5061 }],
    ['sip:alice:@example.com', { user: 'alice', password: '' }],
    ['sip:[2001:db8::9:1]:5070;transport=tcp', { host: '2001:db8::9:1', port: 5070, params: ';transport=tcp' }],
    ['sip:bob@[::ffff:192.0.2.128]', { host: '::ffff:192.0.2.128' }],
    ['sip:bob@[::1]', { host: '::1' }],
    ['sip:+918040000001;phone-context=+91@192.0.2.4;user=phone', { user: '+918040000001;phone-context=+91' }],
    ['sip:*21#@example.com', { user: '*21#' }],
    ['sip:a?b/c;d&e=f+$,@example.com', { user: 'a?b/c;d&e=f+$,', host: 'example.com' }],
    ['sip:a:b:c@example.com', { user: 'a', password: 'b:c' }],
    [
      'sip:example.com;lr;maddr=[::1]?Subject=x&Priority=urgent',
      { params: ';lr;maddr=[::1]', headers: '?Subject=x&Priority=urgent' },
    ],
    ['sip:1000@my_docker-host.', { host: 'my_docker-host.' }],
    ['sip:%00@example.com', { user: '%00' }],
    ['tel:+1-201-555-0123;ext=17', { scheme: 'tel', user: '+1-201-555-0123', params: ';ext=17', host: '' }],
    ['tel:7042;phone-context=example.com', { user: '7042' }],
    ['soap.beep://192.0.2.103:3002', { scheme: 'soap.beep', opaque: '//192.0.2.103:3002', host: '', user: undefined }],
    ['urn:service:sos', { scheme: 'urn', opaque: 'service:sos' }],
    ['mailto:a@b', { scheme: 'mailto', opaque: 'a@b' }],
  ];
  for (const [text, parts] of forms) {
    const uri = mustParse(text);
    t.match(uri, parts, text);
    t.equal(printUri(uri), text, `printed: ${text}`);
  }
});

t.test('scheme and host lose their capitals, nothing else does', async (t) => {
  const uri = mustParse('SIP:Alice@EXAMPLE.Com;Transport=TCP');
  t.equal(printUri(uri), 'sip:Alice@example.com;Transport=TCP');
  t.equal(uriParam(uri, 'transport'), 'TCP');
  t.equal(mustParse('sip:[2001:DB8::A]').host, '2001:db8::a');
});

t.test('malformed URIs are refused', async (t) => {
  const bad = [
    '',
    'sip',
    'sip:',
    ':x',
    'sip:@example.com',
    'sip::pw@example.com',
    'sip:alice@',
    'sip:alice@@example.com',
    'sip:alice@example.com@evil.com',
    'sip:alice@example.com;x=a@b',
    'sip:ali ce@example.com',
    'sip:alice@exa mple.com',
    'sip:alice@example.com; lr',
    'sip:alice@example.com;;lr',
    'sip:alice@example.com;',
    'sip:alice@example.com;=x',
    'sip:<alice>@example.com',
    'sip:"alice"@example.com',
    'sip:alice@example..com',
    'sip:alice@.example.com',
    'sip:example.com:',
    'sip:example.com:0',
    'sip:example.com:65536',
    'sip:example.com:99999999999999999999',
    'sip:example.com:50x',
    'sip:[::1',
    'sip:[]',
    'sip:[1:2]',
    'sip:[1::2::3]',
    'sip:[1:2:3:4:5:6:7:8:9]',
    'sip:[12345::]',
    'sip:[::1%25eth0]',
    'sip:[::1.2.3.256]',
    'sip:::1',
    'sip:al%ZZice@example.com',
    'sip:alice%4@example.com',
    'sip:alice@example.com;x=%4',
    'sip:alice@example.com\r\nVia: x',
    'sip:al\0ice@example.com',
    '1sip:alice',
    'tel:',
    'tel:alice',
    'tel:+1;;x',
    'x y:z',
    'http://a b',
    'sip:a\u0140example.com@h',
  ];
  for (const text of bad) t.equal(parseUri(text), undefined, JSON.stringify(text));
});

t.test('IPv6 texts: each form of RFC 4291', async (t) => {
  for (const good of [
    '::',
    '1::',
    '1:2:3:4:5:6:7:8',
    '1:2:3:4:5:6:192.0.2.1',
    '::1:2',
    '1:2::7:8',
    'fe80::1',
    '64:ff9b::192.0.2.33',
  ]) {
    t.equal(parseUri(`sip:[${good}]:5060`)?.host, good, good);
  }
  for (const bad of [
    ':',
    ':::',
    '1:',
    ':1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7::8:9',
    '::1:',
    '1:2:3:4:5:6:7:192.0.2.1',
    'g::',
    '1.2.3.4',
  ]) {
    t.equal(parseUri(`sip:[${bad}]`), undefined, bad);
  }
});

t.test('escapes are resolved once only', async (t) => {
  t.equal(unescapeUser('value%25%34%31'), 'value%41');
  t.equal(unescapeUser('%2541'), '%41');
  t.equal(unescapeUser('null-%00-null'), 'null-\0-null');
  t.equal(unescapeUser('plain'), 'plain');
  t.equal(unescapeUser('%'), '%');
  t.equal(unescapeUser('%Z%45'), '%ZE');
  t.equal(unescapeUser('%%41%4'), '%A%4');
  t.equal(unescapeUser('%C3%A9'), '\u00c3\u00a9', 'a byte string, not text');
  t.equal(unescapeUser('sips%3Auser%40example.com'), 'sips:user@example.com');
});

t.test('URI parameters: any case, escaped names and values, flags', async (t) => {
  const uri = mustParse('sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31;q=1;q=2');
  t.equal(uriParam(uri, 'lr'), '');
  t.equal(uriParam(uri, 'NAME'), 'value%41');
  t.equal(uriParam(uri, 'q'), '1', 'the first counts');
  t.equal(uriParam(uri, 'absent'), undefined);
  t.equal(uriParam(mustParse('sip:h'), 'lr'), undefined);
  t.equal(uriParam(mustParse('tel:+1;ext=5'), 'ext'), '5');
});

t.test('URIs compare as RFC 3261 §19.1.4 says', async (t) => {
  const same: [string, string][] = [
    ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;newparam=5'],
    [
      'sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com',
      'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com',
    ],
    [
      'sip:alice@atlanta.com?subject=project%20x&priority=urgent',
      'sip:alice@atlanta.com?priority=urgent&subject=project%20x',
    ],
    ['tel:+1-201-555-0123', 'tel:+12015550123'],
    ['tel:7042;phone-context=EXAMPLE.com', 'tel:7042;phone-context=example.com'],
    ['sip:a%3bb@h', 'sip:a%3Bb@h'],
  ];
  for (const [a, b] of same) {
    t.ok(equalUri(mustParse(a), mustParse(b)), `${a} = ${b}`);
    t.ok(equalUri(mustParse(b), mustParse(a)), `${b} = ${a}`);
  }
  const different: [string, string][] = [
    ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp'],
    ['sip:bob@biloxi.com', 'sips:bob@biloxi.com'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off'],
    ['sip:bob@h', 'sip:h'],
    ['sip:bob:x@h', 'sip:bob@h'],
    ['sip:a%3Bb@h', 'sip:a;b@h'],
    ['tel:+1', 'tel:+1;ext=2'],
    ['urn:a', 'urn:A'],
  ];
  for (const [a, b] of different) t.notOk(equalUri(mustParse(a), mustParse(b)), `${a} <> ${b}`);
});

t.test('hosts are bracketed where they must be', async (t) => {
  t.equal(bracketHost('::1'), '[::1]');
  t.equal(bracketHost('[::1]'), '[::1]');
  t.equal(bracketHost('192.0.2.1'), '192.0.2.1');
  t.equal(bracketHost('example.com'), 'example.com');
});
