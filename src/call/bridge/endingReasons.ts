/** Reason codes of records that no decision gave: how calls that were connected, or tried, came to their end. */

const SENTENCES = {
  normal_clearing: 'One side hung up.',
  caller_cancelled: 'The caller gave up before an answer.',
  ack_timeout: 'The caller never acknowledged the answer.',
  leg_lost: 'One side no longer knew the dialog, or its connection was gone.',
  signalling_lost: 'The SIP engine went away.',
  session_expired: 'Nobody refreshed the session in the time agreed (session timer, RFC 4028).',
  max_duration: 'The call reached the longest duration allowed (calls.maxCallMs).',
  spend_cap_reached: 'What the trunk or the account may spend today (UTC) was spent while the call was up.',
  credentials_refused: 'The destination asked for credentials, and was given none or did not take them.',
  ended_by_api: 'The call was ended over the administration.',
  drain_limit: 'The process was shutting down, and the time for live calls was up (calls.drainSeconds).',
  node_lost: 'The process died; the record was made when it started again.',
  internal_error: 'An error inside Tandem ended the call.',
  trunk_has_no_destination: 'There was no destination to try.',
  no_answer: 'Nobody answered in time.',
  callee_busy: 'The callee is busy.',
  callee_declined: 'The callee declined.',
  callee_unavailable: 'The callee is not available.',
  callee_unknown: 'The destination does not know the number.',
  number_incomplete: 'The destination finds the number incomplete.',
  media_not_acceptable: 'The two sides have no media in common.',
  destination_3xx:
    'The destination redirected the call: redirections are not followed, or it named no place that the call may go to.',
  destination_4xx: 'The destination refused the call.',
  destination_5xx: 'The destination failed.',
  destination_6xx: 'The destination refused the call for everybody.',
  destination_silent: 'The destination did not respond at all.',
  destination_unreachable: 'No connection to the destination could be made.',
  destination_unresolved: "The destination's host name has no address.",
  destination_invalid: 'No request could be sent to the destination as it is configured.',
  flow_ended: 'The flow came to its end.',
  flow_hangup: 'The flow hung up.',
  flow_reject: 'The flow refused the call.',
  flow_failed: 'The flow failed; the record names the node and its error.',
  flow_step_limit: 'The flow made more steps than one call may.',
  answer_failed: 'The call could not be answered: no media in common, or none to be had.',
  transferred: 'The flow sent the caller elsewhere.',
  attempt_cancelled: 'The attempt was withdrawn below the call.',
} as const;

export type EndingCode = keyof typeof SENTENCES;

export const isEndingCode = (code: string): code is EndingCode => Object.hasOwn(SENTENCES, code);

/** All of them with a sentence each, for docs/errors.md. */
export const describeEndings = (): { readonly code: EndingCode; readonly sentence: string }[] =>
  (Object.keys(SENTENCES) as EndingCode[]).map((code) => ({ code, sentence: SENTENCES[code] }));
