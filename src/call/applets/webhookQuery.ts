/** What webhooks are told of a call, in Exotel's words. */
import type { NodeRun } from '../flow/applet.js';
import { withoutCredentials } from '../flow/trace.js';
import { dateTimeText, longDateText, wallTimeIn } from './wallTime.js';

export type Query = readonly (readonly [name: string, value: string])[];

/** A time that means none, as Exotel's callers have always got it. */
const NO_END_TIME = '1970-01-01 05:30:00';

const callType = (run: NodeRun): string => {
  const { dial, voicemail } = run.history;
  if (voicemail === true) return 'voicemail';
  if (dial !== undefined && dial.outcome === 'answered') return 'completed';
  if (run.hungUp) return 'client-hangup';
  return dial === undefined ? 'call-attempt' : 'incomplete';
};

const seconds = (durationMs: number): string => String(Math.round(durationMs / 1000));

/** @param zone IANA time zone of the times */
export function webhookQuery(run: NodeRun, zone: string): Query {
  const { call, history } = run;
  const begun = wallTimeIn(zone, call.startedWallMs);
  const query: (readonly [string, string])[] = [
    ['CallSid', call.sid],
    ['CallFrom', call.from],
    ['CallTo', call.to],
    ['From', call.from],
    ['To', call.to],
    ['Direction', call.direction === 'inbound' ? 'incoming' : 'outbound-dial'],
    ['Created', longDateText(begun)],
    ['DialCallDuration', seconds(history.dial?.durationMs ?? 0)],
    ['StartTime', dateTimeText(begun)],
    ['EndTime', NO_END_TIME],
    ['CallType', callType(run)],
    ['DialWhomNumber', history.dial?.whom ?? ''],
    ['flow_id', run.flowId],
    ['tenant_id', call.accountSid],
  ];
  if (history.digits !== undefined) query.push(['digits', `"${history.digits}"`]);
  if (history.recordingUrl !== undefined) query.push(['RecordingUrl', history.recordingUrl]);
  return query;
}

/** The last stream's report; nothing where there was no stream. */
export function streamQuery(run: NodeRun, form: 'fields' | 'json'): Query {
  const { stream, recordingUrl } = run.history;
  if (stream === undefined) return [];
  const completed = stream.status === 'completed';
  const report = {
    StreamSID: stream.streamSid,
    Status: stream.status,
    Duration: seconds(stream.durationMs),
    StreamUrl: withoutCredentials(stream.url),
    RecordingUrl: recordingUrl ?? '',
    DisconnectedBy: stream.disconnectedBy,
    DetailedStatus: stream.detail,
    Error: completed ? '' : stream.detail,
  };
  if (form === 'json') return [['Stream', JSON.stringify(report)]];
  return Object.entries(report).map(([name, value]) => [`Stream[${name}]`, value]);
}
