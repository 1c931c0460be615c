/** What becomes of each header field, by name: the one table, both directions. What is not in it stays where it is. */
import type { HeaderSwitches } from '../routing/headerSettings.js';

/** What a message is, seen from the call. */
export type MessageKind =
  | 'invite'
  /** 101-199. */
  | 'progress'
  /** 2xx to INVITE or re-INVITE. */
  | 'answer'
  /** 300-699 to INVITE or re-INVITE. */
  | 'failure'
  /** BYE or CANCEL. */
  | 'release'
  /** Any other request within the dialog, and its final response. */
  | 'request'
  | 'response';

export interface HeaderRule {
  /** In lower case. */
  readonly name: string;
  /** Where the field is defined, and its rule with it. */
  readonly rfc: string;
  /**
   * `rebuilt`: each leg has its own, made anew by the engine or `legHeaders.ts`. `crosses`: unchanged but for what is
   * unsafe, in the messages of `in`. `inside`: of one operator's network (RFC 7315), and of no use to another. No setting
   * lets `rebuilt` and `inside` through.
   */
  readonly does: 'rebuilt' | 'crosses' | 'inside';
  readonly in?: readonly MessageKind[];
  /** The switch of trunks and carriers that rules it, and what holds where they say nothing. */
  readonly switch?: keyof HeaderSwitches;
  readonly unless?: 'pass' | 'strip';
}

const INVITE: readonly MessageKind[] = ['invite'];
const OFFERS: readonly MessageKind[] = ['invite', 'answer'];
const REQUEST: readonly MessageKind[] = ['request'];
const WITH_BODY: readonly MessageKind[] = ['invite', 'progress', 'answer', 'failure', 'request', 'response'];

const crosses = (name: string, rfc: string, kinds: readonly MessageKind[]): HeaderRule => ({
  ...{ name, rfc, does: 'crosses' },
  in: kinds,
});
const rebuilt = (name: string, rfc: string): HeaderRule => ({ name, rfc, does: 'rebuilt' });
const inside = (name: string, rfc: string): HeaderRule => ({ name, rfc, does: 'inside' });
const switched = (rule: HeaderRule, by: keyof HeaderSwitches, unless: 'pass' | 'strip' = 'strip'): HeaderRule => ({
  ...rule,
  switch: by,
  unless,
});

