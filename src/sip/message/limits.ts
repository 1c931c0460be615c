/** Bounds of what is accepted from the network. */
export interface MessageLimits {
  /** Octets of a whole message. */
  readonly maxMessageBytes: number;
  /** Octets of start line and header fields. */
  readonly maxHeaderBytes: number;
  /** Header fields in a message. */
  readonly maxHeaders: number;
}

export const DEFAULT_LIMITS: MessageLimits = { maxMessageBytes: 65_536, maxHeaderBytes: 32_768, maxHeaders: 200 };

export function limitsWith(some: Partial<MessageLimits> | undefined): MessageLimits {
  return some === undefined ? DEFAULT_LIMITS : { ...DEFAULT_LIMITS, ...some };
}
