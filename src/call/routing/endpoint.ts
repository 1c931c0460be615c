/** Configured SIP targets: a trunk's destination, a carrier's gateway. */
import { type Result, bracketHost, err, ok } from '../../kernel/index.js';
import { formatIpv4, formatIpv6, newAddressWords, parseAddress } from './ipAddress.js';

export interface Endpoint {
  /** Lower case, without brackets. */
  readonly host: string;
  /** True when `host` is an address and not a name. */
  readonly isAddress: boolean;
  readonly port: number | undefined;
  readonly transport: string | undefined;
  /** `host[:port][;transport=x]`, canonical, IPv6 in brackets. */
  readonly text: string;
}

const TRANSPORTS = ['udp', 'tcp', 'tls', 'ws', 'wss'];
const MAX_TEXT = 300;

/**
 * Reads `host`, `host:port`, `sip:host:port;transport=tcp`, `[2001:db8::1]:5060`. No user part, no other parameter:
 * the user of the request is the called number, and a parameter that is not understood would be sent or lost unseen.
 */
export function parseEndpoint(text: string): Result<Endpoint, string> {
  if (text.length > MAX_TEXT) return err(`is longer than ${MAX_TEXT} characters`);
  let rest = text.slice(0, 4).toLowerCase() === 'sip:' ? text.slice(4) : text;
  if (rest.includes('@')) return err('must not have a user part');
  let transport: string | undefined;
  const semicolon = rest.indexOf(';');
  if (semicolon >= 0) {
    const [param = '', ...others] = rest.slice(semicolon + 1).split(';');
    const lower = param.toLowerCase();
    if (others.length > 0 || !lower.startsWith('transport=')) return err('may have one parameter only: transport');
    transport = lower.slice('transport='.length);
    if (!TRANSPORTS.includes(transport))
      return err(`has transport '${transport}', which is none of ${TRANSPORTS.join(', ')}`);
    rest = rest.slice(0, semicolon);
  }
  const cut = splitPort(rest);
  if (cut === undefined) return err('must be host, host:port or [IPv6]:port');
  const port = cut.port === undefined ? undefined : readPort(cut.port);
  if (port === 0) return err('has a port that is not between 1 and 65535');
  const host = readHost(cut.host, cut.bracketed);
  if (host === undefined) return err(`has a host ('${cut.host}') that is neither an IP address nor a domain name`);
  const canonical =
    bracketHost(host) +
    (port === undefined ? '' : `:${port}`) +
    (transport === undefined ? '' : `;transport=${transport}`);
  return ok({ host, isAddress: parseAddress(host, scratch), port, transport, text: canonical });
}

const scratch = newAddressWords();

function splitPort(text: string): { host: string; port: string | undefined; bracketed: boolean } | undefined {
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close < 0) return undefined;
    const after = text.slice(close + 1);
    if (after !== '' && !after.startsWith(':')) return undefined;
    return { host: text.slice(1, close), port: after === '' ? undefined : after.slice(1), bracketed: true };
  }
  const colon = text.indexOf(':');
  if (colon < 0) return { host: text, port: undefined, bracketed: false };
  if (text.indexOf(':', colon + 1) >= 0) return undefined;
  return { host: text.slice(0, colon), port: text.slice(colon + 1), bracketed: false };
}

/** 0 when it is no port. */
function readPort(text: string): number {
  if (text.length === 0 || text.length > 5) return 0;
  let port = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    port = port * 10 + digit;
  }
  return port > 65535 ? 0 : port;
}

function readHost(text: string, bracketed: boolean): string | undefined {
  if (bracketed) {
    if (!text.includes(':') || text.includes('%') || !parseAddress(text, scratch)) return undefined;
    return scratch.family === 4 ? formatIpv4(scratch.words[3] as number) : formatIpv6(scratch.words);
  }
  const host = text.toLowerCase();
  if (parseAddress(host, scratch)) return host;
  return isDomainName(host) ? host : undefined;
}

/**
 * RFC 1123 names, with `_`. A last label of digits, or in hexadecimal, is refused: some resolvers read `0x7f.1` and
 * `2130706433` as addresses.
 */
function isDomainName(host: string): boolean {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (name.length === 0 || name.length > 253) return false;
  const labels = name.split('.');
  if (!labels.every(isLabel)) return false;
  const last = labels[labels.length - 1] as string;
  const first = last.charCodeAt(0);
  return first < 0x30 || first > 0x39;
}

function isLabel(label: string): boolean {
  if (label.length === 0 || label.length > 63 || label.startsWith('-') || label.endsWith('-')) return false;
  for (let i = 0; i < label.length; i++) {
    const code = label.charCodeAt(i);
    const allowed = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f;
    if (!allowed) return false;
  }
  return true;
}
