/** What a flow has running: started by an effect, over with an event or a stop effect. One table knows the pairs. */
import type { FlowEffect } from './effects.js';
import type { FlowEvent } from './events.js';

export type ActivityKind =
  'play' | 'gather' | 'record' | 'stream' | 'fetch' | 'dial' | 'transfer' | 'refer' | 'timer' | 'answer';

export interface Activity {
  readonly kind: ActivityKind;
  readonly id: string;
  /** Node that started it; empty for the flow's own. */
  readonly nodeId: string;
  /** Outlives its node. */
  readonly background: boolean;
  /** Streams: for the report that webhooks get. */
  readonly url?: string;
}

/** Id of the one `answer` of a call. */
export const ANSWER_ID = 'answer';

/** What an effect starts; undefined for effects that start nothing. */
export function startedBy(effect: FlowEffect, nodeId: string): Activity | undefined {
  const of = (kind: ActivityKind, id: string): Activity => ({ kind, id, nodeId, background: false });
  switch (effect.type) {
    case 'answer':
      return { ...of('answer', ANSWER_ID), background: true };
    case 'play':
      return of('play', effect.playId);
    case 'startGather':
      return of('gather', effect.gatherId);
    case 'startRecord':
      return { ...of('record', effect.recordId), background: effect.background };
    case 'startStream':
      return { ...of('stream', effect.streamId), background: effect.background, url: effect.url };
    case 'fetch':
      return effect.detached ? undefined : of('fetch', effect.fetchId);
    case 'dial':
      return of('dial', effect.dialId);
    case 'transfer':
      return of('transfer', effect.transferId);
    case 'refer':
      return of('refer', effect.referId);
    case 'setTimer':
      return of('timer', effect.timerId);
    default:
      return undefined;
  }
}

/** What an effect stops. */
export function stoppedBy(effect: FlowEffect): readonly [ActivityKind, string] | undefined {
  switch (effect.type) {
    case 'stopPlay':
      return ['play', effect.playId];
    case 'stopGather':
      return ['gather', effect.gatherId];
    case 'cancelFetch':
      return ['fetch', effect.fetchId];
    case 'cancelTimer':
      return ['timer', effect.timerId];
    default:
      // Dials, streams and recordings have an end worth hearing of: their event ends them.
      return undefined;
  }
}

/** What an event ends or concerns: events for what does not run are not for the flow. */
export function concernedBy(
  event: FlowEvent,
): { readonly kind: ActivityKind; readonly id: string; readonly ends: boolean } | undefined {
  switch (event.type) {
    case 'answered':
    case 'answerFailed':
      return { kind: 'answer', id: ANSWER_ID, ends: true };
    case 'playEnded':
      return { kind: 'play', id: event.playId, ends: true };
    case 'recordEnded':
      return { kind: 'record', id: event.recordId, ends: true };
    case 'streamStarted':
      return { kind: 'stream', id: event.streamId, ends: false };
    case 'streamEnded':
      return { kind: 'stream', id: event.streamId, ends: true };
    case 'fetched':
    case 'fetchFailed':
      return { kind: 'fetch', id: event.fetchId, ends: true };
    case 'dialProgress':
    case 'dialAnswered':
    case 'dialTransferred':
      return { kind: 'dial', id: event.dialId, ends: false };
    case 'dialEnded':
      return { kind: 'dial', id: event.dialId, ends: true };
    case 'flowLoaded':
      return { kind: 'transfer', id: event.transferId, ends: true };
    case 'referEnded':
      return { kind: 'refer', id: event.referId, ends: true };
    case 'timer':
      return { kind: 'timer', id: event.timerId, ends: true };
    default:
      return undefined;
  }
}

/** Q.850 cause of dials that the flow ends of its own accord. */
const NORMAL_CLEARING = 16;

/** The effect that stops an activity; undefined where only its event ends it. */
export function stopOf(activity: Activity): FlowEffect | undefined {
  const { id } = activity;
  switch (activity.kind) {
    case 'play':
      return { type: 'stopPlay', playId: id };
    case 'gather':
      return { type: 'stopGather', gatherId: id };
    case 'record':
      return { type: 'stopRecord', recordId: id };
    case 'stream':
      return { type: 'stopStream', streamId: id };
    case 'fetch':
      return { type: 'cancelFetch', fetchId: id };
    case 'dial':
      return { type: 'hangUpDial', dialId: id, cause: NORMAL_CLEARING };
    case 'timer':
      return { type: 'cancelTimer', timerId: id };
    default:
      return undefined;
  }
}
