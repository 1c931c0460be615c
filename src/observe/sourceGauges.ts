import { Gauge, type Registry } from 'prom-client';

/** What is read when the metrics page is asked for. Each may be left out. */
export interface MetricsSources {
  readonly liveCalls?: () => number;
  /** Counts of living objects in the SIP engine; nested objects are flattened with dots, lists count as their length. */
  readonly engine?: () => object;
  /** Timers by name. */
  readonly timers?: () => { readonly [name: string]: number };
  readonly table?: () => { readonly revision: string; readonly loaded: boolean; readonly size: object };
  /** Call records that have not reached the kernel. */
  readonly recordsPending?: () => number;
  readonly store?: () => { readonly connected: boolean; readonly stale: boolean };
  readonly draining?: () => boolean;
  /** Gateways that calls leave to the last, as they did not answer lately. */
  readonly gatewaysDown?: () => number;
  /** Next hops that ask for fewer calls (RFC 7339); absent: nobody asks them. */
  readonly peers?:
    | {
        readonly kept: () => number;
        readonly spared: () => readonly { readonly gateway: string; readonly lossPercent: number }[];
      }
    | undefined;
  /** Contacts of registered users that this node knows. */
  readonly registrations?: () => number;
  /** How busy the signalling thread is, and what overload control does; undefined where there is none. */
  readonly overload?: () => { readonly busy: number; readonly active: boolean; readonly refused: number } | undefined;
  /** Registrations of this node at carriers, by state. */
  readonly carrierRegistrations?: () => [state: string, count: number][];
  /** Streams to bots that are open or being opened. */
  readonly streams?: () => number;
  /** UDP port pairs of the embedded media engine; undefined where it does not run. */
  readonly mediaPorts?: () => { readonly used: number; readonly resting: number; readonly free: number } | undefined;
}

/** `{transport: {hops: 3}}` -> `transport.hops` 3. */
const flattenCounts = (dump: object, prefix = ''): [string, number][] =>
  Object.entries(dump).flatMap(([name, value]: [string, unknown]): [string, number][] => {
    if (typeof value === 'number') return [[prefix + name, value]];
    if (Array.isArray(value)) return [[prefix + name, value.length]];
    return typeof value === 'object' && value !== null ? flattenCounts(value, `${prefix}${name}.`) : [];
  });

class Gauges {
  readonly #registers: Registry[];

  constructor(registry: Registry) {
    this.#registers = [registry];
  }

  number(name: string, help: string, read: (() => number | boolean) | undefined): void {
    if (read === undefined) return;
    new Gauge({
      name,
      help,
      registers: this.#registers,
      collect() {
        this.set(Number(read()));
      },
    });
  }

  /** One series per name; names that are gone leave the page. */
  family(spec: { name: string; help: string; label: string }, read: (() => [string, number][]) | undefined): void {
    if (read === undefined) return;
    new Gauge({
      name: spec.name,
      help: spec.help,
      labelNames: [spec.label],
      registers: this.#registers,
      collect() {
        this.reset();
        for (const [name, value] of read()) this.set({ [spec.label]: name }, value);
      },
    });
  }
}

const overloadGauges = (gauges: Gauges, overload: MetricsSources['overload']): void => {
  if (overload === undefined) return;
  gauges.number(
    'tandem_signalling_busy_ratio',
    'Part of its time that the signalling thread works',
    () => overload()?.busy ?? 0,
  );
  gauges.number(
    'tandem_overload_active',
    '1 while new calls are refused for overload',
    () => overload()?.active ?? false,
  );
  gauges.number(
    'tandem_overload_refused',
    'New calls refused for overload since the start',
    () => overload()?.refused ?? 0,
  );
};

/** Gauges over the living parts of the process. */
export const sourceGauges = (registry: Registry, sources: MetricsSources): void => {
  const gauges = new Gauges(registry);
  const { engine, timers, table, store } = sources;
  gauges.number('tandem_calls_live', 'Calls that have begun and not ended', sources.liveCalls);
  gauges.number('tandem_draining', '1 while no new calls are taken', sources.draining);
  gauges.number('tandem_cdr_pending', 'Call records waiting for the disk', sources.recordsPending);
  gauges.number('tandem_store_connected', '1 while the routing store is in reach', store && (() => store().connected));
  gauges.number('tandem_store_stale', '1 while an older routing document is served', store && (() => store().stale));
  gauges.number('tandem_routing_table_loaded', '1 once calls can be routed', table && (() => table().loaded));
  gauges.number('tandem_gateways_down', 'Gateways that did not answer lately', sources.gatewaysDown);
  const { peers } = sources;
  gauges.number('tandem_peer_overload_kept', 'New calls kept from overloaded next hops since the start', peers?.kept);
  gauges.family(
    {
      name: 'tandem_peer_overload_loss',
      help: 'Percent of new calls that a next hop asks us to keep',
      label: 'gateway',
    },
    peers && (() => peers.spared().map(({ gateway, lossPercent }) => [gateway, lossPercent])),
  );
  gauges.number('tandem_registrations', 'Contacts of registered users', sources.registrations);
  overloadGauges(gauges, sources.overload);
  gauges.number('tandem_streams_open', 'Streams to bots that are open or being opened', sources.streams);
  gauges.family(
    { name: 'tandem_carrier_registrations', help: 'Registrations of this node at carriers', label: 'state' },
    sources.carrierRegistrations,
  );
  gauges.family(
    { name: 'tandem_media_ports', help: 'Port pairs for RTP: in use, in quarantine, free', label: 'state' },
    sources.mediaPorts && (() => Object.entries(sources.mediaPorts?.() ?? {})),
  );
  gauges.family(
    { name: 'tandem_routing_table_info', help: 'Revision of the routing table in use', label: 'revision' },
    table && (() => [[table().revision, 1]]),
  );
  gauges.family(
    { name: 'tandem_routing_table_objects', help: 'Size of the routing table', label: 'kind' },
    table && (() => flattenCounts(table().size)),
  );
  gauges.family(
    { name: 'tandem_sip_objects', help: 'Living objects and counters of the SIP engine', label: 'kind' },
    engine && (() => flattenCounts(engine())),
  );
  gauges.family(
    { name: 'tandem_timers', help: 'Pending timers', label: 'name' },
    timers && (() => Object.entries(timers())),
  );
};
