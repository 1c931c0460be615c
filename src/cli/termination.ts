/** Whether a SIP provider that an account names is there: its addresses, and an answer to OPTIONS. */
import type { ProbeResult } from '../admin/index.js';
import { parseEndpoint } from '../call/routing/endpoint.js';
import type { Clock } from '../kernel/index.js';
import type { NameResolver } from '../net/index.js';
import type { RequestOutcome, SignalMessage, SignalPort } from '../signal/index.js';

const PROBE_MS = 3_000;

export interface TerminationDeps {
  readonly clock: Clock;
  readonly resolver: NameResolver;
  readonly signal: () => Pick<SignalPort, 'ask'>;
}

const away = (why: string): ProbeResult => ({ addresses: [], fault: why });

/** @returns a function that takes `host[:port]`; any response to OPTIONS will do, also a refusal (RFC 3261 §11). */
export const terminationProbe =
  ({ clock, resolver, signal }: TerminationDeps) =>
  async (place: string): Promise<ProbeResult> => {
    const endpoint = parseEndpoint(place);
    if (!endpoint.ok) return away(endpoint.error);
    const { host, isAddress, text } = endpoint.value;
    const addresses = isAddress ? [host] : await resolved(resolver, host);
    if (addresses.length === 0) return away(`${host} does not resolve`);
    const outcome = await asked(clock, signal(), text);
    if (outcome.kind === 'response') return { addresses, realm: realmOf(outcome.message), fault: undefined };
    return away(`${text} does not answer (${outcome.kind})`);
  };

/** The name that credentials go by: hosts often have another than their own. */
const realmOf = (message: SignalMessage): string | undefined => {
  const challenge = message.header('WWW-Authenticate') ?? message.header('Proxy-Authenticate');
  return /\brealm="([^"\\]{1,128})"/i.exec(challenge ?? '')?.[1];
};

const resolved = (resolver: NameResolver, host: string): Promise<readonly string[]> =>
  new Promise((resolve) => {
    resolver.resolve(host, (outcome) => resolve(outcome.ok ? outcome.addresses : []));
  });

const asked = (clock: Clock, signal: Pick<SignalPort, 'ask'>, text: string): Promise<RequestOutcome> =>
  new Promise((resolve) => {
    const timer = clock.setTimer('termination.probe', PROBE_MS, () => resolve({ kind: 'timeout' }));
    signal.ask({ method: 'OPTIONS', uri: `sip:${text}` }, (outcome) => {
      timer.cancel();
      resolve(outcome);
    });
  });
