export { type Admin, createAdmin } from './server.js';
export type { AdminDeps, LiveCallView, NodeState, ProbeResult } from './deps.js';
export { keyChecker } from './access.js';
export type { Principal, Scope } from './principal.js';
