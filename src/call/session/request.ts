import { hostPort } from '../../kernel/index.js';
import type { SignalMessage, SignalSource } from '../../signal/port.js';
import { forwardingOf } from '../bridge/forwarding.js';
import { hostOf, isWord, parseAddress, unescapeUser, userOf } from '../bridge/headerText.js';
import type { CallRequest } from '../routing/decision.js';

/** Longer users are cut: no number and no name is as long, and everything downstream keeps what it is given. */
const MAX_USER = 128;

const user = (uri: string): string => unescapeUser(userOf(uri)).slice(0, MAX_USER);

/** User of the first address in a field; empty for an anonymous one and for none. */
const userOfField = (value: string | undefined): string => {
  if (value === undefined) return '';
  const { uri } = parseAddress(value);
  const name = user(uri);
  return isWord(name, 'anonymous') || isWord(hostOf(uri), 'anonymous.invalid') ? '' : name;
};

/** IPv4 as IPv4, also where a dual-stack socket says `::ffff:192.0.2.1`: an ACL must not be got round by notation. */
export const plainAddress = (address: string): string =>
  /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address;

/**
 * What routing needs to know of an INVITE. The source is the socket's; no header can change it.
 * @param withTo there are carriers that say in To which number was dialled
 */
export const callRequestOf = (message: SignalMessage, source: SignalSource, withTo = false): CallRequest => {
  const asserted = ASSERTING.map((name) => userOfField(message.header(name))).find((name) => name !== '') ?? '';
  const diverting = forwardingOf(message)?.number ?? '';
  return {
    sourceAddress: plainAddress(source.address),
    sourcePort: source.port,
    transport: source.transport,
    calledNumber: user(message.uri ?? ''),
    callerNumber: userOfField(message.header('From')),
    ...(withTo ? { toNumber: userOfField(message.header('To')) } : {}),
    ...(asserted === '' ? {} : { assertedNumber: asserted }),
    ...(diverting === '' ? {} : { divertingNumber: diverting }),
  };
};

export const sourceText = ({ transport, sourceAddress, sourcePort }: CallRequest): string =>
  placeText({ transport, address: sourceAddress, port: sourcePort });

/** `udp/192.0.2.1:5060`, `tcp/[2001:db8::1]:5060`. */
export const placeText = ({ transport, address, port }: SignalSource): string =>
  `${transport}/${hostPort(address, port)}`;

/** What may name the caller besides From: RFC 3325 §9.1 and §9.2, and what old gear has instead. */
const ASSERTING = ['P-Asserted-Identity', 'P-Preferred-Identity', 'Remote-Party-ID'];
