/** Counts of flow calls, their applets, their streams and their audio. Every label has a fixed set of values. */
import type { Registry } from 'prom-client';
import type { CallEvent } from '../call/session/events.js';
import { FLOW_REASONS } from '../call/flow/reasons.js';
import { APPLETS } from '../call/applets/catalogue.js';
import type { CallRecord } from '../call/record/cdr.js';
import { Tally } from './tally.js';

type Quality = NonNullable<CallRecord['media']>['a'];
type Step = Extract<CallEvent, { readonly type: 'flow_step' }>['step'];

const OTHER = 'other';
/** Exits that have a name of their own; the keys of a menu and the cases of a switch do not, since authors choose them. */
const EXITS: ReadonlySet<string> = new Set(
  (
    'next failed error a b digits timeout invalid answered busy no_answer cancelled empty otherwise open closed holiday ' +
    'call_ended caller_hung_up transferred'
  ).split(' '),
);
const KEY = /^[0-9*#A-D]$/;

/** What a stream's report says in words, as reasons. The first that fits counts. */
const STREAM_FAILURES: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/not a permitted address/, 'egress_refused'],
  [/^the bot refused the handshake/, 'handshake_refused'],
  [/no answer to the handshake|did not answer in/, 'handshake_timeout'],
  [/ENOTFOUND|EAI_AGAIN/, 'unresolved'],
  [/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ECONNRESET/, 'unreachable'],
  [/has not answered for/, 'silent'],
  [/reads too slowly|too slow/, 'too_slow'],
  [/more than a caller could ever hear/, 'flood'],
  [/malformed|1007|1009/, 'protocol'],
  [/^closed with/, 'broke_off'],
  [/URL/, 'url'],
  [/worker|media|caller/, 'media_lost'],
];

const streamFailure = ({ detail }: { readonly detail: string }): string =>
  STREAM_FAILURES.find(([pattern]) => pattern.test(detail))?.[1] ?? OTHER;

const exitLabel = (exit: string): string => (EXITS.has(exit) ? exit : KEY.test(exit) ? 'key' : 'case');
const reasonLabel = (code: string): string => (Object.hasOwn(FLOW_REASONS, code) ? code : OTHER);
const appletLabel = (name: string): string => (APPLETS.has(name) ? name : OTHER);

export class FlowMetrics {
  readonly #calls = new Tally();
  readonly #steps = new Tally();
  readonly #errors = new Tally();
  readonly #streams = new Tally();
  readonly #failures = new Tally();
  readonly #packets = new Tally();

  constructor(registry: Registry) {
    this.#calls.register(registry, {
      name: 'tandem_flow_calls_total',
      help: 'Flow calls that are over, by the reason of their flow',
      labelNames: ['reason'],
    });
    this.#steps.register(registry, {
      name: 'tandem_flow_steps_total',
      help: 'Nodes that flow calls left, by the exit taken',
      labelNames: ['applet', 'exit'],
    });
    this.#errors.register(registry, {
      name: 'tandem_flow_errors_total',
      help: 'Nodes of flow calls that failed',
      labelNames: ['applet', 'code'],
    });
    this.#streams.register(registry, {
      name: 'tandem_streams_ended_total',
      help: 'Streams to bots that are over',
      labelNames: ['status', 'disconnected_by'],
    });
    this.#failures.register(registry, {
      name: 'tandem_stream_failures_total',
      help: 'Streams to bots that failed or were refused',
      labelNames: ['reason'],
    });
    this.#packets.register(registry, {
      name: 'tandem_media_packets_total',
      help: 'RTP packets of the legs of calls that are over',
      labelNames: ['leg', 'fate'],
    });
  }

  observeStep({ applet, exit, error }: Step): void {
    this.#steps.add(`${appletLabel(applet)} ${exitLabel(exit)}`);
    if (error !== null) this.#errors.add(`${appletLabel(applet)} ${reasonLabel(error.code)}`);
  }

  observeRecord({ flow, streams = [], media }: CallRecord): void {
    if (flow !== undefined) this.#calls.add(reasonLabel(flow.reasonCode));
    for (const report of streams) {
      this.#streams.add(`${report.status} ${report.disconnectedBy}`);
      if (report.status !== 'completed') this.#failures.add(streamFailure(report));
    }
    for (const leg of ['a', 'b'] as const) this.#addPackets(leg, media?.[leg]);
  }

  #addPackets(leg: 'a' | 'b', quality: Quality | undefined): void {
    if (quality === null || quality === undefined) return;
    this.#packets.add(`${leg} received`, quality.packetsReceived);
    this.#packets.add(`${leg} sent`, quality.packetsSent);
    this.#packets.add(`${leg} lost`, quality.packetsLost);
    this.#packets.add(`${leg} late`, quality.packetsLate);
    this.#packets.add(`${leg} rejected`, quality.packetsRejected);
  }
}
