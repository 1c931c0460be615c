export type * from './port.js';
export { type DirectSignalOptions, type EngineNeighbour, createDirectSignal } from './direct/adapter.js';
export type { SourceGate } from './direct/gate.js';
export { type SrfSignalOptions, createSrfSignal } from './srf/srfSignal.js';
export { SrfAgent, type SrfAgentOptions, type SrfAgentPlace } from './srf/srfAgent.js';
export { DigestServer } from '../sip/index.js';
export {
  type NameAddr,
  DigestClient,
  equalUri,
  param,
  parseNameAddr,
  parseUri,
  splitList,
  uriParam,
} from '../sip/index.js';
export { answerChallenge, hostOfUri } from './challenge.js';
