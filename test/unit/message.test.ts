import t from 'tap';
import { responseTo } from '../../src/sip/message/build.js';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';
import { parseMessage } from '../../src/sip/message/parse.js';

const lines = (...all: string[]): Buffer => Buffer.from(all.join('\r\n'), 'latin1');

/** A sound INVITE; `change` replaces, by its beginning, or appends a line; an empty replacement removes it. */
function invite(change: Record<string, string> = {}, body = ''): Buffer {
  const head = [
    'INVITE sip:bob@example.com SIP/2.0',
    'Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone;rport',
    'Max-Forwards: 70',
    'From: "Alice" <sip:alice@example.com>;tag=a1',
    'To: <sip:bob@example.com>',
    'Call-ID: c1@192.0.2.1',
    'CSeq: 1 INVITE',
    'Contact: <sip:alice@192.0.2.1>',
    `Content-Length: ${body.length}`,
  ];
  for (const [start, line] of Object.entries(change)) {
    const i = head.findIndex((present) => present.startsWith(start));
    if (i < 0) head.push(line);
    else if (line === '') head.splice(i, 1);
    else head[i] = line;
  }
  return lines(...head, '', body);
}

function request(data: Buffer): SipRequest {
  const parsed = parseMessage(data);
  if (!parsed.ok) throw new Error(parsed.error.reason);
  if (!(parsed.value instanceof SipRequest)) throw new Error('not a request');
  return parsed.value;
}

t.test('a parsed request answers what the layers above ask', async (t) => {
  const m = request(invite({ 'X-Own': 'x-OWN:  value , "a,b" ' }, 'v=0\r\n'));
  t.equal(m.method, 'INVITE');
  t.equal(m.uri, 'sip:bob@example.com');
  t.equal(m.parsedUri?.host, 'example.com');
  t.equal(m.callId, 'c1@192.0.2.1');
  t.equal(m.fromTag, 'a1');
  t.equal(m.toTag, undefined);
  t.match(m.from, { display: '"Alice"', uri: 'sip:alice@example.com' });
  t.same(m.cseq, { seq: 1, method: 'INVITE' });
  t.match(m.topVia, { transport: 'UDP', host: '192.0.2.1', port: 5060, branch: 'z9hG4bKone', rport: '' });
  t.equal(m.contact?.uri, 'sip:alice@192.0.2.1');
  t.equal(m.maxForwards, 70);
  t.equal(m.header('x-own'), 'value , "a,b"');
  t.same(m.headerList('X-Own'), ['value', '"a,b"']);
  t.equal(m.header('v'), 'SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone;rport');
  t.equal(m.count('via'), 1);
  t.equal(m.header('Route'), undefined);
  t.same(m.body, Buffer.from('v=0\r\n'));
});

t.test('folded lines, blanks before the colon, compact and repeated fields', async (t) => {
  const m = request(
    lines(
      'INVITE sip:bob@example.com SIP/2.0',
      'v  :  SIP  / 2.0  / TCP     spindle.example.com   ;',
      '  branch  =   z9hG4bK9ikj8  ,',
      '\t SIP  /    2.0   / UDP  192.168.255.111   ; branch=',
      ' z9hG4bK30239',
      'V: SIP/2.0/UDP third',
      'f:',
      ' sip:a@b',
      '  ;tag=x  ',
      't: sip:c@d',
      'i: id',
      'cseq: 0009',
      '  INVITE',
      's :',
      'm: <sip:one@h>, "two, too" <sip:two@h>;q=0.1',
      'Contact: <sip:three@h>',
      'X-Bypass : yes',
      '',
      'rest',
    ),
  );
  t.equal(
    m.header('Via'),
    'SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8  , SIP  /    2.0   / UDP  192.168.255.111   ; branch= z9hG4bK30239',
  );
  t.equal(m.headerList('Via').length, 3);
  t.equal(m.topVia.branch, 'z9hG4bK9ikj8');
  t.equal(m.fromTag, 'x');
  t.same(m.cseq, { seq: 9, method: 'INVITE' });
  t.equal(m.header('Subject'), '');
  t.equal(m.header('X-Bypass'), 'yes', 'a blank before the colon is no way around');
  t.same(m.headerAll('Contact').length, 2);
  t.same(
    m.headerList('Contact').map((c) => c.slice(-4)),
    ['e@h>', '=0.1', 'e@h>'],
  );
  t.equal(m.contact?.uri, 'sip:one@h');
  t.equal(m.maxForwards, undefined);
  t.equal(m.body.toString(), 'rest', 'no Content-Length on a datagram: the rest');
});

