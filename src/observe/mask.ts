/** What must not be read in a log: digits that a caller keys in, passwords, authorization fields. */

const MASK = '***';
const AUTH_FIELD = /^((?:proxy-)?authorization[ \t]*:[ \t]*[A-Za-z0-9]*)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*/gim;
const DTMF_FIELD = /^((?:c|content-type)[ \t]*:[ \t]*application\/(?:dtmf|vnd\.[a-z.]*dtmf)[^\r\n]*)/im;
const DTMF_SIGNAL = /^([ \t]*signal[ \t]*=[ \t]*)[0-9A-D*#]+/gim;

/** A SIP message as text, fit for a log. Linear in its length; the message itself is not touched. */
export const maskSipText = (text: string): string => {
  const end = text.search(/\r?\n\r?\n/);
  const head = end < 0 ? text : text.slice(0, end);
  const rest = end < 0 ? '' : text.slice(end);
  return maskHead(head) + (DTMF_FIELD.test(head) ? maskDigits(rest) : rest);
};

const maskHead = (head: string): string => maskPasswords(head.replace(AUTH_FIELD, `$1 ${MASK}`));

/** What ends a URI's user part, backwards from its `@`. */
const BEFORE_USER = new Set('@/<>"\t\n\v\f\r ');
const SCHEME_END = /[a-z0-9+.-]/i;

/**
 * Passwords of URIs: `sip:user:password@`, `wss://user:password@`. Backwards from each `@`, so that each character is
 * looked at once; an expression that looks for schemes would read what follows each of them anew.
 */
const maskPasswords = (text: string): string => {
  let masked = '';
  let done = 0;
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const from = passwordBefore(text, at);
    if (from < 0) continue;
    masked += text.slice(done, from) + MASK;
    done = at;
  }
  return masked + text.slice(done);
};

/** @returns where the password before the `@` at this place begins, -1 without one */
const passwordBefore = (text: string, at: number): number => {
  let start = at;
  while (start > 0 && !BEFORE_USER.has(text.charAt(start - 1))) start--;
  let scheme = start;
  while (scheme > 0 && start - scheme < 2 && text[scheme - 1] === '/') scheme--;
  const part = text.slice(start, at);
  const user = scheme === start ? part.indexOf(':') + 1 : 0;
  // With slashes the scheme stands before them, else it is the first part itself.
  const schemeEnd = scheme === start ? start + user : scheme;
  if (text[schemeEnd - 1] !== ':' || !SCHEME_END.test(text.charAt(schemeEnd - 2))) return -1;
  const colon = part.indexOf(':', user);
  return colon > user && colon + 1 < part.length ? start + colon + 1 : -1;
};

/** `application/dtmf-relay` has `Signal=5` lines; `application/dtmf` is the digit alone. */
const maskDigits = (body: string): string => {
  const relayed = body.replace(DTMF_SIGNAL, `$1${MASK}`);
  return relayed === body ? body.replace(/[0-9A-D*#]+/g, MASK) : relayed;
};

/** Names of members whose values pino blanks, at the top and one level down. */
const SECRET_NAMES = ['password', 'secret', 'token', 'authorization', 'api_keys', 'digits'];
export const secretPaths: readonly string[] = SECRET_NAMES.flatMap((name) => [name, `*.${name}`]);
