/** An explanation as text, for terminals. */
import { amountOf } from '../record/rating.js';
import { formatDecision, visible } from '../routing/explain.js';
import type { Explanation, LimitState, PlannedAttempt, SpendState } from './explanation.js';
import type { PastExplanation } from './pastCall.js';

/** The decision, then what would be sent where, with how much room, and what looks odd. */
export function formatExplanation(explanation: Explanation): string {
  const { decision, attempts, limitsNow, spendNow, findings } = explanation;
  const lines = [formatDecision(decision)];
  const out = (decision.carriers ?? []).filter(({ reasonCode }) => reasonCode !== 'routed');
  if (out.length > 0) lines.push('', 'carriers left out, or last:');
  for (const { carrierId, reasonCode, prefix } of out) {
    lines.push(`  ${carrierId}: ${reasonCode}${prefix === undefined ? '' : ` (prefix ${prefix})`}`);
  }
  attempts.forEach((attempt, i) => lines.push('', ...attemptLines(attempt, i + 1)));
  if (limitsNow.length > 0) lines.push('', 'limits now:', ...limitsNow.map((limit) => `  ${limitText(limit)}`));
  if (spendNow.length > 0) lines.push('', 'money today:', ...spendNow.map((spend) => `  ${spendText(spend)}`));
  for (const { message } of findings) lines.push('', `note: ${message}`);
  return lines
    .flatMap((block) => block.split('\n'))
    .map(visible)
    .join('\n');
}

/** Both decisions of a call that was, one after the other. */
export function formatPastExplanation({ callId, startedAt, then, now, changed }: PastExplanation): string {
  return [
    `call ${callId} of ${startedAt}`,
    changed.length === 0 ? 'nothing has changed since' : `changed since: ${changed.join(', ')}`,
    '',
    '== then ==',
    formatExplanation(then),
    '',
    '== now ==',
    formatExplanation(now),
  ].join('\n');
}

function attemptLines(attempt: PlannedAttempt, number: number): string[] {
  const { uri, carrierId, price, currency, networkGroup, health, limit, headers } = attempt;
  const lines = [`attempt ${number}: ${uri}`];
  if (carrierId !== null) lines.push(`  carrier: ${carrierId}`);
  if (price !== null) {
    const group = networkGroup === null ? '' : ` (${networkGroup})`;
    lines.push(`  price:   ${price} ${currency ?? ''} a minute${group}`);
  }
  lines.push(`  health:  ${health}`);
  if (limit !== null) lines.push(`  limit:   ${limitText(limit)}`);
  for (const [name, value] of headers) lines.push(`  ${name}: ${value}`);
  return lines;
}

function limitText({ key, callsUp, concurrentCalls, callsPerSecond, room }: LimitState): string {
  const up = concurrentCalls === null ? `${callsUp} calls up` : `${callsUp} of ${concurrentCalls} calls up`;
  const rate = callsPerSecond === null ? '' : `, ${callsPerSecond} calls per second`;
  return `${key}: ${up}${rate}${room ? '' : ': no room'}`;
}

const spendText = ({ key, committedMicros, limitMicros, currency }: SpendState): string =>
  `${key}: ${amountOf(committedMicros)} of ${amountOf(limitMicros)} ${currency}`;
