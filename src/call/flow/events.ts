/** What happens to a call, as its flow is told. Every event is data; ids are those of the effects (`effects.ts`). */
import type { FlowDocument } from './document.js';

/** How a stream to a bot ended. The media port's report fits. */
export interface FlowStreamReport {
  readonly streamSid: string;
  readonly disconnectedBy: 'bot' | 'user' | 'NA';
  readonly status: 'completed' | 'failed' | 'rejected';
  readonly detail: string;
  readonly durationMs: number;
}

/** How a dial ended. `completed`: it was answered, and one of its sides hung up. */
export type DialOutcome = 'completed' | 'busy' | 'no_answer' | 'failed' | 'cancelled';

export type FlowEvent =
  /** The call is there; first, and once. */
  | { readonly type: 'started' }
  | { readonly type: 'answered' }
  | { readonly type: 'answerFailed'; readonly detail: string }
  /** `open` false: this caller cannot have early media. */
  | { readonly type: 'earlyMedia'; readonly open: boolean }
  | {
      readonly type: 'playEnded';
      readonly playId: string;
      readonly end: 'finished' | 'stopped' | 'failed';
      readonly detail: string;
      /** Reason code of a failure that is more than `play_failed`. */
      readonly code?: string | undefined;
    }
  /** A key that the caller pressed, whichever way it came. */
  | {
      readonly type: 'digit';
      readonly digit: string;
      readonly durationMs: number;
      readonly by: 'rfc4733' | 'inband' | 'info';
    }
  /** The same by SIP INFO: also handed to the caller's bots. One key that comes by two ways at once is one. */
  | { readonly type: 'callerDtmfInfo'; readonly digit: string; readonly durationMs: number }
  | {
      readonly type: 'recordEnded';
      readonly recordId: string;
      readonly end: 'stopped' | 'max_duration' | 'silence' | 'failed';
      readonly durationMs: number;
      /** Where the recording can be had. */
      readonly url: string;
    }
  | { readonly type: 'streamStarted'; readonly streamId: string; readonly streamSid: string }
  | { readonly type: 'streamEnded'; readonly streamId: string; readonly report: FlowStreamReport }
  | { readonly type: 'fetched'; readonly fetchId: string; readonly status: number; readonly body: string }
  | { readonly type: 'fetchFailed'; readonly fetchId: string; readonly reason: string }
  | {
      readonly type: 'dialProgress';
      readonly dialId: string;
      readonly status: number;
      /** The callee's side is to be heard already. */
      readonly early?: boolean;
    }
  | { readonly type: 'dialAnswered'; readonly dialId: string }
  /** Exactly one per dial. `sipStatus` 0 where none came. */
  | {
      readonly type: 'dialEnded';
      readonly dialId: string;
      readonly outcome: DialOutcome;
      readonly sipStatus: number;
    }
  /** A transfer: somebody else has the place of the caller or of the callee. The dial goes on. */
  | { readonly type: 'dialTransferred'; readonly dialId: string; readonly target: string }
  /** The flow asked for by `transfer`, published and checked; undefined when there is none. */
  | { readonly type: 'flowLoaded'; readonly transferId: string; readonly flow: FlowDocument | undefined }
  /** `accepted`: the caller's side has reached the new target, or keeps to itself how that goes. */
  | { readonly type: 'referEnded'; readonly referId: string; readonly accepted: boolean; readonly sipStatus: number }
  | { readonly type: 'timer'; readonly timerId: string }
  /** The media of the caller's leg failed or fell silent: what ran in it is over. A later effect may open it anew. */
  | { readonly type: 'mediaFailed'; readonly detail: string }
  | { readonly type: 'callerHungUp' };
