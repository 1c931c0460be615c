/** Where inputs begin: our own SIPp scenarios, the messages of RFC 4475 where they are, and a few written here. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readCorpus } from '../support/corpus.js';

const PLACES: { readonly [key: string]: string } = {
  service: '+918040000001',
  caller: '+919812345678',
  transport: 'UDP',
  branch: 'z9hG4bK-524287-1-0',
  call_id: '1-524287@192.0.2.10',
  local_ip: '192.0.2.10',
  media_ip: '192.0.2.10',
  remote_ip: '192.0.2.1',
  local_port: '5060',
  remote_port: '5060',
  media_port: '6000',
  local_ip_type: '4',
  media_ip_type: '4',
  peer_tag_param: ';tag=77',
  next_url: 'sip:+918040000001@192.0.2.1:5060',
  'last_Via:': 'Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx',
  'last_From:': 'From: <sip:+919812345678@192.0.2.1>;tag=1',
  'last_To:': 'To: <sip:+918040000001@192.0.2.10>',
  'last_Call-ID:': 'Call-ID: 77@192.0.2.1',
  'last_CSeq:': 'CSeq: 1 INVITE',
  'last_Record-Route:': 'Record-Route: <sip:192.0.2.3;lr>',
  routes: 'Route: <sip:192.0.2.3;lr>',
};

/** Messages of the scenarios, their variables filled in. */
export const scenarioMessages = (): Buffer[] => {
  const messages: Buffer[] = [];
  for (const role of ['uac', 'uas']) {
    const folder = join('sipp-scenarios', role);
    if (!existsSync(folder)) continue;
    for (const file of readdirSync(folder)) {
      const xml = readFileSync(join(folder, file), 'utf8');
      for (const [, text = ''] of xml.matchAll(/<!\[CDATA\[\s*\n([\s\S]*?)\]\]>/g)) messages.push(filled(text));
    }
  }
  return messages;
};

const filled = (text: string): Buffer => {
  const lines = text
    .replaceAll(/\[([A-Za-z_:-]+)[^\]]*\]/g, (whole, name: string) => PLACES[name] ?? (name === 'len' ? '0' : whole))
    .trim()
    .split('\n')
    .map((line) => line.trim());
  return Buffer.from(`${lines.join('\r\n')}\r\n${lines.includes('') ? '' : '\r\n'}`, 'latin1');
};

export const tortureMessages = (): Buffer[] => (readCorpus() ?? []).map(({ data }) => data);

export const INVITE = [
  'INVITE sip:+918040000001@192.0.2.1;user=phone SIP/2.0',
  'Via: SIP/2.0/TCP proxy.example;branch=z9hG4bKa;rport;received=192.0.2.7, SIP/2.0/UDP [2001:db8::1]:5062;branch=z9hG4bKb',
  'Max-Forwards: 70',
  'Record-Route: <sip:p1.example;lr>, "P 2" <sip:p2.example;lr;ftag=1>',
  'From: "Caller \\"Q\\" \u00e9" <sip:+919812345678@192.0.2.10>;tag=abc',
  'To: <sip:+918040000001@192.0.2.1>',
  'Call-ID: f81d4fae-7dec-11d0-a765-00a0c91e6bf6@192.0.2.10',
  'CSeq: 4711 INVITE',
  'Contact: <sip:pbx@192.0.2.10:5060;transport=tcp?x=y>;expires=3600;q=0.5',
  'P-Asserted-Identity: "N" <sip:+919812345678@192.0.2.10>, <tel:+919812345678>',
  'Diversion: <sip:+911@192.0.2.9>;reason=user-busy;counter=1',
  'Privacy: id;critical',
  'Supported: 100rel, timer, replaces',
  'Require: 100rel',
  'Session-Expires: 1800;refresher=uac',
  'Allow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, REFER, INFO, NOTIFY',
  'Authorization: Digest username="u", realm="r", nonce="1f.aa", uri="sip:x", response="0", qop=auth, nc=00000001, cnonce="c"',
  'X-Own: folded',
  '\tvalue',
  'Content-Type: application/sdp',
  'Content-Length: 5',
  '',
  'v=0\r\n',
].join('\r\n');

