/** Where a bot is, taken apart from its URL. */
export interface BotAddress {
  /** Without credentials. */
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  /** An http(s) URL: it answers with the WebSocket URL to use. */
  readonly indirect: boolean;
}

/** Exotel's bound. */
const MAX_URL = 600;

/** @returns the address, or a sentence that says what is wrong with the URL. Credentials become Basic auth (RFC 7617). */
export const botAddress = (text: string): BotAddress | string => {
  if (text.length >= MAX_URL) return `the URL has ${text.length} characters; fewer than ${MAX_URL} are allowed`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'the URL cannot be parsed';
  }
  const indirect = url.protocol === 'http:' || url.protocol === 'https:';
  if (!indirect && url.protocol !== 'ws:' && url.protocol !== 'wss:') {
    return `the URL begins with ${url.protocol}, not with ws:, wss:, http: or https:`;
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
