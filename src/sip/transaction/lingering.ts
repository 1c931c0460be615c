/**
 * What is left of transactions that have done their work. For up to 32 s copies of their messages may still come; each
 * gets what the last states of RFC 3261 §17 and RFC 6026 give it, without the machine, its timers and the message.
 */
import type { Clock, Timer } from '../../kernel/index.js';
import type { SipResponse } from '../message/message.js';
import type { Hop } from '../transport/hop.js';
import type { Arrival } from '../transport/layer.js';
import type { ReplyPath, TransactionHost } from './host.js';

/** Of a server transaction. */
export interface ServerRemains {
  /** The request has come again. */
  retransmitted(): void;
}

/** Of a client transaction. */
export interface ClientRemains {
  /** Where its request went, if it matters who answers. */
  readonly hop: Hop | undefined;
  /** As of ClientInviteTransaction. */
  readonly relays: boolean;
  receive(response: SipResponse, arrival: Arrival): void;
}

/** An INVITE whose 2xx has been acknowledged (Timer L), or its failure (Timer I): copies mean nothing any more. */
export const ACKNOWLEDGED: ServerRemains = { retransmitted: () => {} };

/** A request that has been answered (Timer K): copies of the answer mean nothing any more. */
export const ANSWERED: ClientRemains = { hop: undefined, relays: false, receive: () => {} };

/** The final answer to a request other than INVITE, repeated with the request (Timer J). */
export class StoredAnswer implements ServerRemains {
  readonly #host: TransactionHost;
  readonly #path: ReplyPath;
  readonly #text: string;

  /** @param text a byte string: a buffer of its size would keep the 8 kB that Node cut it from */
  constructor(host: TransactionHost, path: ReplyPath, text: string) {
    this.#host = host;
    this.#path = path;
    this.#text = text;
  }

  retransmitted(): void {
    this.#host.replyAgain(this.#path, Buffer.from(this.#text, 'latin1'));
  }
}

/** The ACK of a failure, repeated with the failure (Timer D). */
export class StoredAck implements ClientRemains {
  readonly hop: Hop;
  readonly relays: boolean;
  readonly #host: TransactionHost;
  readonly #text: string;

  /** @param text a byte string */
  constructor(host: TransactionHost, of: { readonly hop: Hop; readonly relays: boolean }, text: string) {
    this.#host = host;
    this.hop = of.hop;
    this.relays = of.relays;
    this.#text = text;
  }

  receive(response: SipResponse): void {
    if (response.status >= 300) this.#host.send(this.hop, Buffer.from(this.#text, 'latin1'), false);
  }
}

/** Keys that come within this time of each other leave together. */
const BATCH_MS = 64;

interface Batch {
  readonly openedMs: number;
  /** A map and the key that is to leave it, in turns. */
  readonly entries: (Map<string, unknown> | string)[];
  next: Batch | undefined;
}

/** Takes keys out of maps when their time is over: one timer and a list, instead of a timer for each key. */
export class Lingering {
  readonly #clock: Clock;
  readonly #delayMs: number;
  #oldest: Batch | undefined;
  #newest: Batch | undefined;
  #timer: Timer | undefined;

  /** @param delayMs how long each key stays; up to 64 ms longer */
  constructor(clock: Clock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  add(map: Map<string, unknown>, key: string): void {
    const now = this.#clock.nowMs();
    let batch = this.#newest;
    if (batch === undefined || now >= batch.openedMs + BATCH_MS) {
      batch = { openedMs: now, entries: [], next: undefined };
      if (this.#newest === undefined) this.#oldest = batch;
      else this.#newest.next = batch;
      this.#newest = batch;
      if (this.#timer === undefined) this.#arm(BATCH_MS + this.#delayMs);
    }
    batch.entries.push(map, key);
  }

  /** Forgets all, and leaves the maps as they are. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = this.#oldest = this.#newest = undefined;
  }

  #arm(waitMs: number): void {
    this.#timer = this.#clock.setTimer('lingering', waitMs, this.#expire);
  }

  readonly #expire = (): void => {
    const now = this.#clock.nowMs();
    let batch = this.#oldest;
    while (batch !== undefined && batch.openedMs + BATCH_MS + this.#delayMs <= now) {
      for (let i = 0; i < batch.entries.length; i += 2) {
        (batch.entries[i] as Map<string, unknown>).delete(batch.entries[i + 1] as string);
      }
      const { next } = batch;
      // What is old and over keeps what it refers to until the next full collection.
      batch.next = undefined;
      batch = next;
    }
    this.#oldest = batch;
    if (batch === undefined) this.#timer = this.#newest = undefined;
    else this.#arm(batch.openedMs + BATCH_MS + this.#delayMs - now);
  };
}
