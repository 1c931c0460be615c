import { type DestinationStream, type Level, type Logger, pino } from 'pino';
import { secretPaths } from './mask.js';

export interface LoggerOptions {
  readonly level: Level | 'silent';
  readonly nodeId: string;
  /** Where lines go; default: standard output, written without waiting. */
  readonly destination?: DestinationStream | undefined;
}

export interface LogSink {
  readonly logger: Logger;
  /** Writes what is still buffered, waiting for it: at the end of the process. */
  flush(): void;
}

/** Lines are written together, so that a busy node does not go to another thread and back for each. */
const GATHER_BYTES = 8_192;
/** Longest time that a line waits for others. */
const GATHER_MS = 200;

/** Lines of JSON. Members with secret names are blanked, however they got there. */
export const createLogger = (options: LoggerOptions): LogSink => {
  const own =
    options.destination === undefined
      ? pino.destination({ dest: 1, sync: false, minLength: GATHER_BYTES, periodicFlush: GATHER_MS })
      : undefined;
  const logger = pino(
    {
      level: options.level,
      base: { node: options.nodeId },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...secretPaths], censor: '***' },
    },
    own ?? (options.destination as DestinationStream),
  );
  return {
    logger,
    flush: () => {
      try {
        own?.flushSync();
      } catch {
        // Standard output is closed or was never opened: there is nobody left to tell.
      }
    },
  };
};

export interface CallContext {
  readonly callId: string;
  readonly leg?: 'a' | 'b' | undefined;
  readonly trunk?: string | undefined;
}

/** A logger whose lines all carry the call they belong to. */
export const callLogger = (logger: Logger, context: CallContext): Logger => logger.child({ ...context });
