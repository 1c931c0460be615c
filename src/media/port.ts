/**
 * The application's only door to audio. The embedded engine serves it on worker threads, FreeSWITCH through
 * drachtio-fsmrf; one contract suite passes on both.
 *
 * Rules: nothing throws; every command that starts something ends in exactly one event; `close` ends everything that
 * an endpoint does, tells of it before its promise resolves, and no event follows that. Audio never crosses this
 * door: only commands and events do.
 */

export type Law = 'PCMU' | 'PCMA';
/** `L16`: linear, at 16 kHz where the peer can, else at 8 kHz. An engine passes over codecs that it does not speak. */
export type Codec = Law | 'L16' | 'opus';

export interface EndpointSpec {
  /** For logs and records. */
  readonly callId: string;
  readonly leg: 'a' | 'b';
  /** The peer's offer; absent: we make the offer (late offer, or a leg that we call). */
  readonly offer?: Buffer | undefined;
  /** In order of preference; nothing else is spoken. Default: the laws, in the peer's order. */
  readonly codecs?: readonly Codec[] | undefined;
  /** 2833 payload type and so on follow the offer; this is what we offer ourselves. Default 101. */
  readonly dtmfPayloadType?: number | undefined;
  readonly ptimeMs?: number | undefined;
  /** RFC 4568. `mandatory`: refuse a peer without it. */
  readonly srtp?: 'off' | 'optional' | 'mandatory' | undefined;
  /** The peer is behind NAT: send to where its first valid packet came from, once (threat S14). */
  readonly nat?: boolean | undefined;
  /**
   * With `nat`: where the peer's signalling comes from. Only these addresses, and that of its SDP, can be learned.
   * Default: any.
   */
  readonly peerAddresses?: readonly string[] | undefined;
  /** Nothing received for this long is reported. */
  readonly mediaTimeoutMs?: number | undefined;
}

export type MediaProblemCode =
  'sdp_invalid' | 'no_common_codec' | 'srtp_required' | 'srtp_not_supported' | 'no_port_free' | 'engine_down';

export interface MediaProblem {
  readonly code: MediaProblemCode;
  readonly message: string;
  /** SIP status that fits: 400, 488, 503. */
  readonly sipStatus: number;
}

export type PlaySource =
  | { readonly kind: 'file'; readonly path: string }
  /** http(s) URL of a WAV file, fetched by the application's guard against internal addresses. */
  | { readonly kind: 'audio'; readonly wav: Buffer }
  | { readonly kind: 'tone'; readonly frequenciesHz: readonly number[]; readonly durationMs: number }
  | { readonly kind: 'silence'; readonly durationMs: number };

export interface PlaySpec {
  readonly sources: readonly PlaySource[];
  /** Times over; 0: until stopped. Default 1. */
  readonly repeat?: number | undefined;
}

export type PlayEnd = 'finished' | 'stopped' | 'failed';

export interface RecordSpec {
  /** WAV file to write, in a folder that exists: mono mix, or stereo with the peer left and what it hears right. */
  readonly path: string;
  readonly channels: 'mono' | 'stereo';
  readonly maxMs?: number | undefined;
  /** Ends after this much silence of the peer. */
  readonly silenceMs?: number | undefined;
}

export type RecordEnd = 'stopped' | 'max_duration' | 'silence' | 'failed';

export type StreamDialect = 'exotel' | 'twilio' | 'plivo' | 'jambonz';

export interface StreamSpec {
  /** ws, wss, or an http(s) URL that answers with one (Exotel). Credentials in it become Basic auth. */
  readonly url: string;
  readonly dialect: StreamDialect;
  /** `fork`: what the peer says goes to the URL and nothing comes back. */
  readonly direction: 'bidirectional' | 'fork';
  readonly sampleRate: 8000 | 16_000 | 24_000;
  readonly encoding: 'l16' | 'mulaw';
  readonly accountSid: string;
  readonly callSid: string;
  readonly streamSid: string;
  readonly from: string;
  readonly to: string;
  readonly customParameters: { readonly [name: string]: string };
  /** Length of the audio in one message to the bot. Default by dialect (Exotel 100 ms, others 20 ms). */
  readonly frameMs?: number | undefined;
  readonly maxMs?: number | undefined;
}

/** What a bot is told: the application ended its stream, or the call is over. */
export type StreamStop = 'stopped' | 'callended';

export interface StreamReport {
  readonly streamSid: string;
  readonly disconnectedBy: 'bot' | 'user' | 'NA';
  readonly status: 'completed' | 'failed' | 'rejected';
  readonly detail: string;
  readonly durationMs: number;
  readonly framesSent: number;
  readonly framesReceived: number;
}

/** What a leg's audio was like; for the call record. */
export interface MediaQuality {
  readonly packetsReceived: number;
  readonly packetsSent: number;
  readonly packetsLost: number;
  readonly packetsLate: number;
  readonly packetsRejected: number;
  readonly jitterMs: number;
  readonly roundTripMs: number | null;
  /** 1-5, ITU-T G.107 estimate. */
  readonly mos: number;
  readonly codec: string;
}

export interface EndpointEvents {
  /** One per key press, whichever way it came. */
  onDtmf(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void;
  onPlayEnded(playId: string, end: PlayEnd, detail: string): void;
  onRecordEnded(recordId: string, end: RecordEnd, durationMs: number): void;
  /** The bot's side is open and knows the call. */
  onStreamStarted(streamId: string): void;
  /** Exactly one per `startStream`. */
  onStreamEnded(streamId: string, report: StreamReport): void;
  onMediaTimeout(): void;
  /** The engine under it failed: nothing more can be done with this endpoint but close it. */
  onFailed(problem: MediaProblem): void;
}

export type Described =
  { readonly ok: true; readonly sdp: Buffer } | { readonly ok: false; readonly problem: MediaProblem };

export interface MediaEndpoint {
  readonly id: string;
  /** Our answer to the peer's new offer (hold, resume, codec change). */
  answerOffer(offer: Buffer): Promise<Described>;
  /** Our (new) offer. */
  makeOffer(): Promise<Described>;
  /** The peer's answer to our offer. One that came early, in a provisional response, may be followed by another. */
  acceptAnswer(answer: Buffer): Promise<Described>;
  /** Replaces what is playing. @returns its id */
  play(spec: PlaySpec): string;
  stopPlay(playId: string): void;
  record(spec: RecordSpec): string;
  stopRecord(recordId: string): void;
  startStream(spec: StreamSpec): string;
  /** Closes the bot's socket after its `stop` message. */
  stopStream(streamId: string, reason: StreamStop): void;
  sendDtmf(digits: string): void;
  /** Tells a stream of a key that came by SIP INFO, as if it had come in the audio. */
  injectDtmf(digit: string, durationMs: number): void;
  /** Joins the audio of two endpoints of this engine, transcoding where the laws differ. */
  bridge(other: MediaEndpoint): void;
  unbridge(): void;
  quality(): Promise<MediaQuality>;
  close(): Promise<MediaQuality>;
}

export interface MediaPort {
  start(): Promise<void>;
  /** Resolves to the endpoint and its SDP: the answer to `spec.offer`, or an offer. */
  open(
    spec: EndpointSpec,
    events: EndpointEvents,
  ): Promise<
    | { readonly ok: true; readonly endpoint: MediaEndpoint; readonly sdp: Buffer }
    | { readonly ok: false; readonly problem: MediaProblem }
  >;
  dump(): Promise<object>;
  stop(): Promise<void>;
}
