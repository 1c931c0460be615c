/**
 * What a flow wants done, as data. The call session performs effects in their order on the media and signal ports and
 * answers with events (`events.ts`). Ids are unique within a call and are chosen here; the session maps them to its own.
 *
 * What is started is ended exactly once: by its own end event, or by the stop effect of the same id, after which the
 * session may still report the end (it is ignored). Stop effects for what has ended already are harmless.
 */
import type { TraceStep } from './trace.js';

/** What to play. The session turns URLs into audio (guarded against internal addresses) and texts into speech. */
export type FlowSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'tone'; readonly frequenciesHz: readonly number[]; readonly durationMs: number }
  | { readonly kind: 'silence'; readonly durationMs: number }
  | { readonly kind: 'text'; readonly text: string; readonly voice?: string | undefined };

/** The party that an effect concerns: the caller, or the callee of a dial. */
export type Party = 'caller' | { readonly dialId: string };

export type DialTarget =
  /** The trunk's destination URIs, in its order, with its failover. */
  | { readonly kind: 'trunk'; readonly trunkSid: string }
  /** Through a carrier, by the routing table. */
  | { readonly kind: 'number'; readonly number: string }
  | { readonly kind: 'uri'; readonly uri: string };

export interface StreamEffect {
  readonly type: 'startStream';
  readonly streamId: string;
  /** ws, wss, or an http(s) URL that answers with one. May carry credentials: not for logs. */
  readonly url: string;
  readonly dialect: 'exotel' | 'twilio' | 'plivo' | 'jambonz';
  readonly direction: 'bidirectional' | 'fork';
  readonly sampleRate: 8000 | 16_000 | 24_000;
  readonly encoding: 'l16' | 'mulaw';
  readonly frameMs: number | undefined;
  readonly maxMs: number;
  readonly customParameters: { readonly [name: string]: string };
  /** Goes on while later nodes run. */
  readonly background: boolean;
}

export interface RecordEffect {
  readonly type: 'startRecord';
  readonly recordId: string;
  /** Stereo: the caller left, what the caller hears right. */
  readonly channels: 'mono' | 'stereo';
  readonly maxMs: number | undefined;
  readonly silenceMs: number | undefined;
  readonly background: boolean;
}

/** One attempt to reach one target; serial and parallel ringing are made of these. */
export interface DialEffect {
  readonly type: 'dial';
  readonly dialId: string;
  readonly target: DialTarget;
  /** Number to show; undefined: by the routing table's caller-ID policy. */
  readonly callerId: string | undefined;
  /**
   * `direct`: the caller's own offer goes to the target, and its answer comes back by `answer {dialId}`: no media
   * endpoint is opened. Only while the caller is not answered. `anchored`: the media plane's offer.
   */
  readonly media: 'direct' | 'anchored';
}

export interface FetchEffect {
  readonly type: 'fetch';
  readonly fetchId: string;
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** To be appended to the URL's own query, percent-encoded, in this order. */
  readonly query: readonly (readonly [name: string, value: string])[];
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly timeoutMs: number;
  /** More of the body is not read. Redirections are never followed: their status is an answer. */
  readonly maxBytes: number;
  /** Nobody waits: to be finished even when the call is over. No event. */
  readonly detached: boolean;
}

export type FlowEffect =
  /**
   * 200 to the caller, with a media endpoint; with `dialId`, with the answer of that callee (direct media). Answered by
   * `answered` or `answerFailed`. Emitted at most once per call.
   */
  | { readonly type: 'answer'; readonly dialId: string | undefined }
  /**
   * 183 to a caller who is not answered, with a media endpoint: what plays is heard before the answer, and what the
   * caller says may not be. Answered by `earlyMedia`.
   */
  | { readonly type: 'earlyMedia' }
  /**
   * Provisional response to the caller who is not answered; the dial's SDP goes with it when its media is direct. With
   * 183 of an anchored dial, the callee's early media are bridged to the caller.
   */
  | { readonly type: 'progress'; readonly status: number; readonly dialId: string }
  /** Replaces what plays to this party. `repeat` 0: until stopped. */
  | {
      readonly type: 'play';
      readonly playId: string;
      readonly to: Party;
      readonly sources: readonly FlowSource[];
      readonly repeat: number;
    }
  | { readonly type: 'stopPlay'; readonly playId: string }
  /** Digits are wanted: in-band detection may be switched on. Digits come as events without it, too. */
  | { readonly type: 'startGather'; readonly gatherId: string }
  | { readonly type: 'stopGather'; readonly gatherId: string }
  | RecordEffect
  | { readonly type: 'stopRecord'; readonly recordId: string }
  | StreamEffect
  | { readonly type: 'stopStream'; readonly streamId: string }
  /** A key that came by SIP INFO, for the bot at the other end of a stream. */
  | { readonly type: 'streamDtmf'; readonly streamId: string; readonly digit: string; readonly durationMs: number }
  | FetchEffect
  | { readonly type: 'cancelFetch'; readonly fetchId: string }
  | DialEffect
  /** CANCEL, or BYE when it has answered: also when the answer crosses this. */
  | { readonly type: 'hangUpDial'; readonly dialId: string; readonly cause: number }
  /** Joins the audio of caller and callee in the media plane. */
  | { readonly type: 'bridgeMedia'; readonly dialId: string }
  /**
   * Follows `bridgeMedia`: re-INVITEs that let the media flow directly between the ends. Where an end refuses, the
   * media stay bridged; the flow does not need to know.
   */
  | { readonly type: 'releaseMedia'; readonly dialId: string }
  /** Asks for another published flow, of the revision that the call is pinned to. Answered by `flowLoaded`. */
  | { readonly type: 'transfer'; readonly transferId: string; readonly flowId: string }
  /** REFER (RFC 3515) to the caller. Answered by `referEnded` once it is known how it went. */
  | { readonly type: 'refer'; readonly referId: string; readonly uri: string }
  | { readonly type: 'sendDtmf'; readonly to: Party; readonly digits: string }
  /** Final answer to a caller who has none. The flow is over. */
  | { readonly type: 'reject'; readonly status: number; readonly cause: number; readonly reasonCode: string }
  /** BYE to the caller. The flow is over. */
  | { readonly type: 'hangup'; readonly cause: number; readonly reasonCode: string }
  /** Restarts the timer when it runs. Answered by `timer`. */
  | { readonly type: 'setTimer'; readonly timerId: string; readonly ms: number }
  | { readonly type: 'cancelTimer'; readonly timerId: string }
  | { readonly type: 'trace'; readonly step: TraceStep };
