/** What tests of calls between two SIPp look at. */
import type { Test } from 'tap';
import type { CallRecord } from '../../src/call/record/cdr.js';
import { describe, type SippResult } from './sipp.js';
import type { PeerMessage } from './sipText.js';

/** Each followed its scenario to the end. */
export function went(t: Test, ...results: readonly SippResult[]): void {
  for (const result of results) {
    t.equal(result.exitCode, 0, `${result.plan.scenario} went as written`);
    if (result.exitCode !== 0) t.comment(describe(result));
  }
}

export function has(t: Test, record: CallRecord, wanted: Partial<CallRecord>): void {
  for (const [field, value] of Object.entries(wanted)) {
    t.strictSame(record[field as keyof CallRecord], value, `record: ${field}`);
  }
}

/** `status result` of each attempt, in order. */
export const attempts = (record: CallRecord): string[] =>
  record.attempts.map((attempt) => `${attempt.sipStatus} ${attempt.result}`);

/** `INVITE` or `200 INVITE`. */
export const kindOf = (message: PeerMessage): string =>
  message.isRequest ? message.method : `${message.status} ${message.method}`;

export const ofKind = (messages: readonly PeerMessage[], kind: string): PeerMessage[] =>
  messages.filter((message) => kindOf(message) === kind);

/** Every body that one end sent reached the other octet by octet, in order. Repeats count once. */
export function crossed(t: Test, from: SippResult, to: SippResult, kind: string): void {
  const bodies = (messages: readonly PeerMessage[]): string[] => [
    ...new Set(ofKind(messages, kind).map((message) => message.body.toString('latin1'))),
  ];
  const sent = bodies(from.sent);
  t.ok(sent.length > 0 && sent.every((body) => body !== ''), `${kind} was sent with a body`);
  t.strictSame(bodies(to.received), sent, `${kind}: the body crossed octet by octet`);
}

/** The final answer of the caller's INVITE. */
export function verdict(caller: SippResult): PeerMessage {
  const found = caller.received.find((message) => message.status >= 200 && message.method === 'INVITE');
  if (found === undefined) throw new Error(`no final answer\n${describe(caller)}`);
  return found;
}
