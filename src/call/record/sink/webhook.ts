/** Records to a web server, signed. */
import { createHmac } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import type { RecordSink, SinkRecord } from './drain.js';

export interface PostAsk {
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** Sends one POST. Never rejects. */
export type Post = (
  ask: PostAsk,
) => Promise<{ readonly ok: true; readonly status: number } | { readonly ok: false; readonly reason: string }>;

export interface WebhookOptions {
  readonly url: string;
  readonly secret: string;
  /** Records of one request; more than one come as lines (NDJSON). */
  readonly batch: number;
  readonly post: Post;
  /** Seconds since 1970 are signed along: the receiver can tell an old request from a new one. */
  readonly wallMs: () => number;
  /** File for records that the receiver will never take. */
  readonly refusedPath: string;
  readonly onRefused: (refusal: { readonly callId: string; readonly status: number }) => void;
}

/** Requests under way at a time. */
const PARALLEL = 8;
/** The receiver understood and says no: the same record will not be taken later either. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 422]);
const REFUSALS_BEFORE_LEAVING = 3;

/**
 * `Tandem-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 with the shared secret over `SECONDS.` and the raw body.
 * @param seconds since 1970 UTC
 */
export const signatureOf = (secret: string, seconds: number, body: Buffer): string => {
  const hex = createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex');
  return `t=${seconds},v1=${hex}`;
};

export class WebhookSink implements RecordSink {
  readonly name = 'webhook';
  readonly batch: number;
  readonly #options: WebhookOptions;
  #refusals = 0;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.batch = options.batch * PARALLEL;
  }

  async deliver(records: readonly SinkRecord[]): Promise<void> {
    const { batch } = this.#options;
    const requests: (readonly SinkRecord[])[] = [];
    for (let at = 0; at < records.length; at += batch) requests.push(records.slice(at, at + batch));
    const ends = await Promise.all(requests.map((request) => this.#send(request)));
    const failed = ends.find((end) => end.failure !== undefined);
    if (failed === undefined) {
      this.#refusals = 0;
      return;
    }
    const unknown = ends.some((end) => end.failure !== undefined && !REFUSED.has(end.status));
    // One bad record must not hold up all others for ever, nor a bad moment of the receiver lose any.
    if (unknown || ++this.#refusals < REFUSALS_BEFORE_LEAVING) throw new Error(failed.failure);
    this.#refusals = 0;
    requests.forEach((request, i) => {
      const end = ends[i];
      if (end?.failure !== undefined) this.#leave(request, end.status);
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #send(records: readonly SinkRecord[]): Promise<{ readonly status: number; readonly failure?: string }> {
    const { url, secret, batch, post, wallMs } = this.#options;
    const [first, ...more] = records;
    if (first === undefined) return { status: 204 };
    const body = batch === 1 ? first.json : Buffer.concat(records.flatMap(({ json }) => [json, NEWLINE]));
    const key = batch === 1 ? first.callId : `${first.callId}+${more.length}`;
    const answer = await post({
      url,
      headers: [
        ['Content-Type', batch === 1 ? 'application/json' : 'application/x-ndjson'],
        ['Idempotency-Key', key],
        ['Tandem-Signature', signatureOf(secret, Math.floor(wallMs() / 1000), body)],
      ],
      body,
    });
    if (!answer.ok) return { status: 0, failure: answer.reason };
    const { status } = answer;
    return status >= 200 && status < 300 ? { status } : { status, failure: `the webhook answered ${status}` };
  }

  #leave(records: readonly SinkRecord[], status: number): void {
    const { refusedPath, onRefused } = this.#options;
    appendFileSync(refusedPath, Buffer.concat(records.flatMap(({ json }) => [json, NEWLINE])), { mode: 0o640 });
    for (const { callId } of records) onRefused({ callId, status });
  }
}

const NEWLINE = Buffer.from('\n');
