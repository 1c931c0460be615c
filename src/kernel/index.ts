export { Budget } from './budget.js';
export { type Clock, type Timer, ManualClock, SystemClock, atEndOfTurn } from './clock.js';
export { bracketHost, hostPort } from './hostText.js';
export { BeatGrid, type Metronome, SystemMetronome } from './metronome.js';
export { type Random, SeededRandom, SystemRandom } from './random.js';
export { type Result, err, ok } from './result.js';
export { TandemError, type TandemErrorOptions } from './errors.js';
export { EventChannel } from './events.js';
export { type LoadProbe, SystemLoadProbe } from './loadProbe.js';
export { type SchemaOptions, type Static, type TObject, type TOptional, type TSchema, Type } from './schema.js';
export type {
  DatagramSink,
  DatagramSocket,
  NameResolver,
  NamingRecord,
  Network,
  RecordsOutcome,
  ResolveOutcome,
  ServiceRecord,
  SocketAddress,
  StreamConnection,
  StreamDial,
  StreamListener,
  StreamProtocol,
  StreamSink,
} from './networkPorts.js';
export { type MayConnect, numericHostRefused, permittedLookup } from './permittedAddress.js';
export { NOT_LISTED, Roster, type RosterMember } from './roster.js';
export { Scratch } from './scratch.js';
export { SlotMap } from './slotMap.js';
export { type SchemaCheck, type SchemaError, hearOfSchemas, schemaChecks } from './schemaCheck.js';
