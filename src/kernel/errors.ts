export interface TandemErrorOptions {
  /** Machine-readable, snake_case, listed in docs/errors.md. */
  readonly code: string;
  readonly message: string;
  /** SIP status a caller would see, where there is one. */
  readonly sipStatus?: number;
  /** True when the same operation may succeed later without a change. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** Root of every error that Tandem throws on purpose. Packet-path failures are values instead (see Result). */
export class TandemError extends Error {
  readonly code: string;
  readonly sipStatus: number | undefined;
  readonly retryable: boolean;

  constructor(options: TandemErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TandemError';
    this.code = options.code;
    this.sipStatus = options.sipStatus;
    this.retryable = options.retryable ?? false;
  }
}
