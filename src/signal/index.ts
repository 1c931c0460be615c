export type * from './port.js';
export { type DirectSignalOptions, createDirectSignal } from './direct/adapter.js';
