import type { SipResponse } from '../message/message.js';

/** What a refusal can do without. A forged source must not get more from us than was sent in its name. */
const EXPENDABLE = ['Server', 'Warning', 'Allow', 'Reason'];

/** The response in at most so many octets, with all that fits; the least there is, where that is more. */
export const shortened = (response: SipResponse, bytes: number): Buffer => {
  let data = response.toBuffer();
  for (const name of EXPENDABLE) {
    if (data.length <= bytes) return data;
    response.remove(name);
    data = response.toBuffer();
  }
  const challenges = response.headerAll('WWW-Authenticate');
  if (data.length <= bytes || challenges.length < 2) return data;
  // The last is the one that everybody knows.
  return response.set('WWW-Authenticate', challenges.at(-1) as string).toBuffer();
};