t.test('only the first Via value is replaced or removed', async (t) => {
  const build = () =>
    new SipRequest('OPTIONS', 'sip:h')
      .add('Via', 'SIP/2.0/UDP a;branch=z9hG4bK1 , SIP/2.0/UDP b')
      .add('Via', 'SIP/2.0/UDP c');
  const replaced = build();
  replaced.replaceTopVia('SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.9');
  t.same(replaced.headerAll('Via'), [
    'SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.9, SIP/2.0/UDP b',
    'SIP/2.0/UDP c',
  ]);
  t.equal(replaced.topVia.received, '192.0.2.9');
  const removed = build();
  removed.removeTopVia();
  t.same(removed.headerAll('Via'), ['SIP/2.0/UDP b', 'SIP/2.0/UDP c']);
  t.equal(removed.topVia.host, 'b');
  removed.removeTopVia();
  removed.removeTopVia();
  removed.removeTopVia();
  t.same(removed.headerAll('Via'), []);
  t.equal(removed.topVia.transport, '');
  removed.replaceTopVia('x');
  t.equal(removed.count('Via'), 0);
});

t.test('headers are built, and what was parsed before is forgotten', async (t) => {
  const m = new SipRequest('OPTIONS', 'sip:h');
  m.add('f', '<sip:a@b>;tag=1').add('X-One', '1').add('x-one', '2').set('x-ONE', '3').add('Via', 'SIP/2.0/UDP b');
  m.prepend('v', 'SIP/2.0/UDP a').prepend('Route', '<sip:r>');
  t.same(m.headers(), [
    ['Route', '<sip:r>'],
    ['From', '<sip:a@b>;tag=1'],
    ['X-One', '3'],
    ['Via', 'SIP/2.0/UDP a'],
    ['Via', 'SIP/2.0/UDP b'],
  ]);
  t.equal(m.fromTag, '1');
  m.set('From', '<sip:a@b>;tag=2').set('To', 'sip:c@d').set('CSeq', '5 OPTIONS').set('Contact', '*');
  t.equal(m.fromTag, '2');
  t.equal(m.to.uri, 'sip:c@d');
  t.equal(m.cseq.seq, 5);
  t.equal(m.contact, undefined);
  m.set('Contact', '<sip:x@y>').set('CSeq', '6 OPTIONS');
  t.equal(m.contact?.uri, 'sip:x@y');
  t.equal(m.cseq.seq, 6);
  t.equal(m.topVia.host, 'a');
  m.remove('via').remove('x-one').remove('absent').remove('FROM');
  t.equal(m.topVia.host, '');
  t.equal(m.from.uri, '');
  t.equal(m.count('X-One'), 0);
});

t.test('nothing given to the builder can start a line of its own', async (t) => {
  const m = new SipRequest('OPTIONS', 'sip:h SIP/2.0\r\nEvil: 1\r\n');
  m.add('X-A', 'a\r\nEvil: 2')
    .set('X-B', 'b\nEvil: 3')
    .prepend('X-C', 'c\u010d\u010aEvil: 4')
    .add('X-D: x\r\nEvil', '5');
  m.prepend('Bad Name', '6').set('', '7');
  const text = m.toBuffer().toString('latin1');
  t.equal(text.split('\r\n').filter((line) => line.startsWith('Evil')).length, 0);
  t.equal(text.split('\n').length, text.split('\r\n').length);
  t.match(new SipResponse(200, 'OK\r\nEvil: 1').toBuffer().toString('latin1'), /^SIP\/2.0 200 OK {2}Evil: 1\r\n/);
});

