import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { responseTo } from '../../src/sip/message/build.js';
import { SipRequest, SipResponse } from '../../src/sip/message/message.js';
import { parseMessage } from '../../src/sip/message/parse.js';
import { unescapeUser, uriParam } from '../../src/sip/message/uri.js';

/** `request` and `response`: parsed; a number: refused with that status; `drop`: refused without an answer. */
type Verdict = 'request' | 'response' | 'drop' | number;

/** RFC 4475, the verdict of the parser alone: what it lets through may still be refused above. */
const EXPECTED: Record<string, Verdict> = {
  badaspec: 400,
  badbranch: 'request',
  baddate: 'request',
  baddn: 400,
  badinv01: 400,
  badvers: 505,
  bcast: 'response',
  bext01: 'request',
  bigcode: 'drop',
  clerr: 400,
  cparam01: 'request',
  cparam02: 'request',
  dblreq: 'request',
  esc01: 'request',
  esc02: 'request',
  escnull: 'request',
  escruri: 400,
  insuf: 400,
  intmeth: 'request',
  inv2543: 'request',
  invut: 'request',
  longreq: 'request',
  ltgtruri: 400,
  lwsdisp: 'request',
  lwsruri: 400,
  lwsstart: 400,
  mcl01: 400,
  mismatch01: 400,
  mismatch02: 501,
  mpart01: 'request',
  multi01: 400,
  ncl: 400,
  noreason: 'response',
  novelsc: 'request',
  quotbal: 400,
  regaut01: 'request',
  regbadct: 400,
  regescrt: 'request',
  scalar02: 400,
  scalarlg: 'drop',
  sdp01: 'request',
  semiuri: 'request',
  test: 'drop',
  transports: 'request',
  trws: 400,
  unkscm: 'request',
  unksm2: 'request',
  unreason: 'response',
  wsinv: 'request',
  zeromf: 'request',
};

function corpusFolder(): string | undefined {
  for (let dir = process.cwd(); ; dir = dirname(dir)) {
    for (const base of ['shared', join('..', 'shared')]) {
      const folder = join(dir, base, 'corpus', 'rfc4475');
      if (existsSync(join(folder, 'manifest.json'))) return folder;
    }
    if (dir === dirname(dir)) return undefined;
  }
}

const folder = corpusFolder();
if (folder === undefined) {
  const skip = 'the messages (../shared/corpus/rfc4475) are not beside this checkout';
  t.test('every message of RFC 4475 gets the verdict of the table', { skip }, async () => {});
} else runCorpus(folder);

function verdictOf(data: Buffer): { verdict: Verdict; request?: SipRequest; response?: SipResponse } {
  const parsed = parseMessage(data);
  if (!parsed.ok) {
    const { status, partial } = parsed.error;
    return partial === undefined ? { verdict: status === 0 ? 'drop' : status } : { verdict: status, request: partial };
  }
  return parsed.value instanceof SipRequest
    ? { verdict: 'request', request: parsed.value }
    : { verdict: 'response', response: parsed.value };
}

