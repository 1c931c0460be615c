import type { StreamDialect } from '../port.js';

/** Where a bot is, taken apart from its URL. */
export interface BotAddress {
  /** Without credentials. */
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  /** An http(s) URL: it answers with the WebSocket URL to use. */
  readonly indirect: boolean;
}

/** Exotel's bound for its users' URLs; what signs its URLs elsewhere makes them longer. */
const MAX_EXOTEL_URL = 600;
const MAX_URL = 2048;

/**
 * Credentials become Basic auth (RFC 7617).
 * @returns the address, or a sentence that says what is wrong with the URL
 */
export const botAddress = (text: string, dialect: StreamDialect): BotAddress | string => {
  const limit = dialect === 'exotel' ? MAX_EXOTEL_URL : MAX_URL;
  if (text.length >= limit) return `the URL has ${text.length} characters; fewer than ${limit} are allowed`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'the URL cannot be parsed';
  }
  const indirect = url.protocol === 'http:' || url.protocol === 'https:';
  if (!indirect && url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    return `the URL begins with ${url.protocol.slice(0, 20)}, not with ws:, wss:, http: or https:`;
  }
  const headers: Record<string, string> = {};
  if (url.username !== '' || url.password !== '') {
    const pair = `${decoded(url.username)}:${decoded(url.password)}`;
    headers['Authorization'] = `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
    url.username = url.password = '';
  }
  url.hash = '';
  return { url: url.href, headers, indirect };
};

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
