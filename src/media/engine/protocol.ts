/**
 * What the main thread and a media worker say to each other. Everything here is plain data that structured cloning
 * copies; audio never crosses.
 */
import type { MessagePort } from 'node:worker_threads';
import type {
  EndpointSpec,
  MediaProblem,
  MediaQuality,
  PlayEnd,
  PlaySpec,
  RecordEnd,
  RecordSpec,
  StreamReport,
  StreamSpec,
  StreamStop,
} from '../port.js';

/** Settings of a worker, given when it starts. */
export interface WorkerSettings {
  /** In SDP, and bound. IPv4 or IPv6. */
  readonly address: string;
  /** Bound instead of `address`, where the machine knows itself by another one. */
  readonly bindAddress: string;
  /** Send silence when there is nothing to say: keeps NAT bindings and jitter buffers alive. */
  readonly comfortSilence: boolean;
  /** Networks that a bot's socket may go to although they are not public, as CIDRs; `*`: any. */
  readonly botNetworks: readonly string[];
}

/** Commands that are answered by a `reply` with the same `ref`. */
export type Question =
  | { readonly op: 'open'; readonly id: string; readonly spec: WireSpec; readonly rtpPort: number }
  | { readonly op: 'answerOffer'; readonly id: string; readonly offer: Uint8Array }
  | { readonly op: 'makeOffer'; readonly id: string }
  | { readonly op: 'acceptAnswer'; readonly id: string; readonly answer: Uint8Array }
  | { readonly op: 'quality'; readonly id: string }
  | { readonly op: 'close'; readonly id: string }
  | { readonly op: 'dump' }
  /** Is anybody there? */
  | { readonly op: 'ping' };

/** Commands without a reply; what they start ends in an event. */
export type Order =
  | { readonly op: 'play'; readonly id: string; readonly playId: string; readonly spec: PlaySpec }
  | { readonly op: 'stopPlay'; readonly id: string; readonly playId: string }
  | { readonly op: 'record'; readonly id: string; readonly recordId: string; readonly spec: RecordSpec }
  | { readonly op: 'stopRecord'; readonly id: string; readonly recordId: string }
  | { readonly op: 'startStream'; readonly id: string; readonly streamId: string; readonly spec: StreamSpec }
  | { readonly op: 'stopStream'; readonly id: string; readonly streamId: string; readonly reason: StreamStop }
  | { readonly op: 'sendDtmf'; readonly id: string; readonly digits: string }
  | { readonly op: 'injectDtmf'; readonly id: string; readonly digit: string; readonly durationMs: number }
  | { readonly op: 'bridge'; readonly id: string; readonly otherId: string }
  /** The other endpoint lives on another worker: `port` leads there. */
  | { readonly op: 'bridgeFar'; readonly id: string; readonly port: MessagePort }
  | { readonly op: 'unbridge'; readonly id: string };

export type Command = Order | (Question & { readonly ref: number });

/** An EndpointSpec as it crosses: a Buffer would arrive as a Uint8Array anyway. */
export type WireSpec = Omit<EndpointSpec, 'offer'> & { readonly offer?: Uint8Array | undefined };

export type DescribedReply =
  { readonly ok: true; readonly sdp: Uint8Array } | { readonly ok: false; readonly problem: MediaProblem };

/** `portBusy`: somebody else has the port; another one may do. */
export type OpenReply = DescribedReply | { readonly ok: false; readonly portBusy: true };

export type Reply = OpenReply | MediaQuality | object;

export type EndpointEvent =
  | { readonly on: 'dtmf'; readonly digit: string; readonly durationMs: number; readonly by: 'rfc4733' | 'inband' }
  | { readonly on: 'playEnded'; readonly playId: string; readonly end: PlayEnd; readonly detail: string }
  | { readonly on: 'recordEnded'; readonly recordId: string; readonly end: RecordEnd; readonly durationMs: number }
  | { readonly on: 'streamStarted'; readonly streamId: string }
  | { readonly on: 'streamEnded'; readonly streamId: string; readonly report: StreamReport }
  | { readonly on: 'mediaTimeout' }
  | { readonly on: 'failed'; readonly problem: MediaProblem };

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'reply'; readonly ref: number; readonly reply: Reply }
  | { readonly type: 'event'; readonly id: string; readonly event: EndpointEvent };

/** The main thread's end of a worker. */
export interface WorkerLink {
  post(command: Command, transfer?: readonly MessagePort[]): void;
  /** Ends the worker; `onExit` follows. */
  terminate(): Promise<void>;
}

export interface WorkerSink {
  onMessage(message: FromWorker): void;
  /** Once. */
  onExit(reason: string): void;
}

export type SpawnWorker = (settings: WorkerSettings, sink: WorkerSink) => WorkerLink;

/** The worker's end. */
export interface MainLink {
  post(message: FromWorker): void;
  onCommand(receive: (command: Command) => void): void;
}
