import type { Target } from '../target.js';
import { apiTarget } from './api.js';
import { digestTarget } from './digest.js';
import { engineTarget } from './engine.js';
import { flowTarget } from './flow.js';
import { framesTarget } from './frames.js';
import { messageTarget } from './message.js';
import { sdpTarget } from './sdp.js';
import { uriTarget } from './uri.js';
import { wsTarget } from './ws.js';

export const TARGETS: readonly Target[] = [
  messageTarget,
  uriTarget,
  sdpTarget,
  framesTarget,
  digestTarget,
  wsTarget,
  flowTarget,
  engineTarget,
  apiTarget,
];
