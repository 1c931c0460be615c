export type {
  Codec,
  Described,
  EndpointEvents,
  EndpointSpec,
  Law,
  MediaEndpoint,
  MediaPort,
  MediaProblem,
  MediaProblemCode,
  MediaQuality,
  PlayEnd,
  PlaySource,
  PlaySpec,
  RecordEnd,
  RecordSpec,
  StreamDialect,
  StreamReport,
  StreamSpec,
} from './port.js';
export { EmbeddedMedia, type EmbeddedMediaDeps, type EmbeddedMediaOptions } from './engine/embedded.js';
export { MediaWorker, type MediaWorkerDeps } from './engine/mediaWorker.js';
export { spawnThread, threadMain } from './engine/thread.js';
export type { BindRtpPair, RtpSink, RtpSocketPair } from './engine/sockets.js';
export {
  FreeswitchMedia,
  type FreeswitchMediaDeps,
  type FreeswitchMediaOptions,
} from './freeswitch/freeswitchMedia.js';
export type { SrfDialer } from './freeswitch/fsmrf.js';
export type { MediaServerPlace } from './freeswitch/serverLink.js';
