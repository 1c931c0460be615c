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

const isWhole = (some: Partial<MessageLimits>): some is MessageLimits =>
  some.maxMessageBytes !== undefined && some.maxHeaderBytes !== undefined && some.maxHeaders !== undefined;

export function limitsWith(some: Partial<MessageLimits> | undefined): MessageLimits {
  if (some === undefined) return DEFAULT_LIMITS;
  return isWhole(some) ? some : { ...DEFAULT_LIMITS, ...some };
}
