/** Where packets come from or go to. */
export interface MediaSource {
  readonly address: string;
  readonly port: number;
}

export interface SourceLatchOptions {
  /** The peer is behind NAT: learn its real source, once. */
  readonly nat: boolean;
  /** With `nat`: only these addresses (the source of its signalling, say) and the SDP's may be learned. Default: any. */
  readonly expectedAddresses?: readonly string[] | undefined;
  /** Packets of one source, with one SSRC and payload type and rising sequence, that make it the peer. Default 3. */
  readonly consistent?: number | undefined;
  /** Packets from unknown sources that are looked at before learning ends for good. Default 500. */
  readonly window?: number | undefined;
}

export interface LatchHeader {
  readonly ssrc: number;
  readonly payloadType: number;
  readonly sequence: number;
}

interface Candidate {
  readonly ssrc: number;
  readonly payloadType: number;
  sequence: number;
  seen: number;
}

const MAX_CANDIDATES = 32;
/** Steps of the sequence number that one source may make between two of its packets. */
const MAX_STEP = 50;

/** IPv4 seen through an IPv6 socket is the same address. */
const plainAddress = (address: string): string => {
  const lower = address.toLowerCase();
  return lower.startsWith('::ffff:') && lower.includes('.') ? lower.slice(7) : lower;
};

/**
 * Decides whose packets are the peer's. Without NAT that is the address and port of its SDP, nothing else. With NAT
 * the first source that behaves like one stream is learned, exactly once; from then on it is the only one, the SDP's
 * own address included. All others are refused and counted; nothing they send ends or redirects a call.
 */
export class SourceLatch {
  readonly #nat: boolean;
  readonly #expectedAddresses: ReadonlySet<string> | undefined;
  readonly #consistent: number;
  readonly #window: number;
  #sdp: MediaSource | undefined;
  #latched: MediaSource | undefined;
  #control: MediaSource | undefined;
  #left: number;
  #rejected = 0;
  readonly #candidates = new Map<string, Candidate>();

  constructor(options: SourceLatchOptions) {
    this.#nat = options.nat;
    const expected = options.expectedAddresses;
    this.#expectedAddresses = expected === undefined ? undefined : new Set(expected.map(plainAddress));
    this.#consistent = options.consistent ?? 3;
    this.#window = options.window ?? 500;
    this.#left = this.#window;
  }

  /** Where to send: what was learned, else what the SDP says; undefined before any. */
  get target(): MediaSource | undefined {
    return this.#latched ?? this.#sdp;
  }

  /** Where to send RTCP when it was learned; undefined: as the SDP says. */
  get controlTarget(): MediaSource | undefined {
    return this.#control;
  }

  get latched(): boolean {
    return this.#latched !== undefined;
  }

  /** Packets refused so far, RTP and RTCP. */
  get rejected(): number {
    return this.#rejected;
  }

  /** The SDP names a place for the peer's audio: the first, or a new one, after which learning begins again. */
  point(source: MediaSource): void {
    const sdp = { address: plainAddress(source.address), port: source.port };
    if (this.#sdp?.address === sdp.address && this.#sdp.port === sdp.port) return;
    this.#sdp = sdp;
    this.#latched = undefined;
    this.#control = undefined;
    this.#left = this.#window;
    this.#candidates.clear();
  }

  /** True: the packet is the peer's. With SRTP, ask after it was authenticated. */
  accept(address: string, port: number, header: LatchHeader): boolean {
    const from = plainAddress(address);
    const known = this.#latched ?? this.#sdp;
    if (known !== undefined && known.port === port && known.address === from) {
      // The peer is where its SDP says: there is nothing to learn.
      if (this.#nat && this.#latched === undefined) this.#settle(known);
      return true;
    }
    if (this.#nat && this.#latched === undefined && this.#learn(from, port, header)) return true;
    this.#rejected++;
    return false;
  }

  /**
   * The same for RTCP. Without NAT it comes from the SDP's control port (or its RTP port when multiplexed); with NAT
   * from the address that RTP was learned at, whose first port counts.
   * @param controlPort that of the SDP
   */
  acceptControl(address: string, port: number, controlPort: number): boolean {
    const from = plainAddress(address);
    const known = this.target;
    if (known !== undefined && from === known.address) {
      if (this.#control !== undefined ? this.#control.port === port : port === controlPort) return true;
      if (this.#nat && this.#latched !== undefined && this.#control === undefined) {
        this.#control = { address: from, port };
        return true;
      }
    }
    this.#rejected++;
    return false;
  }

  #learn(address: string, port: number, header: LatchHeader): boolean {
    if (this.#left <= 0 || this.#sdp === undefined) return false;
    const expected = this.#expectedAddresses;
    if (expected !== undefined && !expected.has(address) && address !== this.#sdp.address) return false;
    this.#left--;
    const key = `${address} ${port}`;
    const candidate = this.#candidates.get(key);
    if (candidate === undefined || !follows(candidate, header)) {
      this.#candidates.delete(key);
      if (this.#candidates.size >= MAX_CANDIDATES) this.#forgetOldest();
      const { ssrc, payloadType, sequence } = header;
      this.#candidates.set(key, { ssrc, payloadType, sequence, seen: 1 });
      if (this.#consistent > 1) return false;
    } else {
      candidate.sequence = header.sequence;
      if (++candidate.seen < this.#consistent) return false;
    }
    this.#settle({ address, port });
    return true;
  }

  #settle(source: MediaSource): void {
    this.#latched = source;
    this.#candidates.clear();
  }

  #forgetOldest(): void {
    for (const key of this.#candidates.keys()) {
      this.#candidates.delete(key);
      return;
    }
  }
}

function follows(candidate: Candidate, header: LatchHeader): boolean {
  const step = (header.sequence - candidate.sequence) & 0xffff;
  return header.ssrc === candidate.ssrc && header.payloadType === candidate.payloadType && step > 0 && step <= MAX_STEP;
}
