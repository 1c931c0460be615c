/** URIs, addresses and the other structured values of header fields. */
import { parseAddress, userOf, hostOf, unescapeUser, escapeUser } from '../../../src/call/bridge/headerText.js';
import { bracketHost } from '../../../src/kernel/index.js';
import { parseCSeq } from '../../../src/sip/message/cseq.js';
import { isIpv6 } from '../../../src/sip/message/host.js';
import { isAddressList, param, parseNameAddr, splitList } from '../../../src/sip/message/nameAddr.js';
import { quote, unquote } from '../../../src/sip/message/text.js';
import { equalUri, parseUri, printUri } from '../../../src/sip/message/uri.js';
import { firstVia, parseVia } from '../../../src/sip/message/via.js';
import { nextHopOfText } from '../../../src/sip/locate/nextHop.js';
import { SIP_WORDS } from '../seeds.js';
import { type Target, expect, show } from '../target.js';

const SEEDS = [
  'sip:alice@atlanta.example',
  'sips:+1-212-555-1212:1234@gateway.example:5061;user=phone;transport=tcp?subject=a%20b&priority=urgent',
  'sip:%61lice%00@[2001:db8::ff00:42:8329]:65535;lr;maddr=239.255.255.1;ttl=15',
  'tel:+358-555-1234567;phone-context=+44;ext=22',
  '"Watson, \\"T.\\" <x>" <sip:watson@bell.example;a=b?c=d>;q=0.7;expires=3600;tag="a b"',
  'Bob <sip:bob@h>;tag=1, <tel:+1>;q=1,sip:c@h;tag=2',
  'SIP/2.0/UDP [2001:db8::9:1]:5060;branch=z9hG4bK87asdks7;rport;received="[::1]", SIP / 2.0 / TCP h',
  '4711 INVITE',
];

const checkUri = (text: string): void => {
  const uri = parseUri(text);
  void nextHopOfText(text);
  if (uri === undefined) return;
  const printed = printUri(uri);
  const again = parseUri(printed);
  if (again === undefined) return expect(false, 'uri-unstable', () => `${show(text)} -> ${show(printed)}`);
  expect(printUri(again) === printed, 'uri-unstable', () => `${show(text)} -> ${show(printed)}`);
  expect(equalUri(uri, again) && equalUri(again, uri), 'uri-unequal', () => show(text));
};

const checkAddress = (text: string): void => {
  const address = parseNameAddr(text);
  const list = splitList(text);
  expect(
    list.every((element) => splitList(element).length === 1),
    'list-unstable',
    () => show(text),
  );
  if (isAddressList(text)) for (const element of list) checkUri(parseNameAddr(element)?.uri ?? '');
  void parseAddress(text);
  if (address === undefined) return;
  void param(address.params, 'tag');
  const { display, uri, params, bracketed } = address;
  const printed = bracketed ? `${display ?? ''}<${uri}>${params}` : `${uri}${params}`;
  const again = parseNameAddr(printed);
  expect(
    again?.uri === uri && again.tag === address.tag,
    'address-unstable',
    () => `${show(text)} -> ${show(printed)}`,
  );
};

export const uriTarget: Target = {
  name: 'uri',
  kind: 'text',
  covers: ['/src/sip/message/', '/src/sip/locate/nextHop', '/bridge/headerText'],
  words: SIP_WORDS,
  maxBytes: 2048,
  seeds: () => SEEDS.map((text) => Buffer.from(text, 'latin1')),
  run: (input) => {
    const text = input.toString('latin1');
    checkUri(text);
    checkAddress(text);
    const via = firstVia(text);
    if (via !== undefined) {
      const again = parseVia(via.raw);
      expect(JSON.stringify(again) === JSON.stringify({ ...via, length: via.raw.length }), 'via-unstable', () =>
        show(text),
      );
    }
    void [parseCSeq(text), isIpv6(text), bracketHost(text), userOf(text), hostOf(text)];
    expect(unquote(quote(text)) === text, 'quote', () => show(text));
    const user = unescapeUser(text);
    expect(unescapeUser(escapeUser(user)) === user, 'user-escapes', () => show(text));
    expect(!/[\s@<>";:]/.test(escapeUser(user)), 'user-leaves', () => show(text));
  },
};
