/** Messages: parsing, printing, framing, and what becomes of a message that is passed on. */
import { DEFAULT_HEADER_POLICY, HeaderPolicy } from '../../../src/call/bridge/headerPolicy.js';
import { identityHeaders } from '../../../src/call/bridge/identityFields.js';
import { commonInvite } from '../../../src/call/bridge/legHeaders.js';
import type { Decision, Destination } from '../../../src/call/routing/decision.js';
import { DirectMessage } from '../../../src/signal/direct/message.js';
import { addUserFields } from '../../../src/sip/dialog/fields.js';
import { responseTo } from '../../../src/sip/message/build.js';
import { type FramerEvent, StreamFramer } from '../../../src/sip/message/framing.js';
import { type SipMessage, SipRequest, SipResponse } from '../../../src/sip/message/message.js';
import { parseMessage } from '../../../src/sip/message/parse.js';
import { SIP_WORDS, scenarioMessages, tortureMessages, writtenMessages } from '../seeds.js';
import { type Target, expect, show } from '../target.js';

/** Everything that the program may ask of a message. */
const touch = (m: SipMessage): void => {
  void [m.from, m.to, m.cseq, m.topVia, m.contact, m.callId, m.fromTag, m.toTag, m.startLine(), m.headBytes()];
  for (const name of ['Via', 'Contact', 'Route', 'Record-Route', 'Require', 'X-Own']) void m.headerList(name);
  if (m instanceof SipRequest) void [m.parsedUri, m.maxForwards];
};

/** A head whose lines end in CRLF and nothing else, as many as were meant. */
export const expectClean = (printed: Buffer, lines: number, what: string): void => {
  const text = printed.toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const head = text.slice(0, end);
  const inside = head.replaceAll('\r\n', '').search(/[\r\n]/);
  expect(end > 0 && inside < 0, 'bare-line-end', () => `${what}: ${show(head)}`);
  expect(head.split('\r\n').length === lines, 'smuggled-line', () => `${what}: ${show(head)}`);
};

const linesOf = (m: SipMessage): number =>
  // Content-Length is printed once, whether the message had none, one or several.
  2 + m.headers().filter(([name]) => name !== 'Content-Length').length;

const fieldsOf = (m: SipMessage): string => JSON.stringify(m.headers().filter(([name]) => name !== 'Content-Length'));

const expectStable = (m: SipRequest | SipResponse): void => {
  const printed = m.toBuffer();
  expectClean(printed, linesOf(m), 'printed');
  const again = parseMessage(printed, { maxMessageBytes: 1 << 20, maxHeaderBytes: 1 << 20 });
  if (!again.ok) return expect(false, 'unstable', () => `${again.error.reason} ${show(printed)}`);
  expect(again.value.toBuffer().equals(printed), 'unstable', () => show(printed));
  expect(fieldsOf(again.value) === fieldsOf(m), 'unstable-fields', () => show(printed));
  expect(again.value.body.equals(m.body), 'unstable-body', () => show(printed));
};

const policies = [
  new HeaderPolicy(),
  new HeaderPolicy({ ...DEFAULT_HEADER_POLICY, pass: ['*'], hidePrivateHosts: false, diversion: 'pass' }),
];
/** A carrier that asks for every identity there is. */
const destination = {
  uri: 'sip:+919812345678@192.0.2.30',
  carrierId: 'telco',
  identity: { p_asserted_identity: true, diversion: true },
} as unknown as Destination;
const decision = {
  direction: 'outbound',
  callerNumber: { sent: '+918040000001', asserted: '+918040000001' },
  calledNumber: { e164: '+919812345678' },
  diverting: '+918040000001',
  destinations: [destination],
} as unknown as Decision;

/** What the bridge makes of it for the other leg. */
const forwarded = (request: SipRequest): void => {
  for (const policy of policies) {
    const common = commonInvite(new DirectMessage(request), decision, policy);
    if (common === undefined) continue;
    const out = new SipRequest('INVITE', 'sip:+919812345678@192.0.2.30');
    out.add('From', common.from);
    addUserFields(out, common.headers, '192.0.2.1:5060');
    addUserFields(out, identityHeaders(common.identity, destination), '192.0.2.1:5060');
    const inside = out.headers().find(([name]) => /^x-(?:tandem|forwarded|real)/i.test(name));
    expect(inside === undefined, 'internal-header', () => show(JSON.stringify(inside)));
    if (common.body !== undefined) out.body = common.body;
    expectClean(out.toBuffer(), linesOf(out), 'forwarded');
  }
};

const eventsOf = (data: Buffer, sizes: (at: number) => number): FramerEvent[] => {
  const framer = new StreamFramer();
  const events: FramerEvent[] = [];
  for (let at = 0; at < data.length;) {
    const size = Math.max(1, sizes(at));
    events.push(...framer.push(Buffer.from(data.subarray(at, at + size))));
    at += size;
  }
  return events;
};

const told = (events: readonly FramerEvent[]): string =>
  events.map((event) => (event.type === 'ping' ? 'ping' : `${event.type} ${event.data.toString('latin1')}`)).join('|');

/** However a stream is cut, it says the same; and what the framer calls a message is one to the parser, too. */
const expectFraming = (data: Buffer): void => {
  const whole = eventsOf(data, () => data.length);
  const text = told(whole);
  for (const sizes of [() => 1, (at: number) => 1 + ((at * 7919) % 23), () => 97]) {
    if (data.length > 4096 && sizes(0) === 1) continue;
    expect(told(eventsOf(data, sizes)) === text, 'framing', () => show(data));
  }
  for (const event of whole) {
    if (event.type !== 'message') continue;
    const parsed = parseMessage(event.data);
    if (!parsed.ok) continue;
    const end = event.data.indexOf('\r\n\r\n') + 4;
    expect(parsed.value.body.length === event.data.length - end, 'framer-and-parser-differ', () => show(event.data));
  }
};

export const messageTarget: Target = {
  name: 'message',
  kind: 'sip',
  covers: ['/src/sip/message/', '/src/call/bridge/headerPolicy', '/src/call/bridge/legHeaders', '/bridge/headerText'],
  words: SIP_WORDS,
  maxBytes: 70_000,
  seeds: () => [...writtenMessages(), ...scenarioMessages(), ...tortureMessages()],
  run: (input) => {
    const parsed = parseMessage(input);
    const m = parsed.ok ? parsed.value : parsed.error.partial;
    if (m !== undefined) touch(m);
    if (parsed.ok) expectStable(parsed.value);
    if (m instanceof SipRequest) {
      const answer = responseTo(m, parsed.ok || parsed.error.status === 0 ? 400 : parsed.error.status);
      expectClean(answer.toBuffer(), linesOf(answer), 'answer');
      forwarded(m);
      m.removeTopVia();
      m.replaceTopVia('SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKnew');
      expectClean(m.toBuffer(), linesOf(m), 'changed');
    }
    expectFraming(input);
  },
};
