/** The engine's door to UDP. Bound in src/net; tests may give their own. */

/** Receiver of one endpoint's packets. Must not throw. The buffers are its own. */
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
  /** Resolves when both ports are free again. */
  close(): Promise<void>;
}

/** @returns undefined when one of the two ports is in use; rejects with what else the system says. */
export type BindRtpPair = (address: string, rtpPort: number, sink: RtpSink) => Promise<RtpSocketPair | undefined>;
