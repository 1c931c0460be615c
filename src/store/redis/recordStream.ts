import type { RecordSink, SinkRecord } from '../../call/record/sink/drain.js';
import { TandemError, type Clock } from '../../kernel/index.js';
import { RedisConnection } from './connection.js';
import { sendAll } from './pipeline.js';

const CONNECT_MS = 1_000;
const ANSWER_MS = 2_000;
const BATCH = 100;

export interface RecordStreamOptions {
  readonly url: string;
  /** Name of the stream. */
  readonly stream: string;
  /** Entries kept, about: older ones are removed whether somebody has read them or not. */
  readonly maxLength: number;
}

/**
 * Call records as entries `{callId, record}` of a Redis stream, for consumer groups. An entry may come twice: its callId
 * tells.
 */
export class RedisRecordStream implements RecordSink {
  readonly name = 'redis';
  readonly batch = BATCH;
  readonly #options: RecordStreamOptions;
  readonly #clock: Clock;
  #connection: RedisConnection | undefined;

  constructor(options: RecordStreamOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** @throws TandemError `store_unreachable` (retryable); `cdr_stream_refused` when Redis takes no entry. */
  async deliver(records: readonly SinkRecord[]): Promise<void> {
    const { url, stream, maxLength } = this.#options;
    if (this.#connection?.usable !== true) {
      this.#connection = await RedisConnection.open(url, this.#clock, CONNECT_MS);
    }
    const replies = await this.#connection.run('XADD', ANSWER_MS, (client) => {
      const pipeline = client.pipeline();
      for (const { callId, json } of records) {
        pipeline.xadd(stream, 'MAXLEN', '~', maxLength, '*', 'callId', callId, 'record', json);
      }
      return sendAll(pipeline);
    });
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused instanceof Error) {
      const message = `${stream}: ${refused.message}`;
      throw new TandemError({ code: 'cdr_stream_refused', message, retryable: true, cause: refused });
    }
  }

  close(): Promise<void> {
    this.#connection?.close();
    return Promise.resolve();
  }
}
