/** The state of a server and of the engine below it, as drachtio-server shows it to Prometheus. */
import type { SipEngine } from '../sip/index.js';
import { type Meters, gauge } from './meters.js';

/** Name at drachtio-server (after `drachtio_sofia_`) and at our engine. Counters of messages are gauges there too. */
const ENGINE_GAUGES = [
  ['client_txns', 'clientTransactions', 'client transactions'],
  ['server_txns', 'serverTransactions', 'server transactions'],
  ['dialogs', 'dialogs', 'dialogs'],
  ['requests_recv_total', 'requestsIn', 'requests received'],
  ['requests_sent', 'requestsOut', 'requests sent'],
  ['responses_recv', 'responsesIn', 'responses received'],
  ['responses_sent', 'responsesOut', 'responses sent'],
  ['bad_msgs_recv', 'malformed', 'messages that could not be read'],
  ['retransmitted_requests', 'retransmissionsIn', 'requests received again'],
  ['retransmitted_responses', 'retransmissionsOut', 'messages sent again'],
] as const;

export interface ServerState {
  readonly version: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
  readonly applications: number;
  readonly stableDialogs: { readonly inbound: number; readonly outbound: number };
  /** Contacts that are reached over a connection of theirs. */
  readonly registered: number;
  readonly engine: SipEngine | undefined;
}

/** @returns text in the format of Prometheus, with a line end */
export function renderStatistics(state: ServerState, meters: Meters): string {
  const dump = state.engine?.dump() ?? {};
  const numberAt = (name: string): number => (typeof dump[name] === 'number' ? dump[name] : 0);
  const { inbound, outbound } = state.stableDialogs;
  const dialogs = { '{type="inbound"}': inbound, '{type="outbound"}': outbound };
  const blocks = [
    gauge('drachtio_build_info', 'version', { [`{version="${state.version}"}`]: 1 }),
    gauge('drachtio_time_started', 'start time of the process, seconds since 1970', { '': state.startedAt }),
    ...meters.render(),
    gauge('drachtio_stable_dialogs', 'calls that are up, by who called', dialogs),
    gauge('drachtio_proxy_cores', 'requests being proxied', { '': numberAt('proxied') }),
    gauge('drachtio_registered_endpoints', 'contacts registered over connections', { '': state.registered }),
    gauge('drachtio_app_connections', 'applications connected', { '': state.applications }),
    ...ENGINE_GAUGES.map(([name, ours, help]) => gauge(`drachtio_sofia_${name}`, help, { '': numberAt(ours) })),
  ];
  return `${blocks.join('\n')}\n`;
}
