export { Budget } from './budget.js';
export { type Clock, type Timer, ManualClock, SystemClock } from './clock.js';
export { bracketHost, hostPort } from './hostText.js';
export { BeatGrid, type Metronome, SystemMetronome } from './metronome.js';
export { type Random, SeededRandom, SystemRandom } from './random.js';
export { type Result, err, ok } from './result.js';
export { TandemError, type TandemErrorOptions } from './errors.js';
export { EventChannel } from './events.js';
export { type LoadProbe, SystemLoadProbe } from './loadProbe.js';
