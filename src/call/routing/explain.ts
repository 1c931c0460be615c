/** A decision as text, for terminals. */
import type { Decision } from './decision.js';
import { reason } from './reasons.js';

const MARK = { pass: 'ok', fail: 'NO', info: '--' } as const;

/** Steps in columns, then the result. Control characters of the caller's are shown, not obeyed. */
export function formatDecision(decision: Decision): string {
  const width = Math.max(0, ...decision.steps.map((step) => step.step.length));
  const lines = decision.steps.map((step) => `${MARK[step.result]}  ${step.step.padEnd(width)}  ${step.detail}`);
  lines.push('', ...result(decision), `revision: ${decision.revision}`);
  return lines.map(visible).join('\n');
}

function result(decision: Decision): string[] {
  const { reasonCode } = decision;
  if (!decision.accepted) {
    const lines = [`refused: ${decision.sipStatus ?? ''} ${reasonCode}`, `         ${reason(reasonCode).sentence}`];
    if (decision.nearestMiss !== undefined) lines.push(`nearest: ${decision.nearestMiss}`);
    if (decision.remedy !== undefined) lines.push(`remedy:  ${decision.remedy}`);
    return lines;
  }
  const { called, caller } = numbers(decision);
  const lines = [
    `routed:  ${decision.direction ?? ''}, trunk ${decision.trunkSid ?? '-'}, carrier ${decision.carrierId ?? '-'}`,
    `called:  ${called}`,
    `caller:  ${caller}`,
  ];
  if (decision.sip !== undefined) lines.push(`sip:     ${JSON.stringify(decision.sip)}`);
  decision.destinations.forEach((destination, i) => {
    const { uri, priority, weight, carrierId, rate, sip } = destination;
    const price = rate?.outbound_price === undefined ? '' : `, ${rate.outbound_price} ${rate.currency ?? ''} a minute`;
    const by = carrierId === undefined ? '' : `${carrierId}${price}, `;
    const spoken = sip === undefined ? '' : `, sip ${JSON.stringify(sip)}`;
    lines.push(`${i === 0 ? 'sent to:' : '   then:'} ${uri} (${by}priority ${priority}, weight ${weight}${spoken})`);
  });
  return lines;
}

function numbers({ calledNumber, callerNumber }: Decision): { called: string; caller: string } {
  const sent = callerNumber.sent ?? 'anonymous';
  return {
    called: `${calledNumber.e164 ?? '-'} (received '${calledNumber.received}')`,
    caller: `${sent} (received '${callerNumber.received}')`,
  };
}

/** Control characters are shown, not obeyed. */
export function visible(text: string): string {
  let out = '';
  for (const char of text) {
    const code = char.codePointAt(0) as number;
    const control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    out += control ? `\\x${code.toString(16).padStart(2, '0')}` : char;
  }
  return out;
}
