/** The drachtio wire: frames, and the SIP text that applications write into them. */
import { FrameReader, encodeFrame, parsePayload } from '../../../src/drachtio/frames.js';
import { parseAppMessage } from '../../../src/drachtio/appMessage.js';
import {
  cancelHeaders,
  headerOf,
  inDialogFields,
  lacksContentType,
  requestSpec,
  responsePlan,
} from '../../../src/drachtio/headerRules.js';
import { addUserFields } from '../../../src/sip/dialog/fields.js';
import { SipRequest } from '../../../src/sip/message/message.js';
import { SIP_WORDS, scenarioMessages, writtenMessages } from '../seeds.js';
import { type Target, expect, show } from '../target.js';
import { expectClean } from './message.js';

const MAX_PAYLOAD = 65_536;

const frame = (leader: string, message?: Buffer): Buffer => encodeFrame(leader, message);

const seeds = (): Buffer[] => {
  const messages = [...writtenMessages(), ...scenarioMessages()];
  return [
    frame('1|authenticate|cymru'),
    Buffer.concat([frame('2|route|invite'), frame('3|ping'), frame('4|remove_route|invite')]),
    Buffer.from('0#', 'latin1'),
    Buffer.from('99999999999#x', 'latin1'),
    ...messages.map((message, i) => frame(`${i}|sip|${i % 2 ? 'a1b2;from-tag=1' : ''}|sip:192.0.2.3`, message)),
  ];
};

const read = (data: Buffer, size: number): { readonly payloads: Buffer[]; readonly fault: string } => {
  const reader = new FrameReader(MAX_PAYLOAD);
  const payloads: Buffer[] = [];
  for (let at = 0; at < data.length; at += size) {
    const pushed = reader.push(
      Buffer.from(data.subarray(at, at + size)),
      (payload) => payloads.push(Buffer.from(payload)) > 0,
    );
    if (!pushed.ok) return { payloads, fault: pushed.error };
  }
  return { payloads, fault: '' };
};

const printed = (outcome: ReturnType<typeof read>): string =>
  outcome.payloads.map((payload) => payload.toString('latin1')).join('|') + outcome.fault;

const checkMessage = (text: Buffer): void => {
  const parsed = parseAppMessage(text);
  if (!parsed.ok) return;
  const message = parsed.value;
  void [headerOf(message, 'Via'), lacksContentType(message)];
  const { headers = [] } = message.kind === 'request' ? requestSpec(message, 'h:5060') : responsePlan(message).fields;
  const all =
    message.kind === 'request'
      ? [...headers, ...(inDialogFields(message).headers ?? []), ...cancelHeaders(message)]
      : headers;
  const out = new SipRequest('INVITE', 'sip:192.0.2.1');
  addUserFields(out, all, '192.0.2.1');
  expectClean(out.toBuffer(), 2 + out.headers().filter(([name]) => name !== 'Content-Length').length, 'from frame');
};

export const framesTarget: Target = {
  name: 'frames',
  kind: 'lines',
  covers: ['/src/drachtio/frames', '/src/drachtio/appMessage', '/src/drachtio/headerRules'],
  words: [...SIP_WORDS, '#', '0#', '1#', '|', '||', '|sip|', '|proxy|', 'OK', '65536#', '4294967296#', '-1#', ' 5#'],
  maxBytes: 70_000,
  seeds,
  run: (input) => {
    const whole = read(input, Math.max(1, input.length));
    for (const size of input.length > 4096 ? [997] : [1, 13]) {
      expect(printed(read(input, size)) === printed(whole), 'framing', () => show(input));
    }
    for (const payload of whole.payloads) {
      const { tokens, message } = parsePayload(payload);
      const again = encodeFrame(tokens.join('|'), message);
      const [back] = read(again, again.length).payloads;
      expect(payload.length > MAX_PAYLOAD || back?.equals(payload) === true, 'frame-unstable', () => show(payload));
      if (message !== undefined) checkMessage(message);
    }
    checkMessage(input);
  },
};
