/** Log lines from the events of calls: at `info` one line a call, at its end; `debug` tells each step. */
import type { Logger } from 'pino';
import type { RecorderAlarm } from '../call/record/fileRecorder.js';
import type { SinkAlarm } from '../call/record/sink/drain.js';
import type { CallRecord } from '../call/record/cdr.js';
import type { CallEvent } from '../call/session/events.js';

/** A scanner may knock a thousand times a second; beyond this, its refusals are counted and not told one by one. */
const REFUSALS_PER_SECOND = 20;

type EventOf<T extends CallEvent['type']> = Extract<CallEvent, { readonly type: T }>;

export class CallLog {
  readonly #log: Logger;
  #second = 0;
  #refusals = 0;
  #draining = false;

  constructor(logger: Logger) {
    // The members of these lines are picked one by one and hold no secrets; looking for some would triple the cost.
    this.#log = logger.child({}, { redact: [] });
  }

  /** Listener for the channel of call events. */
  readonly observe = (event: CallEvent): void => {
    switch (event.type) {
      case 'call_ended':
        return this.#ended(event.record, event.atMs);
      case 'call_fault':
        return this.#log.error({ callId: event.callId, where: event.where, err: event.error }, 'fault in a call');
      case 'fraud_alarm': {
        const { callId, alarm, key, untold } = event;
        return this.#log.warn({ callId, alarm, key, untold }, 'a rule against toll fraud was broken');
      }
      case 'signalling':
        if (event.up) return this.#log.info({ detail: event.detail }, 'signalling is up');
        // At the end of a drain that is the plan, and no alarm.
        return this.#log[this.#draining ? 'info' : 'error']({ detail: event.detail }, 'signalling is down');
      case 'registration': {
        const { type: _, atMs: __, ...line } = event;
        return this.#log[event.act === 'refreshed' ? 'debug' : 'info'](line, 'registration');
      }
      case 'drain_started':
        this.#draining = true;
        return this.#log.info({ liveCalls: event.liveCalls, limitMs: event.limitMs }, 'draining');
      case 'call_released':
        if (event.abandonedLegs > 0) this.#abandoned(event);
        return;
      default:
        if (this.#log.isLevelEnabled('debug')) this.#step(event);
    }
  };

  /** Listener for the alarms of the recorder. */
  readonly observeRecorder = (alarm: RecorderAlarm | SinkAlarm): void => {
    if (alarm.type === 'write_recovered') this.#log.info(alarm, 'call records are written again');
    else if (alarm.type === 'partial_line_moved')
      this.#log.warn(alarm, 'a call record cut off by a crash was moved aside');
    else if (alarm.type === 'calls_recovered') this.#log.warn(alarm, 'calls of a process that died have their records');
    else if (alarm.type === 'sink_recovered') this.#log.info(alarm, 'call records are delivered again');
    else this.#log.error(alarm, 'trouble with call records');
  };

  #ended(record: CallRecord, atMs: number): void {
    if (record.outcome === 'rejected' && record.trunkSid === null && this.#suppressed(atMs)) return;
    this.#log.info(
      {
        callId: record.callId,
        trunk: record.trunkSid,
        carrier: record.carrierId,
        direction: record.direction,
        source: record.source,
        from: record.callerE164 ?? record.callerReceived,
        to: record.calledE164 ?? record.calledReceived,
        outcome: record.outcome,
        endedBy: record.endedBy,
        status: record.sipStatus,
        reason: record.reasonCode,
        attempts: record.attempts.length,
        setupMs: Math.round(record.setupMs),
        talkMs: Math.round(record.talkMs),
      },
      'call ended',
    );
  }

  #suppressed(atMs: number): boolean {
    const second = Math.floor(atMs / 1000);
    if (second !== this.#second) {
      const untold = this.#refusals - REFUSALS_PER_SECOND;
      if (untold > 0) this.#log.warn({ untold }, 'more refused calls than are told one by one; all have a record');
      this.#second = second;
      this.#refusals = 0;
    }
    return ++this.#refusals > REFUSALS_PER_SECOND;
  }

  #abandoned(event: EventOf<'call_released'>): void {
    this.#log.warn({ callId: event.callId, legs: event.abandonedLegs }, 'a leg did not confirm its end');
  }

  #step(event: EventOf<'call_started' | 'call_decided' | CallStep>): void {
    const { type, ...rest } = event;
    if (event.type === 'call_answered') {
      const { callId, atMs, setupMs, bLegCallId } = event;
      return this.#log.debug({ callId, atMs, setupMs, bLegCallId }, type);
    }
    if (event.type === 'dial_started' || event.type === 'dial_answered') {
      const { callId, atMs, dialId } = event;
      return this.#log.debug({ callId, atMs, dialId }, type);
    }
    if (event.type !== 'call_decided') return this.#log.debug(rest, type);
    const { accepted, reasonCode, direction, trunkSid, carrierId, revision, destinations } = event.decision;
    const trunk = trunkSid;
    this.#log.debug(
      {
        callId: event.callId,
        accepted,
        reasonCode,
        direction,
        trunk,
        carrierId,
        revision,
        destinations: destinations.length,
      },
      type,
    );
  }
}

type CallStep =
  | 'attempt_started'
  | 'attempt_ended'
  | 'call_ringing'
  | 'call_answered'
  | 'call_transfer'
  | 'flow_step'
  | 'dial_started'
  | 'dial_answered'
  | 'dial_ended';
