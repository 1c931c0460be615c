/** The engine's door to UDP. Bound in src/net; tests may give their own. */

/** Receiver of one endpoint's packets. Must not throw. The buffers are valid within the call. */
export interface RtpSink {
  onRtp(data: Buffer, address: string, port: number): void;
  onRtcp(data: Buffer, address: string, port: number): void;
}

/** An even UDP port for RTP and the odd one above it for RTCP. */
export interface RtpSocketPair {
  /**
   * Sends one datagram; never throws and never waits. The buffer may be used again when eight more have been sent: the
   * system nearly always takes a datagram at once, but not when its queue is full.
   */
  sendRtp(data: Buffer, address: string, port: number): void;
  sendRtcp(data: Buffer, address: string, port: number): void;
  /**
   * RTP of this peer alone is heard from now on, and only when `collect` is called: cheaper, but the times of arrival are
   * those of the calls. @returns false where that is not to be had: all is as before
   */
  narrow(address: string, port: number): boolean;
  /** Undoes `narrow`. */
  widen(): void;
  /**
   * Hands over what has come for a narrowed pair: one packet as a rule, since looking for more has its price.
   * @param all true when more must be expected
   */
  collect(all: boolean): void;
  /** Resolves when both ports are free again. */
  close(): Promise<void>;
}

/** @returns undefined when one of the two ports is in use; rejects with what else the system says. */
export type BindRtpPair = (address: string, rtpPort: number, sink: RtpSink) => Promise<RtpSocketPair | undefined>;
