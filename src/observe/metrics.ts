/** Metrics in Prometheus' text form. Counts are taken from events as they come; everything else is read when asked. */
import { Counter, Registry } from 'prom-client';
import type { RecorderAlarm } from '../call/record/fileRecorder.js';
import type { SinkAlarm } from '../call/record/sink/drain.js';
import type { CallEvent } from '../call/session/events.js';
import { DurationHistogram } from './durationHistogram.js';
import { FlowMetrics } from './flowMetrics.js';
import { LoopLag } from './loopLag.js';
import { processGauges } from './processGauges.js';
import { type MetricsSources, sourceGauges } from './sourceGauges.js';
import { Tally } from './tally.js';

export interface MetricsOptions {
  readonly nodeId: string;
  readonly version: string;
  readonly sources?: MetricsSources;
}

/** From the engine's own few milliseconds to a phone that rings for a minute, in seconds. */
const SETUP_BUCKETS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60];

export class Metrics {
  readonly registry = new Registry();
  readonly #lag = new LoopLag();
  readonly #ended = new Tally();
  readonly #attempts = new Tally();
  readonly #alarms = new Tally();
  readonly #registrations = new Tally();
  readonly #flows: FlowMetrics;
  readonly #setup: DurationHistogram;
  readonly #ringing: DurationHistogram;
  #started = 0;
  #over = 0;
  #talkMs = 0;
  #faults = 0;
  #abandonedLegs = 0;

  constructor(options: MetricsOptions) {
    this.#setup = new DurationHistogram(this.registry, {
      name: 'tandem_call_setup_seconds',
      help: 'From the INVITE to the answer',
      buckets: SETUP_BUCKETS,
    });
    this.#ringing = new DurationHistogram(this.registry, {
      name: 'tandem_call_ringing_seconds',
      help: 'From the INVITE to the first 18x',
      buckets: SETUP_BUCKETS,
    });
    this.#flows = new FlowMetrics(this.registry);
    this.#counters();
    this.#lag.register(this.registry);
    processGauges(this.registry, options);
    sourceGauges(this.registry, { liveCalls: () => this.#started - this.#over, ...options.sources });
  }

  /** Listener for the channel of call events. Costs about a microsecond an event. */
  readonly observe = (event: CallEvent): void => {
    switch (event.type) {
      case 'call_started':
        this.#started++;
        return;
      case 'attempt_ended':
        this.#attempts.add(event.record.result);
        return;
      case 'call_ringing':
        this.#ringing.observe(event.afterMs / 1000);
        return;
      case 'call_answered':
        this.#setup.observe(event.setupMs / 1000);
        return;
      case 'flow_step':
        return this.#flows.observeStep(event.step);
      case 'call_ended': {
        const { direction, outcome, reasonCode, endedBy, talkMs } = event.record;
        this.#over++;
        this.#talkMs += talkMs;
        this.#ended.add(`${direction ?? 'none'} ${outcome} ${reasonCode} ${endedBy}`);
        this.#flows.observeRecord(event.record);
        return;
      }
      case 'call_released':
        this.#abandonedLegs += event.abandonedLegs;
        return;
      case 'call_fault':
        this.#faults++;
        return;
      case 'registration':
        return this.#registrations.add(event.reasonCode ?? event.act);
      default:
        return;
    }
  };

  /** Listener for the alarms of the recorder. */
  readonly observeRecorder = (alarm: RecorderAlarm | SinkAlarm): void => this.#alarms.add(alarm.type);

  /** The page that Prometheus reads. */
  async render(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.registry.contentType, body: await this.registry.metrics() };
  }

  /** Stops what is measured in the background. */
  close(): void {
    this.#lag.close();
    this.registry.clear();
  }

  #counters(): void {
    const count = (name: string, help: string, read: () => number): void => {
      new Counter({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    };
    count('tandem_calls_started_total', 'INVITEs that became calls, refused ones included', () => this.#started);
    count('tandem_call_talk_seconds_total', 'Time between answer and end of all calls', () => this.#talkMs / 1000);
    count('tandem_call_faults_total', 'Exceptions that ended a call: each is a defect', () => this.#faults);
    count('tandem_abandoned_legs_total', 'Legs that did not confirm their end in time', () => this.#abandonedLegs);
    this.#ended.register(this.registry, {
      name: 'tandem_calls_ended_total',
      help: 'Calls that are over, one record each',
      labelNames: ['direction', 'outcome', 'reason', 'ended_by'],
    });
    this.#attempts.register(this.registry, {
      name: 'tandem_attempts_total',
      help: 'Destinations tried',
      labelNames: ['result'],
    });
    this.#registrations.register(this.registry, {
      name: 'tandem_registrations_total',
      help: 'What became of contacts of users: registered, refreshed, removed, expired, flow_closed, or why not',
      labelNames: ['result'],
    });
    this.#alarms.register(this.registry, {
      name: 'tandem_cdr_alarms_total',
      help: 'Troubles with call records',
      labelNames: ['type'],
    });
  }
}

export const createMetrics = (options: MetricsOptions): Metrics => new Metrics(options);
