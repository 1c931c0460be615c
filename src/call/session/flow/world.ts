/** What flows need from outside, and whom they tell. */
import type { Result } from '../../../kernel/index.js';
import type { MediaPort, MediaQuality, StreamReport } from '../../../media/port.js';
import type { InDialogRequest, IncomingLeg } from '../../../signal/port.js';
import type { Attempt } from '../../bridge/attempt.js';
import type { CallEnding } from '../../bridge/ending.js';
import type { HuntObserver, HuntPlan } from '../../bridge/hunt.js';
import type { BridgeWorld } from '../../bridge/world.js';
import type { FlowDocument } from '../../flow/document.js';
import type { TraceStep } from '../../flow/trace.js';
import type { FlowRecord } from '../../record/flowRecord.js';
import type { Decision } from '../../routing/decision.js';
import type { CallRequest } from '../../routing/decision.js';
import type { MediaSettings } from '../../routing/resources.js';
import type { DialWish } from '../../routing/decideDial.js';

export interface HttpAsk {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Appended to the URL's own query, percent-encoded. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** From the beginning to the end of the body. */
  readonly timeoutMs: number;
  /** A longer body is cut, or, for `whole`, a failure. */
  readonly maxBytes: number;
  readonly whole?: boolean | undefined;
}

export type HttpAnswer =
  | { readonly ok: true; readonly status: number; readonly body: Buffer }
  | { readonly ok: false; readonly reason: string };

/** Asks web servers, guarded against internal addresses; redirections are answers. `src/net` has the real one. */
export interface HttpPort {
  /** Answers once, never within the call, and not at all after `cancel`. */
  fetch(ask: HttpAsk, done: (answer: HttpAnswer) => void): { cancel(): void };
}

/** Text to speech: a WAV file, or why there is none. */
export interface SpeechPort {
  speak(text: string, voice: string | undefined): Promise<Result<Buffer, string>>;
}

export interface FlowSettings {
  /** Where `file` sources live; nothing outside can be played. */
  readonly soundsPath: string;
  readonly recordingsPath: string;
  /** URL of that folder; recordings are named by their path where it is absent. */
  readonly recordingsUrl: string | undefined;
  /** Nothing heard from a caller for this long ends what runs in its media; 0: never. */
  readonly mediaTimeoutMs: number;
}

/** What only flow calls need of a node. */
export interface FlowPlane {
  readonly media: MediaPort;
  readonly http: HttpPort;
  readonly speech: SpeechPort;
  readonly settings: FlowSettings;
}

/** For a dial whose media are direct the plane is of no use. */
export interface DialWorld extends BridgeWorld {
  readonly plane?: FlowPlane | undefined;
}

export interface FlowWorld extends BridgeWorld {
  readonly plane: FlowPlane;
}

/** A dial's decision and the limits that it took; `release` gives them back, once. */
export interface AdmittedDial extends HuntPlan {
  /** Of the trunk or carrier that is called. */
  readonly media: MediaSettings;
  release(): void;
}

/** The routing table that a flow call is pinned to, as far as flows ask it. */
export interface PinnedFlows {
  readonly flow: FlowDocument;
  /** Of the trunk or carrier that the call comes from. */
  readonly media: MediaSettings;
  find(flowId: string): FlowDocument | undefined;
  dial(wish: DialWish): AdmittedDial;
}

/** One call as its flow gets it. */
export interface FlowCallStart {
  readonly callId: string;
  readonly aLeg: IncomingLeg;
  readonly request: CallRequest;
  readonly decision: Decision;
  readonly flows: PinnedFlows;
}

/** What the record says of a call that a flow answered. */
export interface FlowAccount {
  readonly flow: FlowRecord;
  readonly media: { readonly a: MediaQuality | null; readonly b: MediaQuality | null };
  readonly streams: readonly StreamReport[];
}

/** Who keeps the books; `onEnding`, `onOver`, `onReleased` once each and in this order. */
export interface FlowObserver extends HuntObserver {
  onRinging(status: number, earlyMedia: boolean): void;
  /** The caller's leg is up; `attempt`: with the media of this callee. */
  onAnswered(attempt?: Attempt): void;
  onStep(step: TraceStep): void;
  /** The flow calls somebody, and may. */
  onDialStarted(dialId: string, decision: Decision): void;
  /** The callee's leg is up, and costs from here on, whether or not its audio can be joined with the caller's. */
  onDialAnswered(dialId: string, attempt: Attempt): void;
  onDialEnded(dialId: string): void;
  /** The call is over for its caller: its time is up, its limits are free. What is left is accounting. */
  onEnding(): void;
  /** A REFER from an end of a talk with a callee; whoever keeps the books answers it. */
  onRefer(side: 'a' | 'b', request: InDialogRequest): void;
  onOver(ending: CallEnding, account: FlowAccount): void;
  onReleased(abandonedLegs: number): void;
  onFault(where: string, error: unknown): void;
}
