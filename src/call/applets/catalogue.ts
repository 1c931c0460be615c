/** The applets that flows are made of. */
import type { Result } from '../../kernel/index.js';
import type { Applet, AppletSet } from '../flow/applet.js';
import { type CheckedFlow, type FlowProblem, validateFlow } from '../flow/graph.js';
import { connect } from './connect.js';
import { gather } from './gather.js';
import { greeting } from './greeting.js';
import { hangup } from './hangup.js';
import { menu } from './menu.js';
import { passthru } from './passthru.js';
import { record } from './record.js';
import { reject } from './reject.js';
import { stream } from './stream.js';
import { switchcase } from './switchcase.js';
import { timing } from './timing.js';
import { transfer } from './transfer.js';
import { voicebot } from './voicebot.js';

const ALL: readonly Applet[] = [
  connect,
  gather,
  greeting,
  hangup,
  menu,
  passthru,
  record,
  reject,
  stream,
  switchcase,
  timing,
  transfer,
  voicebot,
];

export const APPLETS: AppletSet = new Map(ALL.map((applet) => [applet.name, applet]));

/** Checks a flow against the applets of this program. Defaults are filled in in place. */
export const checkFlow = (data: unknown): Result<CheckedFlow, FlowProblem[]> => validateFlow(data, APPLETS);
