import type { SocketAddress } from '../../kernel/index.js';

/** What `SimWorld.intercept` is shown: a datagram, or a piece of a stream, as it leaves its sender. */
export interface SimPacket {
  readonly kind: 'udp' | 'tcp';
  readonly from: SocketAddress;
  readonly to: SocketAddress;
  readonly data: Buffer;
}

/** What becomes of a packet besides 'pass'. A stream sends a dropped piece again, like TCP; `data` and `copies` are for UDP. */
export type Verdict =
  | 'pass'
  | 'drop'
  | 'refuse'
  | {
      /** Instead of the link's delay; the packet may then overtake others and be overtaken. */
      readonly delayMs?: number;
      /** How many arrive. */
      readonly copies?: number;
      /** Arrives instead. */
      readonly data?: Buffer;
    };

export type Intercept = (packet: SimPacket) => Verdict;

/** What became of a packet: `lost` by the link, `dropped` or `refused` by an intercept, `sent` on its way. */
export type Fate = 'sent' | 'lost' | 'dropped' | 'refused' | 'unreachable';

export interface TraceEntry extends SimPacket {
  readonly atMs: number;
  readonly fate: Fate;
}