const message = (...lines: string[]): Buffer => Buffer.from([...lines, '', ''].join('\r\n'), 'latin1');
const COMMON = ['From: <sip:a@192.0.2.10>;tag=1', 'To: <sip:b@192.0.2.1>', 'Call-ID: 1@192.0.2.10'] as const;
const VIA = 'Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1';

export const writtenMessages = (): Buffer[] => [
  Buffer.from(INVITE, 'latin1'),
  message('OPTIONS sip:192.0.2.1 SIP/2.0', VIA, ...COMMON, 'CSeq: 1 OPTIONS', 'Accept: a/b'),
  message('SIP/2.0 180 Ringing', VIA, ...COMMON, 'CSeq: 1 INVITE', 'RSeq: 1', 'Require: 100rel'),
  message('SIP/2.0 302 Moved', VIA, ...COMMON, 'CSeq: 1 INVITE', 'Contact: <sip:c@h>;q=0.1, <tel:+1>;q=1'),
  message('PRACK sip:b@192.0.2.1 SIP/2.0', VIA, ...COMMON, 'CSeq: 2 PRACK', 'RAck: 1 1 INVITE', 'l: 0'),
  message(
    'REFER sip:b@192.0.2.1 SIP/2.0',
    VIA,
    ...COMMON,
    'CSeq: 3 REFER',
    'Refer-To: <sip:c@h?Replaces=1%3Bto-tag%3D2>',
  ),
  message('REGISTER sip:192.0.2.1 SIP/2.0', VIA, ...COMMON, 'CSeq: 1 REGISTER', 'Contact: *', 'Expires: 0'),
];

/** Names and pieces of SIP that matter to parsers. */
export const SIP_WORDS: readonly string[] = [
  ...['\r\n', '\r\n\r\n', '\r', '\n', '\n\n', '\r\n ', '\r\n\t', ' \r\n', '\0', '%00', '%0d%0a', '%0D%0AVia: x', '%'],
  ...[
    'SIP/2.0',
    'SIP/2.0 200 OK\r\n',
    'SIP/3.0',
    'sip:',
    'sips:',
    'tel:',
    'sip:@',
    'sip:a@b',
    '<sip:a@b>',
    '<>',
    '"',
    '\\',
    '\\"',
  ],
  ...[
    ';tag=',
    ';branch=z9hG4bK',
    ';rport',
    ';rport=',
    ';received=',
    ';lr',
    ';maddr=',
    ';transport=',
    ';;',
    ',,',
    ', ',
    '=',
    '=""',
  ],
  ...[
    'Content-Length: 0\r\n',
    'Content-Length: 9\r\n',
    'l: 1\r\n',
    'Content-Length : 5\r\n',
    'Content-Length: -1\r\n',
    'Content-Length\r\n: 3',
  ],
  ...[
    'Via',
    'From',
    'To',
    'CSeq',
    'Call-ID',
    'Contact',
    'Route',
    'Record-Route',
    'Max-Forwards',
    'X-Tandem-Secret: 1\r\n',
    'X-A :',
  ],
  ...['INVITE', 'ACK', 'CANCEL', 'BYE', 'PRACK', 'UPDATE', 'REFER', 'OPTIONS', 'REGISTER', 'invite', 'FOO'],
  ...[
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[',
    ']',
    '[::',
    '0.0.0.0',
    '255.255.255.255',
    'localhost',
    '127.0.0.1',
    'h.',
    '-',
    '\u00c0\u0080',
  ],
  ...[
    '100rel',
    'replaces',
    '*',
    'anonymous@anonymous.invalid',
    'application/sdp',
    'multipart/mixed;boundary=x',
    'v=0\r\n',
  ],
];