t.test('printing counts the octets of the body and keeps them', async (t) => {
  const body = Buffer.from([0, 13, 10, 255, 0xc3, 0xa9]);
  const m = new SipResponse(200).add('Content-Length', '999').add('Subject', 'caf\u00c3\u00a9');
  m.body = body;
  t.same(
    m.toBuffer(),
    Buffer.concat([
      Buffer.from('SIP/2.0 200 OK\r\nContent-Length: 6\r\nSubject: caf\u00c3\u00a9\r\n\r\n', 'latin1'),
      body,
    ]),
  );
  t.equal(
    new SipRequest('OPTIONS', 'sip:h').headBytes().toString(),
    'OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n',
  );
});

t.test('a response copies what RFC 3261 §8.2.6 says', async (t) => {
  const m = request(
    invite({
      'X-Own': 'X-Own: 1',
      Route: 'Route: <sip:r>',
      'Record-Route': 'Record-Route: <sip:rr;lr>',
      Timestamp: 'Timestamp: 54',
      v: 'v: SIP/2.0/UDP second',
    }),
  );
  t.same(
    responseTo(m, 180)
      .headers()
      .map(([name]) => name),
    ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Record-Route', 'Via'],
  );
  t.same(
    responseTo(m, 100)
      .headers()
      .map(([name]) => name),
    ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Timestamp', 'Via'],
  );
  const busy = responseTo(m, 486);
  t.same(
    busy.headers().map(([name]) => name),
    ['Via', 'From', 'To', 'Call-ID', 'CSeq', 'Via'],
  );
  t.equal(busy.reason, 'Busy Here');
  t.equal(responseTo(m, 486, 'Nope').reason, 'Nope');
  t.same(busy.headerAll('Via'), ['SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone;rport', 'SIP/2.0/UDP second']);
});

