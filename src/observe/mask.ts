/** What must not be read in a log: digits that a caller keys in, passwords, authorization fields. */

const MASK = '***';
const AUTH_FIELD = /^((?:proxy-)?authorization[ \t]*:[ \t]*[A-Za-z0-9]*)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*/gim;
const DTMF_FIELD = /^((?:c|content-type)[ \t]*:[ \t]*application\/(?:dtmf|vnd\.[a-z.]*dtmf)[^\r\n]*)/im;
const DTMF_SIGNAL = /^([ \t]*signal[ \t]*=[ \t]*)[0-9A-D*#]+/gim;
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/{0,2}[^\s:@/<>"]{1,128}:)[^\s@/<>"]{1,128}(?=@)/gi;

/** A SIP message as text, fit for a log. Linear in its length; the message itself is not touched. */
export const maskSipText = (text: string): string => {
  const end = text.search(/\r?\n\r?\n/);
  const head = end < 0 ? text : text.slice(0, end);
  const rest = end < 0 ? '' : text.slice(end);
  return maskHead(head) + (DTMF_FIELD.test(head) ? maskDigits(rest) : rest);
};

const maskHead = (head: string): string => head.replace(AUTH_FIELD, `$1 ${MASK}`).replace(URL_PASSWORD, `$1${MASK}`);

/** `application/dtmf-relay` has `Signal=5` lines; `application/dtmf` is the digit alone. */
const maskDigits = (body: string): string => {
  const relayed = body.replace(DTMF_SIGNAL, `$1${MASK}`);
  return relayed === body ? body.replace(/[0-9A-D*#]+/g, MASK) : relayed;
};

/** Names of members whose values pino blanks, at the top and one level down. */
const SECRET_NAMES = ['password', 'secret', 'token', 'authorization', 'api_keys', 'digits'];
export const secretPaths: readonly string[] = SECRET_NAMES.flatMap((name) => [name, `*.${name}`]);
