/** What a reason code means: for SIP, for people, for docs/errors.md. */
import type { ReasonCode } from './decision.js';

export interface Reason {
  readonly code: ReasonCode;
  /** Undefined for `routed`, which is no refusal. */
  readonly sipStatus: number | undefined;
  readonly sentence: string;
  /** What an operator does about it. */
  readonly remedy: string | undefined;
}

type Entry = readonly [sipStatus: number | undefined, sentence: string, remedy: string | undefined];

const REASONS: { readonly [code in ReasonCode]: Entry } = {
  routed: [undefined, 'The call is routed.', undefined],
  source_not_allowed: [
    403,
    "The source address is in no carrier's source_acl and in no trunk's whitelisted_ips.",
    'Add the address to whitelisted_ips of the trunk, or to source_acl of the carrier, that sends from it.',
  ],
  credentials_required: [
    401,
    'The trunk wants a password besides the address, and none was proved.',
    "Answer the challenge with one of the trunk's credentials, or take them off the trunk.",
  ],
  number_not_found: [
    404,
    'The called number is mapped to no trunk.',
    'Add the number to phone_numbers of a trunk, or have the carrier stop delivering it here.',
  ],
  number_on_other_carrier: [
    403,
    'The called number belongs to another carrier than the one that sent the call.',
    "Set the number's carrier to the one that delivers it, or leave it out to accept the number from every carrier.",
  ],
  number_invalid: [
    484,
    'The called number cannot be brought to E.164.',
    "Dial + and 3 to 15 digits, or set country_code and national_prefix in the trunk's settings.",
  ],
  trunk_not_found: [
    480,
    'The number is mapped to a trunk that does not exist.',
    'Create the trunk, or map the number to another one.',
  ],
  trunk_inactive: [480, 'The trunk is inactive.', "Set the trunk's status to active."],
  trunk_has_no_destination: [
    480,
    'The trunk has no destination URI to send the call to.',
    'Add an entry to destination_uris of the trunk.',
  ],
  not_registered: [
    480,
    "The trunk's calls go to its registered users, and none of them is registered (or only at another node).",
    'See /api/registrations; look whether the PBX registers, and with which user name. Add a destination with a lower priority for that time.',
  ],
  carrier_not_found: [
    480,
    'No carrier is known for the call.',
    'Set the carrier of the calling number (phone_numbers[].carrier), or carriers of the account, to an existing carrier.',
  ],
  carrier_has_no_gateway: [480, 'The carrier has no gateway.', 'Add an entry to gateways of the carrier.'],
  caller_id_not_mapped: [
    403,
    'The calling number is not mapped to the trunk, and the rule of the trunk neither replaces it nor lets it pass.',
    'Send a number of the trunk in From or P-Asserted-Identity, map the number to the trunk, set trunk_external_alias, or set caller_id to pass.',
  ],
  destination_denied: [
    403,
    'The trunk may not call numbers of this prefix.',
    "Take the prefix out of the trunk's deny_prefixes, or add it to allow_prefixes.",
  ],
  destination_not_enabled: [
    403,
    'The network group of the called number is disabled, for all or for the account.',
    "Enable the network group that holds the prefix, or take it out of the account's disabled_network_groups.",
  ],
  destination_not_listed: [
    403,
    'No network group of the carriers names the called number, and the account calls listed numbers only.',
    "Add the prefix to a network group, or set the account's prefix_mode to open.",
  ],
  byo_disabled: [
    403,
    'The call would leave through a carrier that the account brought along, and the account has switched those off.',
    "Set the account's byo_enabled to true, or give the calling number another carrier.",
  ],
  price_unknown: [
    403,
    'What the trunk or the account may spend a day is limited, and the call has no price in that currency.',
    'Give the destination a price in the currency of spend_per_day: a network group, or the flat_rate of the carrier.',
  ],
  spend_cap_reached: [
    403,
    'The trunk or the account has spent what it may spend today (UTC).',
    'Find out who calls; raise spend_per_day if the calls are wanted.',
  ],
  flow_not_available: [
    480,
    'The number is answered by a flow that does not exist.',
    "Publish the flow, correct the number's flow, or set mode pstn on the number.",
  ],
  trunk_calls_per_second: [
    503,
    'The trunk starts more calls per second than it may.',
    'Slow the sender down, or raise limits.calls_per_second of the trunk.',
  ],
  trunk_concurrent_calls: [
    503,
    'The trunk has as many calls up as it may.',
    'Wait for calls to end, or raise limits.concurrent_calls of the trunk.',
  ],
  account_calls_per_second: [
    503,
    'The account starts more calls per second than it may.',
    'Slow the senders down, or raise limits.calls_per_second of the account.',
  ],
  account_concurrent_calls: [
    503,
    'The account has as many calls up as it may.',
    'Wait for calls to end, or raise limits.concurrent_calls of the account.',
  ],
  carrier_calls_per_second: [
    503,
    'The carrier is given more calls per second than it may.',
    'Slow the senders down, or raise limits.calls_per_second of the carrier.',
  ],
  carrier_concurrent_calls: [
    503,
    'The carrier has as many calls up as it may.',
    'Wait for calls to end, or raise limits.concurrent_calls of the carrier.',
  ],
  destination_overloaded: [
    503,
    'The destination has asked for fewer calls (RFC 7339), and this one was kept from it.',
    'Give it more capacity, or the calls another destination.',
  ],
  table_not_loaded: [
    503,
    'No routing table is loaded yet.',
    'Look at the log of the store: no valid routing document has been read since the start.',
  ],
  draining: [503, 'The process is shutting down and takes no new calls.', 'Send the call to another node.'],
  node_full: [503, 'This node has as many calls up as it may.', 'Send calls to another node, or raise calls.maxCalls.'],
  extension_off: [
    420,
    'The caller requires an extension of SIP that its trunk or carrier has switched off (sip).',
    'Set reliable_provisionals (session_timer.mode) to relay or terminate, or have the caller support 100rel (timer) without requiring it.',
  ],
  privacy_not_served: [
    500,
    'The caller wants no call without a privacy that is not given (Privacy: session;critical, RFC 3323).',
    'Have the caller leave out critical, or session: media may pass between the ends.',
  ],
  session_interval_too_small: [
    422,
    'The caller asks for a shorter session interval than its trunk or carrier allows (sip.session_timer.min_se).',
    'Nothing: the caller calls again with a longer one. If it does not, lower min_se.',
  ],
  replaces_invalid: [400, 'The Replaces header cannot be read, or there are several.', 'Correct the sender.'],
  replaces_unknown: [
    481,
    'Replaces names no dialog of an established call here, and none in which a destination rings.',
    'The call was over, or rings for a flow; else look whether the sender changes Call-ID or tags.',
  ],
  replaces_not_allowed: [
    403,
    'Replaces names a dialog of another trunk or carrier, or of one that may not transfer.',
    'Send from an address of the trunk whose dialog it is; see sip.refer.',
  ],
  replaces_confirmed: [
    486,
    'Replaces asks for an early dialog (early-only), and this one is confirmed.',
    'Leave early-only out to take over a call that was answered.',
  ],
  replaces_media: [
    488,
    'Whoever wants to take a ringing call has no stream in common with its caller that could be joined as it is.',
    'Offer plain RTP with a codec of the caller; with encrypted media, send the INVITE with Replaces without an offer.',
  ],
  replaces_busy: [491, 'Another transfer of the call is under way.', 'Try again.'],
  too_many_hops: [
    483,
    'The call has passed through as many hops as it may (Max-Forwards).',
    'Look for a loop: a carrier or a PBX that sends the call back here.',
  ],
  internal_error: [500, 'An error inside Tandem ended the call.', 'Report it with the fault in the log.'],
};

export function reason(code: ReasonCode): Reason {
  const [sipStatus, sentence, remedy] = REASONS[code];
  return { code, sipStatus, sentence, remedy };
}

/** All reasons, in the order in which a call can meet them; docs/errors.md is made from this. */
export function describeReasons(): Reason[] {
  return (Object.keys(REASONS) as ReasonCode[]).map(reason);
}
