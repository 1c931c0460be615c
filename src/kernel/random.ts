import { randomFillSync } from 'node:crypto';

/** Source of identifiers and jitter. */
export interface Random {
  /** Lower-case hexadecimal text of `bytes` random bytes (2 characters each). */
  hex(bytes: number): string;
  /** Uniform in [0, 1). */
  float(): number;
  /** Random (version 4) UUID. */
  uuid(): string;
}

const POOL_BYTES = 8192;
const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

abstract class ByteRandom implements Random {
  protected abstract byte(): number;

  hex(bytes: number): string {
    let text = '';
    for (let i = 0; i < bytes; i++) text += HEX[this.byte()] as string;
    return text;
  }

  float(): number {
    return ((this.byte() * 256 + this.byte()) * 65536 + this.byte() * 256 + this.byte()) / 4294967296;
  }

  uuid(): string {
    const h = this.hex(16);
    const variant = ((parseInt(h[16] as string, 16) & 3) | 8).toString(16);
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-4${h.slice(13, 16)}-${variant}${h.slice(17, 20)}-${h.slice(20)}`;
  }
}

/** Cryptographic randomness, drawn from the kernel in blocks: tags and branches must not be guessable. */
export class SystemRandom extends ByteRandom {
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #used = POOL_BYTES;

  protected byte(): number {
    if (this.#used === POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    return this.#pool[this.#used++] as number;
  }

  /** One slice instead of a table look-up for each byte: every branch, tag and Call-ID comes from here. */
  override hex(bytes: number): string {
    if (bytes > POOL_BYTES) return super.hex(bytes);
    if (this.#used + bytes > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const from = this.#used;
    this.#used += bytes;
    return this.#pool.toString('hex', from, this.#used);
  }
}

/** Reproducible numbers for tests and simulation (mulberry32). Never for a live system. */
export class SeededRandom extends ByteRandom {
  #state: number;

  constructor(seed: number) {
    super();
    this.#state = seed >>> 0;
  }

  protected byte(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) & 0xff;
  }
}