function runCorpus(dir: string): void {
  const read = (name: string): Buffer => readFileSync(join(dir, `${name}.dat`));
  const request = (name: string): SipRequest => {
    const found = verdictOf(read(name)).request;
    if (found === undefined) throw new Error(name);
    return found;
  };

  t.test('every message of RFC 4475 gets the verdict of the table', async (t) => {
    const { messages } = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as {
      messages: { name: string; class: string; accept_udp: string[] }[];
    };
    for (const { name, class: kind, accept_udp: accepted } of messages) {
      const expected = EXPECTED[name];
      const { verdict, request: refused } = verdictOf(read(name));
      t.equal(verdict, expected, `${name} (${kind})`);
      if (kind === 'valid') t.type(verdict, 'string', `${name} is valid and parses`);
      if (typeof verdict !== 'number') continue;
      t.ok(accepted.includes(String(verdict)), `${name}: ${verdict} is among ${accepted.join(' ')}`);
      const answer = responseTo(refused!, verdict).toBuffer();
      t.match(
        answer.toString('latin1'),
        /^SIP\/2\.0 \d{3} [^\r\n]+\r\n(.+\r\n)*Via: SIP\//,
        `${name}: an answer can be printed`,
      );
    }
    t.equal(messages.length, Object.keys(EXPECTED).length);
  });

  t.test('every message that parses is the same after printing and parsing', async (t) => {
    for (const name of Object.keys(EXPECTED)) {
      const first = parseMessage(read(name));
      if (!first.ok) continue;
      const again = parseMessage(first.value.toBuffer());
      if (!again.ok) {
        t.fail(`${name}: ${again.error.reason}`);
        continue;
      }
      const fields = (m: SipRequest | SipResponse) => m.headers().filter(([field]) => field !== 'Content-Length');
      t.same(fields(again.value), fields(first.value), name);
      t.ok(again.value.body.equals(first.value.body), `${name}: body`);
      t.equal(again.value.startLine(), first.value.startLine());
    }
  });

  t.test('§3.1.1.1: a short tortuous INVITE means what it means', async (t) => {
    const m = request('wsinv');
    t.equal(m.toTag, '1918181833n');
    t.equal(m.fromTag, '98asjd8');
    t.equal(m.from.display, '"J Rosenberg \\\\\\""');
    t.equal(m.maxForwards, 68);
    t.same(m.cseq, { seq: 9, method: 'INVITE' });
    t.match(m.topVia, { transport: 'UDP', host: '192.0.2.2', branch: '390skdjuw' });
    t.equal(m.headerList('Via').length, 3);
    t.equal(m.header('NewFangledHeader'), 'newfangled value continued newfangled value');
    t.equal(m.header('UnknownHeaderWithUnusualValue'), ';;,,;;,;');
    t.equal(m.contact?.display, '"Quoted string \\"\\""');
    t.equal(m.body.length, 150);
  });

  t.test('escapes: once, and only where they are escapes', async (t) => {
    const m = request('esc01');
    t.equal(unescapeUser(m.parsedUri?.user ?? ''), 'sips:user@example.com');
    t.equal(m.contact?.uri, 'sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31');
    const other = request('esc02');
    t.equal(other.method, 'RE%47IST%45R');
    t.equal(other.from.display, '"%Z%45"');
    t.equal(other.count('Contact'), 2);
    t.equal(other.header('C%6Fntact'), '<sip:alias2@host2.example.com>');
    t.equal(unescapeUser(request('semiuri').parsedUri?.user ?? ''), 'user;par=u@example.net');
  });

  t.test('NUL neither shortens a user name nor breaks a quoted string', async (t) => {
    t.same(request('escnull').headerList('Contact'), ['<sip:%00@host5.example.com>', '<sip:%00%00@host5.example.com>']);
    const m = request('intmeth');
    t.equal(m.method, "!interesting-Method0123456789_*+`.%indeed'~");
    t.equal(m.to.display, '"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f"');
    t.equal(m.fromTag, "_token~1'+`*%!-.");
    t.equal(m.parsedUri?.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    t.equal(request('mpart01').body.length, 553);
  });

  t.test('whose parameter it is: the URI or the contact', async (t) => {
    t.match(request('cparam01').contact, { uri: 'sip:+19725552222@gw1.example.net', params: ';unknownparam' });
    t.match(request('cparam02').contact, { uri: 'sip:+19725552222@gw1.example.net;unknownparam', params: '' });
    t.equal(uriParam(request('wsinv').parsedUri!, 'unknownparam'), '');
    t.equal(request('inv2543').to.params, ';user=phone', 'without brackets it belongs to the field');
  });

  t.test('long and repeated fields', async (t) => {
    const m = request('longreq');
    t.equal(m.count('Via'), 34);
    t.equal(m.topVia.host, 'sip33.example.com');
    t.equal(m.header('Content-Length'), '150');
    t.equal(request('dblreq').body.length, 0);
    t.equal(request('badbranch').topVia.branch, undefined);
    t.equal(request('transports').headerAll('Via').length, 5);
  });

  t.test('a Via with rubbish behind it is answered without the rubbish', async (t) => {
    t.equal(request('badinv01').header('Via'), 'SIP/2.0/UDP 192.0.2.15');
  });

  t.test('responses: reason phrases as they came', async (t) => {
    t.equal(verdictOf(read('noreason')).response?.reason, '');
    const reason = verdictOf(read('unreason')).response?.reason ?? '';
    t.equal(Buffer.from(reason, 'latin1').toString('utf8'), '= 2**3 * 5**2 но сто девяносто девять - простое');
  });
}
