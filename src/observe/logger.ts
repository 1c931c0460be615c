import { type DestinationStream, type Level, type Logger, pino } from 'pino';
import { isoTime } from '../call/record/isoTime.js';
import { SystemClock } from '../kernel/index.js';
import { GatheredLines } from './gatheredLines.js';
import { secretPaths } from './mask.js';

export interface LoggerOptions {
  readonly level: Level | 'silent';
  readonly nodeId: string;
  /** Where lines go, one at a time; default: `fd`. */
  readonly destination?: DestinationStream | undefined;
  /** Written without waiting, several lines at a time; default: standard output. */
  readonly fd?: number;
}

export interface LogSink {
  readonly logger: Logger;
  /** Writes what is still buffered, waiting for it: at the end of the process. */
  flush(): void;
}

/** Lines of JSON. Members with secret names are blanked, however they got there. */
export const createLogger = (options: LoggerOptions): LogSink => {
  const clock = new SystemClock();
  const { fd = 1 } = options;
  const own =
    options.destination === undefined
      ? new GatheredLines(pino.destination({ dest: fd, sync: false }), clock)
      : undefined;
  const logger = pino(
    {
      level: options.level,
      base: { node: options.nodeId },
      timestamp: () => `,"time":"${isoTime(clock.wallMs())}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...secretPaths], censor: '***' },
    },
    own ?? (options.destination as DestinationStream),
  );
  return { logger, flush: () => own?.flushSync() };
};

export interface CallContext {
  readonly callId: string;
  readonly leg?: 'a' | 'b' | undefined;
  readonly trunk?: string | undefined;
}

/** A logger whose lines all carry the call they belong to. */
export const callLogger = (logger: Logger, context: CallContext): Logger => logger.child({ ...context });
