/** New calls refused before they are parsed, RFC 3261 §21.5.4, and what peers are told by `oc` (RFC 7339). */
import type { Glance } from '../message/glance.js';
import { ParamCursor } from '../message/params.js';

/** What the engine asks about new calls while there are too many, and tells about them. */
export interface OverloadGate {
  /** Longest wait of a new call while they queue, in milliseconds; in a burst they may wait longer. */
  readonly targetMs: number;
  /** Share of new calls refused lately, 0 to 100. */
  readonly lossPercent: number;
  /** Seconds. */
  readonly retryAfterS: number;
  /** Whether it is let in whatever the load. */
  isExempt(address: string, uri: string): boolean;
  /** A new call that had to wait goes on. */
  letIn(): void;
  /** A new call was refused. */
  refused(): void;
  /** See `atEndOfTurn` of the kernel. */
  atEndOfTurn(done: () => void): void;
}

/** RFC 7339 §4.2: what is said holds for so long, unless something else is said. */
const OC_VALIDITY_MS = 500;
const OC = /;\s*oc\s*(?=[;,]|$)/i;
const OC_ALGORITHM = /;\s*oc-algo\s*=\s*"[^"]{0,64}"/i;

/**
 * RFC 7339 §4.1 and §5.1: a peer that names `oc` in its Via and knows the algorithm `loss` is told how much of what it
 * sends it should keep to itself.
 * @param raw the top Via value
 * @returns the value for the response; undefined when the peer did not ask
 */
export const withLoss = (raw: string, lossPercent: number, nowMs: number): string | undefined => {
  if (!raw.includes('oc') || !OC.test(raw)) return undefined;
  const algorithms = OC_ALGORITHM.exec(raw)?.[0];
  if (algorithms !== undefined && !algorithms.toLowerCase().includes('loss')) return undefined;
  const validity = lossPercent > 0 ? OC_VALIDITY_MS : 0;
  const told = `;oc=${lossPercent};oc-algo="loss";oc-validity=${validity};oc-seq=${(nowMs / 1000).toFixed(3)}`;
  return raw.replace(OC_ALGORITHM, '').replace(OC, told);
};

/** What a next hop says of its load in our own Via (RFC 7339 §4). */
export interface OverloadWord {
  /** Percent of the calls that it asks us to keep from it, as written. */
  readonly loss: number;
  /** Grows with each word of this hop. */
  readonly seq: number | undefined;
  /** How long the word holds, ms. */
  readonly validityMs: number | undefined;
  /** What `loss` means, in lower case. */
  readonly algo: string | undefined;
}

/** RFC 7339 §9: all three numbers; only `oc-seq` has a fraction, but who gives another one is understood. */
const NUMBER = /^[0-9]{1,15}(?:\.[0-9]{1,6})?$/;

/**
 * RFC 7339 §5.9: the parameters of a response's top Via that tell of the load where it comes from. Linear; the first of a
 * name counts.
 * @param raw a Via value that the parser has accepted
 * @returns undefined where `oc` is absent, or still the question that we asked
 */
export const overloadWord = (raw: string): OverloadWord | undefined => {
  const start = raw.indexOf(';');
  if (start < 0) return undefined;
  let loss: number | undefined;
  let seq: number | undefined;
  let validityMs: number | undefined;
  let algo: string | undefined;
  const cursor = new ParamCursor().over(raw, start, raw.length);
  while (cursor.next() === 1) {
    if (cursor.valueStart < 0) continue;
    if (cursor.is('oc')) loss ??= numberOf(cursor);
    else if (cursor.is('oc-seq')) seq ??= numberOf(cursor);
    else if (cursor.is('oc-validity')) validityMs ??= numberOf(cursor);
    else if (cursor.is('oc-algo')) algo ??= cursor.value().toLowerCase();
  }
  return loss === undefined ? undefined : { loss, seq, validityMs, algo };
};

const numberOf = ({ text, valueStart, valueEnd }: ParamCursor): number | undefined => {
  const digits = text.slice(valueStart, valueEnd);
  return NUMBER.test(digits) ? Number(digits) : undefined;
};

/**
 * A 503 for what has been glanced at: no state, the same tag for all, by which the ACKs are known again.
 * @param topVia the first Via value, with `received` and `rport`
 */
export const refusalOf = (
  glance: Glance,
  topVia: string,
  { tag, retryAfterS }: { tag: string; retryAfterS: number },
): Buffer => {
  const { vias, topLength, from, to, callId, cseq } = glance;
  let text = `SIP/2.0 503 Service Unavailable\r\nVia: ${topVia}${vias[0]!.slice(topLength)}\r\n`;
  for (let i = 1; i < vias.length; i++) text += `Via: ${vias[i]!}\r\n`;
  text += `From: ${from}\r\nTo: ${to};tag=${tag}\r\nCall-ID: ${callId}\r\nCSeq: ${cseq}\r\n`;
  text += `Retry-After: ${retryAfterS}\r\nReason: SIP;cause=503;text="overload"\r\nContent-Length: 0\r\n\r\n`;
  return Buffer.from(text, 'latin1');
};

/** Whether a datagram is the ACK of such a refusal. */
export const acknowledges = (data: Buffer, tag: Buffer): boolean =>
  data[0] === 0x41 && data[1] === 0x43 && data[2] === 0x4b && data.indexOf(tag) > 0;

/** Requests refused lately, by hashes: one that is repeated is refused again, or a call would begin after its end. */
export class RefusedLately {
  readonly #slots = new Uint32Array(SLOTS);

  add(key: string): void {
    const hash = hashOf(key);
    this.#slots[hash % SLOTS] = hash;
  }

  has(key: string): boolean {
    const hash = hashOf(key);
    return this.#slots[hash % SLOTS] === hash;
  }
}

/** At ten thousand refusals a second the first repetitions (RFC 3261 §17.1.1.2: T1, 3·T1, 7·T1) are known. */
const SLOTS = 65_536;

/** FNV-1a; never 0, which means nothing. */
const hashOf = (key: string): number => {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash >>> 0 || 1;
};