export const HEADER_RULES: readonly HeaderRule[] = [
  crosses('accept', 'RFC 3261 §20.1', [...OFFERS, 'failure', 'request', 'response']),
  crosses('accept-contact', 'RFC 3841 §9.2', INVITE),
  crosses('accept-encoding', 'RFC 3261 §20.2', [...OFFERS, 'failure']),
  crosses('accept-language', 'RFC 3261 §20.3', [...OFFERS, 'failure']),
  switched(crosses('alert-info', 'RFC 3261 §20.4', ['invite', 'progress']), 'alert_info', 'pass'),
  switched(crosses('call-info', 'RFC 3261 §20.9', ['invite', 'progress', 'answer']), 'call_info'),
  crosses('content-disposition', 'RFC 3261 §20.11', WITH_BODY),
  crosses('content-encoding', 'RFC 3261 §20.12', WITH_BODY),
  crosses('content-language', 'RFC 3261 §20.13', WITH_BODY),
  crosses('mime-version', 'RFC 3261 §20.24', WITH_BODY),
  crosses('date', 'RFC 3261 §20.17', ['answer']),
  crosses('allow-events', 'RFC 6665 §8.2.2', ['request', 'response']),
  crosses('event', 'RFC 6665 §8.2.1', REQUEST),
  crosses('expires', 'RFC 3261 §20.19', ['request', 'response']),
  crosses('min-expires', 'RFC 3261 §20.23', ['response']),
  switched(crosses('geolocation', 'RFC 6442 §4.1', INVITE), 'geolocation'),
  switched(crosses('geolocation-error', 'RFC 6442 §4.4', ['failure']), 'geolocation'),
  switched(crosses('geolocation-routing', 'RFC 6442 §4.2', INVITE), 'geolocation'),
  switched(crosses('identity', 'RFC 8224 §4', INVITE), 'stir'),
  crosses('info-package', 'RFC 6086 §7.2', REQUEST),
  crosses('min-se', 'RFC 4028 §5', ['failure']),
  crosses('organization', 'RFC 3261 §20.25', INVITE),
  crosses('p-early-media', 'RFC 5009 §8', ['invite', 'progress', 'request']),
  crosses('priority', 'RFC 3261 §20.26', INVITE),
  crosses('privacy', 'RFC 3323 §4.2', ['invite', 'request']),
  switched(
    crosses('reason', 'RFC 3326 §2, RFC 6432', ['invite', 'progress', 'failure', 'release', 'request', 'response']),
    'reason',
    'pass',
  ),
  crosses('recv-info', 'RFC 6086 §7.3', OFFERS),
  crosses('reject-contact', 'RFC 3841 §9.2', INVITE),
  crosses('retry-after', 'RFC 3261 §20.33', ['failure', 'response']),
  crosses('subject', 'RFC 3261 §20.36', ['invite', 'request']),
  crosses('subscription-state', 'RFC 6665 §8.2.3', REQUEST),
  switched(
    crosses('user-to-user', 'RFC 7433 §4', ['invite', 'progress', 'answer', 'failure', 'release', 'request']),
    'user_to_user',
    'pass',
  ),
  rebuilt('allow', 'RFC 3261 §20.5'),
  rebuilt('authorization', 'RFC 3261 §20.7'),
  rebuilt('call-id', 'RFC 3261 §20.8'),
  rebuilt('contact', 'RFC 3261 §20.10'),
  rebuilt('content-length', 'RFC 3261 §20.14'),
  rebuilt('content-type', 'RFC 3261 §20.15'),
  rebuilt('cseq', 'RFC 3261 §20.16'),
  rebuilt('from', 'RFC 3261 §20.20, RFC 3323 §4.1'),
  rebuilt('max-forwards', 'RFC 3261 §20.22'),
  rebuilt('p-asserted-identity', 'RFC 3325 §9.1'),
  rebuilt('p-preferred-identity', 'RFC 3325 §9.2'),
  rebuilt('path', 'RFC 3327 §4'),
  rebuilt('proxy-authenticate', 'RFC 3261 §20.27'),
  rebuilt('proxy-authorization', 'RFC 3261 §20.28'),
  rebuilt('proxy-require', 'RFC 3261 §20.29'),
  rebuilt('rack', 'RFC 3262 §7.2'),
  rebuilt('record-route', 'RFC 3261 §20.30'),
  rebuilt('remote-party-id', 'draft-ietf-sip-privacy-04'),
  rebuilt('require', 'RFC 3261 §20.32'),
  rebuilt('route', 'RFC 3261 §20.34'),
  rebuilt('rseq', 'RFC 3262 §7.1'),
  rebuilt('server', 'RFC 3261 §20.35'),
  rebuilt('service-route', 'RFC 3608 §5'),
  rebuilt('session-expires', 'RFC 4028 §4'),
  rebuilt('supported', 'RFC 3261 §20.37'),
  rebuilt('timestamp', 'RFC 3261 §20.38'),
  rebuilt('to', 'RFC 3261 §20.39'),
  rebuilt('unsupported', 'RFC 3261 §20.40'),
  rebuilt('user-agent', 'RFC 3261 §20.41'),
  rebuilt('via', 'RFC 3261 §20.42'),
  rebuilt('www-authenticate', 'RFC 3261 §20.44'),
  inside('p-access-network-info', 'RFC 7315 §5.4'),
  inside('p-associated-uri', 'RFC 7315 §5.1'),
  inside('p-called-party-id', 'RFC 7315 §5.2'),
  inside('p-charging-function-addresses', 'RFC 7315 §5.5'),
  inside('p-charging-vector', 'RFC 7315 §5.6'),
  inside('p-profile-key', 'RFC 5002 §5'),
  inside('p-served-user', 'RFC 5502 §4'),
  inside('p-user-database', 'RFC 4457 §4'),
  inside('p-visited-network-id', 'RFC 7315 §5.3'),
];

/** RFC 5806, RFC 7044: rebuilt for ends that ask; `headers.diversion: pass` lets them cross as they came. */
export const FORWARDING: readonly string[] = ['diversion', 'history-info'];

/** Fields that would name a caller who has asked for `header` or `user` privacy (RFC 3323 §5.1, §5.3). */
export const REVEALING: ReadonlySet<string> = new Set([
  ...['call-info', 'geolocation', 'history-info', 'diversion', 'identity', 'organization', 'subject'],
]);