t.test('each fault of a request is named, and answerable', async (t) => {
  const faults: [Buffer, string, number?][] = [
    [invite({ INVITE: 'INVITE  sip:bob@example.com SIP/2.0' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com  SIP/2.0' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com SIP/2.0 ' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com HTTP/1.1' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com SIP/2.' }), 'malformed_start_line'],
    [invite({ INVITE: 'INVITE sip:bob@example.com SIP/7.0' }), 'unsupported_version', 505],
    [invite({ INVITE: 'INVITE sip:bob@example.com SIP/12.34' }), 'unsupported_version', 505],
    [invite({ INVITE: 'INVITE <sip:bob@example.com> SIP/2.0' }), 'malformed_request_uri'],
    [invite({ INVITE: 'INVITE bob SIP/2.0' }), 'malformed_request_uri'],
    [invite({ INVITE: 'INVITE sip:bob@exa\tmple.com SIP/2.0' }), 'malformed_request_uri'],
    [invite({ INVITE: 'INVITE sip:bob@h?Route=x SIP/2.0' }), 'request_uri_with_headers'],
    [invite({ From: '' }), 'missing_header'],
    [invite({ To: '' }), 'missing_header'],
    [invite({ 'Call-ID': '' }), 'missing_header'],
    [invite({ CSeq: '' }), 'missing_header'],
    [invite({ f: 'f: <sip:x@y>' }), 'repeated_header'],
    [invite({ t: 't: <sip:x@y>' }), 'repeated_header'],
    [invite({ i: 'i: x' }), 'repeated_header'],
    [invite({ 'cseq ': 'cseq : 1 INVITE' }), 'repeated_header'],
    [invite({ 'max-forwards': 'max-forwards: 5' }), 'repeated_header'],
    [invite({ From: 'From: "Alice <sip:a@b>' }), 'malformed_from'],
    [invite({ To: 'To: < sip:a@b >' }), 'malformed_to'],
    [invite({ 'Call-ID': 'Call-ID: a b' }), 'malformed_call_id'],
    [invite({ 'Call-ID': 'Call-ID:' }), 'malformed_call_id'],
    [invite({ CSeq: 'CSeq: 4294967296 INVITE' }), 'malformed_cseq'],
    [invite({ CSeq: 'CSeq: -1 INVITE' }), 'malformed_cseq'],
    [invite({ CSeq: 'CSeq: 1' }), 'malformed_cseq'],
    [invite({ CSeq: 'CSeq: 1 INVITE x' }), 'malformed_cseq'],
    [invite({ CSeq: 'CSeq: 1 OPTIONS' }), 'cseq_method_mismatch'],
    [invite({ INVITE: 'NEWMETHOD sip:h SIP/2.0' }), 'cseq_method_mismatch', 501],
    [invite({ 'Max-Forwards': 'Max-Forwards: 256' }), 'malformed_max_forwards'],
    [invite({ 'Max-Forwards': 'Max-Forwards: x' }), 'malformed_max_forwards'],
    [invite({ Contact: 'Contact: <sip:a@b>;;' }), 'malformed_contact'],
    [invite({ Contact: 'Contact: sip:a@b?x=y' }), 'malformed_contact'],
    [invite({ Contact: 'Contact: <sip:a@b>,,<sip:c@d>' }), 'malformed_contact'],
    [invite({ m: 'm: <sip:a@b' }), 'malformed_contact'],
    [invite({ Via: 'Via: SIP/2.0/UDP 192.0.2.15;;,;,,' }), 'malformed_via'],
    [invite({ Via: 'Via: SIP/2.0/UDP 192.0.2.15,' }), 'malformed_via'],
    [invite({ Via: 'Via: SIP/2.0/UDP 192.0.2.15, ,SIP/2.0/UDP x' }), 'malformed_via'],
    [invite({ 'Content-Length': 'Content-Length: -1' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length: +0' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length: five' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length:' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length: 0, 0' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length: 4294967296' }), 'malformed_content_length'],
    [invite({ l: 'l: 1' }), 'malformed_content_length'],
    [invite({ 'Content-Length': 'Content-Length: 1' }), 'truncated_body'],
    [invite({ X: 'X no colon' }), 'malformed_header'],
    [invite({ X: ': no name' }), 'malformed_header'],
    [invite({ X: 'X Y: z' }), 'malformed_header'],
    [invite({ X: 'X\u00e9: z' }), 'malformed_header'],
    [invite({ INVITE: 'INVITE sip:h SIP/2.0\r\n folded: x' }), 'malformed_header'],
    [invite({ X: 'X: a\rb' }), 'bare_cr'],
    [invite({ X: 'X: a\r\n b\rc' }), 'bare_cr'],
    [invite({ X: 'X: a\nb: c' }), 'bare_lf'],
    [invite({ X: 'X: a\r\n b\n c' }), 'bare_lf'],
    [invite({ INVITE: 'INVITE sip:h SIP/2.0\nX: y' }), 'bare_lf'],
    [invite({ INVITE: 'INVITE sip:h\r SIP/2.0' }), 'bare_cr'],
    [invite({ X: 'X: a\0b' }), 'nul_in_head'],
    [invite({ X: 'X: "a\0b"' }), 'nul_in_head'],
    [invite().subarray(0, -2), 'head_not_terminated'],
    [invite().subarray(0, -4), 'head_not_terminated'],
    [invite().subarray(0, -5), 'head_not_terminated'],
  ];
  for (const [data, reason, status] of faults) {
    const parsed = parseMessage(data);
    const label = `${reason}: ${JSON.stringify(data.toString('latin1').slice(0, 60))}`;
    if (parsed.ok) {
      t.fail(label);
      continue;
    }
    t.match(parsed.error, { reason, status: status ?? 400, kind: 'request' }, label);
    const { partial } = parsed.error;
    if (partial === undefined) {
      t.fail(`${label}: nothing to answer`);
      continue;
    }
    t.not(partial.topVia.host, '', label);
    const answer = responseTo(partial, parsed.error.status).toBuffer();
    t.notMatch(answer.toString('latin1').replaceAll('\r\n', ''), /[\r\n\0]/, `${label}: the answer is clean`);
  }
});

t.test('what cannot be answered is not', async (t) => {
  const silent: [Buffer, string, string][] = [
    [invite({ Via: '' }), 'missing_header', 'request'],
    [invite({ Via: 'Via: nonsense' }), 'malformed_via', 'request'],
    [lines('ACK sip:h SIP/2.0', 'Via: SIP/2.0/UDP h', '', ''), 'missing_header', 'request'],
    [Buffer.alloc(0), 'no_start_line', 'unknown'],
    [Buffer.from('\r\n\r\n'), 'no_start_line', 'unknown'],
    [Buffer.from([0, 0, 0, 0]), 'no_start_line', 'unknown'],
    [Buffer.from('jaK\n'), 'not_sip', 'unknown'],
    [Buffer.from('{"a": 1}\r\n\r\n'), 'not_sip', 'unknown'],
    [lines('SIP/2.0 4294967301 OK', '', ''), 'malformed_start_line', 'response'],
    [lines('SIP/2.0 99 OK', '', ''), 'malformed_start_line', 'response'],
    [lines('SIP/2.0 700 OK', '', ''), 'malformed_start_line', 'response'],
    [lines('SIP/2.0 20a OK', '', ''), 'malformed_start_line', 'response'],
    [lines('SIP/3.0 200 OK', '', ''), 'malformed_start_line', 'response'],
    [
      lines(
        'SIP/2.0 200 OK',
        'Via: SIP/2.0/UDP h',
        'f: sip:a@b',
        't: sip:a@b',
        'i: x',
        'CSeq: 9292394834772304023312 INVITE',
        '',
        '',
      ),
      'malformed_cseq',
      'response',
    ],
  ];
  for (const [data, reason, kind] of silent) {
    const parsed = parseMessage(data);
    t.match(parsed, { ok: false, error: { reason, kind, status: 0 } }, `${reason} ${kind}`);
  }
});

t.test('leniency where it harms nobody', async (t) => {
  t.ok(
    parseMessage(Buffer.concat([Buffer.from('\r\n\r\n'), invite({}, 'body')])).ok,
    'line breaks before the start line',
  );
  const m = request(Buffer.concat([Buffer.from('\r\n'), invite({}, 'body'), Buffer.from('noise')]));
  t.equal(m.body.toString(), 'body', 'octets after Content-Length are ignored');
  t.equal(m.parsedUri?.user, 'bob');
  t.ok(parseMessage(invite({ INVITE: 'INVITE sip:bob@h sip/2.0' })).ok, 'the version in any case');
  t.ok(parseMessage(invite({ l: 'l: 0' })).ok, 'Content-Length twice, both the same');
  t.ok(
    parseMessage(invite({ INVITE: 'INVITE unknown:scheme SIP/2.0' })).ok,
    'unknown schemes are for the core to refuse',
  );
  t.ok(parseMessage(invite({ X: 'X: "a\\\0b"' })).ok, 'NUL as a quoted-pair');
  t.equal(request(invite({ CSeq: 'CSeq: 4294967295 INVITE' })).cseq.seq, 4294967295);
  t.equal(request(invite({ 'Max-Forwards': 'Max-Forwards: 0068' })).maxForwards, 68);
  t.equal(request(invite({ Contact: 'Contact: *' })).contact, undefined);
  const bare = parseMessage(
    lines('SIP/2.0 200', 'v: SIP/2.0/UDP h', 'f: sip:a@b', 't: sip:a@b', 'i: x', 'CSeq: 1 INVITE', '', ''),
  );
  t.match(bare, { ok: true, value: { status: 200, reason: '' } });
});

t.test('bounds', async (t) => {
  const many = invite({ X: Array.from({ length: 300 }, (_, i) => `X-${i}: ${i}`).join('\r\n') });
  t.match(parseMessage(many), { ok: false, error: { reason: 'too_many_headers', status: 400 } });
  t.ok(parseMessage(many, { maxHeaders: 400 }).ok);
  const wide = invite({ X: `X: ${'x'.repeat(40_000)}` });
  t.match(parseMessage(wide), { ok: false, error: { reason: 'head_too_large', status: 513 } });
  t.ok(parseMessage(wide, { maxHeaderBytes: 60_000 }).ok);
  const deep = invite({}, 'x'.repeat(70_000));
  t.match(parseMessage(deep), { ok: false, error: { reason: 'message_too_large', status: 513 } });
  t.ok(parseMessage(deep, { maxMessageBytes: 100_000 }).ok);
  t.equal(request(invite({}, 'y'.repeat(5000))).body.length, 5000);
});
