import { escapesAreWhole } from './chars.js';

/**
 * One pass of %HH (RFC 3261 §19.1.2): `%2541` is `%41`, not `A`. What is no escape stays.
 * @returns a byte string; %00 is an octet like any other
 */
export function unescapeUser(user: string): string {
  let from = user.indexOf('%');
  if (from < 0) return user;
  let out = '';
  let done = 0;
  while (from >= 0) {
    if (from + 2 < user.length && escapesAreWhole(user, from, from + 3)) {
      out += user.slice(done, from) + String.fromCharCode(Number.parseInt(user.slice(from + 1, from + 3), 16));
      done = from + 3;
    }
    from = user.indexOf('%', from + 1 > done ? from + 1 : done);
  }
  return out + user.slice(done);
}

/** Borders of the parameters of a URI, in order; the value is undefined for a flag. */
export function eachUriParam(params: string, visit: (name: string, value: string | undefined) => void): void {
  for (let i = 1; i < params.length;) {
    let end = params.indexOf(';', i);
    if (end < 0) end = params.length;
    const equal = params.indexOf('=', i);
    if (equal >= i && equal < end) visit(params.slice(i, equal), params.slice(equal + 1, end));
    else if (end > i) visit(params.slice(i, end), undefined);
    i = end + 1;
  }
}
