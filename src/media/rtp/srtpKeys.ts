import { type Cipher, createCipheriv, createHmac } from 'node:crypto';
import { putUint32 } from './packet.js';

const BLOCK = 16;
/** Counter blocks of the largest packet that is encrypted in one go. */
const MAX_BLOCKS = 128;

/** RFC 3711 §4.3.2: what each derived key is for. */
export const LABEL_RTP_ENCRYPTION = 0;
export const LABEL_RTP_AUTHENTICATION = 1;
export const LABEL_RTP_SALT = 2;
export const LABEL_RTCP_ENCRYPTION = 3;
export const LABEL_RTCP_AUTHENTICATION = 4;
export const LABEL_RTCP_SALT = 5;

/**
 * AES-128 in counter mode (RFC 3711 §4.1.1). The key stream is the counter blocks in ECB, so that one cipher object
 * lives as long as the key: making one for each packet would cost more than the encryption.
 */
export class CounterMode {
  readonly #ecb: Cipher;
  readonly #blocks = Buffer.alloc(BLOCK * MAX_BLOCKS);
  readonly #prefix = Buffer.alloc(BLOCK);

  constructor(key: Buffer) {
    this.#ecb = createCipheriv('aes-128-ecb', key, null);
    this.#ecb.setAutoPadding(false);
  }

  /** The prefix of all counter blocks of one packet: 14 octets that the caller fills, then the counter from 0. */
  get iv(): Buffer {
    return this.#prefix;
  }

  /** Encrypts, which is decrypting, in place. @returns false: longer than one packet may be */
  apply(data: Buffer, start: number, end: number): boolean {
    const count = Math.ceil((end - start) / BLOCK);
    if (count > MAX_BLOCKS) return false;
    if (count <= 0) return true;
    const blocks = this.#blocks;
    for (let i = 0; i < count; i++) {
      const at = i * BLOCK;
      for (let j = 0; j < 14; j++) blocks[at + j] = this.#prefix[j] as number;
      blocks[at + 14] = i >>> 8;
      blocks[at + 15] = i;
    }
    const stream = this.#ecb.update(blocks.subarray(0, count * BLOCK));
    for (let i = start, k = 0; i < end; i++, k++) data[i] = (data[i] as number) ^ (stream[k] as number);
    return true;
  }
}

/** RFC 3711 §4.3.1 and §4.3.3, with a key derivation rate of 0: the index takes no part. */
export function deriveKey(master: { key: Buffer; salt: Buffer }, label: number, length: number): Buffer {
  const mode = new CounterMode(master.key);
  master.salt.copy(mode.iv, 0, 0, 14);
  mode.iv[7] = (mode.iv[7] as number) ^ label;
  const key = Buffer.alloc(length);
  mode.apply(key, 0, length);
  return key;
}

/** HMAC-SHA1 with one key; the full 20 octets, of which suites use the first. */
export class Authenticator {
  readonly #key: Buffer;
  readonly #tail = Buffer.alloc(4);

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** Of `data`, followed by the 32 bits of `roc` when there is one. */
  tag(data: Buffer, roc: number): Buffer {
    const hmac = createHmac('sha1', this.#key).update(data);
    if (roc >= 0) {
      putUint32(this.#tail, 0, roc);
      hmac.update(this.#tail);
    }
    return hmac.digest();
  }
}

/** RFC 3711 §4.1.1: IV = salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16; `high` are the upper 32 bits of 48. */
export function setIv(iv: Buffer, salt: Buffer, ssrc: number, index: { high: number; low: number }): void {
  salt.copy(iv, 0, 0, 14);
  const xor = (at: number, value: number) => {
    iv[at] = (iv[at] as number) ^ value;
  };
  xor(4, ssrc >>> 24);
  xor(5, (ssrc >>> 16) & 0xff);
  xor(6, (ssrc >>> 8) & 0xff);
  xor(7, ssrc & 0xff);
  xor(8, index.high >>> 24);
  xor(9, (index.high >>> 16) & 0xff);
  xor(10, (index.high >>> 8) & 0xff);
  xor(11, index.high & 0xff);
  xor(12, (index.low >>> 8) & 0xff);
  xor(13, index.low & 0xff);
}
