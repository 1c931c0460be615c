import { join } from 'node:path';
import { LimitLeases } from '../call/admission/limitLeases.js';
import { CallLimiter, type Limiter } from '../call/admission/limiter.js';
import { SharedLimiter } from '../call/admission/sharedLimiter.js';
import { SpendLedger } from '../call/admission/spend.js';
import { chargesOf } from '../call/record/chargesToday.js';
import { FileCallRecorder, type RecorderAlarm } from '../call/record/fileRecorder.js';
import { type SinkAlarm, SinkDrain } from '../call/record/sink/drain.js';
import { RecordQueries } from '../call/record/query/recordQueries.js';
import { WebhookSink } from '../call/record/sink/webhook.js';
import type { TableHolder } from '../call/routing/compile.js';
import type { LimitClaim } from '../call/routing/decision.js';
import type { CallEvent } from '../call/session/events.js';
import { type Config, isLoopbackHost } from '../config/index.js';
import { type Clock, type Random, TandemError, type Timer, atEndOfTurn } from '../kernel/index.js';
import { egressPolicy } from '../media/stream/egress.js';
import { HttpClient } from '../net/index.js';
import type { LogSink } from '../observe/index.js';
import { RedisLimitExchange, RedisRecordStream, RedisSpendStore } from '../store/index.js';
import { observeSpend } from './spendEvents.js';
import { pause } from './table.js';
import { VERSION } from './version.js';

export interface AccountingDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: LogSink['logger'];
  readonly onAlarm: (alarm: RecorderAlarm | SinkAlarm) => void;
}

/** How long a start waits for the other nodes. */
const JOIN_MS = 1500;
/** Changes of the table come in bursts. */
const PREPARE_MS = 50;
const SPEND_MS = 1000;
/** Sums of other nodes are fetched for what decisions have asked for within this time. */
const ASKED_MS = 600_000;
const LOOPBACK = ['127.0.0.0/8', '::1/128'];

/** What counts and what costs, put together: limits, money, records and where records go. */
export class Accounting {
  readonly limiter: Limiter;
  readonly spend: SpendLedger;
  readonly recorder: FileCallRecorder;
  readonly queries: RecordQueries;
  readonly #config: Config;
  readonly #deps: AccountingDeps;
  readonly #leases: LimitLeases | undefined;
  readonly #spendStore: RedisSpendStore | undefined;
  readonly #drains: SinkDrain[] = [];
  readonly #http: HttpClient;
  #prepare: Timer | undefined;
  #spendTimer: Timer | undefined;
  #spendAway = false;
  #rebuilding: Promise<void> | undefined;
  #closed = false;

  constructor(config: Config, deps: AccountingDeps) {
    this.#config = config;
    this.#deps = deps;
    const { clock } = deps;
    this.spend = new SpendLedger(clock);
    this.queries = new RecordQueries(config.cdr.path, clock);
    const shared = config.store.kind === 'redis' ? new SharedLimiter() : undefined;
    this.limiter = shared ?? new CallLimiter();
    this.#leases = shared && this.#createLeases(shared);
    if (config.store.kind === 'redis') {
      const { url, prefix } = config.store;
      this.#spendStore = new RedisSpendStore({ url, prefix, nodeId: config.node.id }, clock);
    }
    this.#http = new HttpClient({ clock, mayConnect: webhookPolicy(config), userAgent: `tandem/${VERSION}` });
    const { path: folder, rotateBytes, rotateDaily } = config.cdr;
    const onWritten = (): void => {
      for (const drain of this.#drains) drain.wake();
    };
    this.recorder = new FileCallRecorder({
      folder,
      rotateBytes,
      rotateDaily,
      clock,
      onAlarm: deps.onAlarm,
      onWritten,
      // A drachtio-server is spoken to past our own sockets.
      atEndOfTurn: config.sip.engine === 'embedded' ? atEndOfTurn : undefined,
    });
    this.#createSinks();
  }

  /** Follows the limits of the table. To be called before the table is loaded first. */
  follow(holder: TableHolder): void {
    holder.swapped.subscribe(() => {
      if (this.#leases === undefined || this.#prepare?.active === true) return;
      this.#prepare = this.#deps.clock.setTimer('limits.prepare', PREPARE_MS, () => {
        this.#leases?.prepare(limitsOf(holder));
      });
    });
  }

  /** With the table in place, before the first call. */
  async start(holder: TableHolder): Promise<void> {
    for (const drain of this.#drains) await drain.start();
    this.queries.start();
    this.#leases?.prepare(limitsOf(holder));
    await this.#leases?.start(JOIN_MS);
    this.#rebuilding = this.#rebuildSpend();
    if (this.#spendStore !== undefined) await this.#exchangeSpend();
  }

  /** Listener for the channel of call events. */
  readonly observe = (event: CallEvent): void => observeSpend(this.spend, event);

  /** After the last call: gives the limits back, delivers what can be, closes. */
  async stop(): Promise<void> {
    this.#closed = true;
    this.#prepare?.cancel();
    this.#spendTimer?.cancel();
    await this.#rebuilding;
    await this.#leases?.close();
    await this.recorder.close();
    await this.queries.close();
    for (const drain of this.#drains) await drain.close();
    this.#http.close();
    this.#spendStore?.close();
  }

  dump(): object {
    return {
      records: this.recorder.dump(),
      sinks: this.#drains.map((drain) => drain.dump()),
      spend: this.spend.dump(),
    };
  }

  #createLeases(limiter: SharedLimiter): LimitLeases | undefined {
    const { store, node } = this.#config;
    if (store.kind !== 'redis') return undefined;
    const { clock, random, logger } = this.#deps;
    const exchange = new RedisLimitExchange({ url: store.url, prefix: store.prefix, nodeId: node.id }, clock, random);
    return new LimitLeases({
      limiter,
      exchange,
      clock,
      random,
      onEvent: (event) => {
        if (event.type === 'together') logger.info('limits are shared with the other nodes');
        else logger.warn({ reason: event.reason }, 'limits go by the part that this node holds');
      },
    });
  }

  #createSinks(): void {
    const { cdr, store } = this.#config;
    const { clock, random, onAlarm } = this.#deps;
    const folder = cdr.path;
    const url = cdr.redis.url ?? (store.kind === 'redis' ? store.url : undefined);
    const { stream, maxLength } = cdr.redis;
    if (stream !== undefined && url !== undefined) {
      const sink = new RedisRecordStream({ url, stream, maxLength }, clock);
      this.#drains.push(new SinkDrain({ folder, sink, clock, random, onAlarm }));
    }
    const { webhook } = cdr;
    if (webhook.url === undefined || webhook.secret === undefined) return;
    const { timeoutMs } = webhook;
    const sink = new WebhookSink({
      url: webhook.url,
      secret: webhook.secret,
      batch: webhook.batch,
      post: (ask) =>
        new Promise((resolve) => {
          this.#http.fetch({ ...ask, method: 'POST', query: [], timeoutMs, maxBytes: 4096 }, resolve);
        }),
      wallMs: () => clock.wallMs(),
      refusedPath: join(folder, 'cdr.webhook.refused.jsonl'),
      onRefused: (refusal) => onAlarm({ type: 'sink_refused', sink: 'webhook', ...refusal }),
    });
    this.#drains.push(new SinkDrain({ folder, sink, clock, random, onAlarm }));
  }

  /** What was spent today before this process began. Calls that end meanwhile are counted as they end. */
  async #rebuildSpend(): Promise<void> {
    const { clock, logger } = this.#deps;
    const startedMs = clock.wallMs();
    const day = new Date(startedMs).toISOString().slice(0, 10);
    try {
      for await (const settled of chargesOf(this.#config.cdr.path, day, pause)) {
        if (this.#closed) return;
        if (settled.endedMs < startedMs) this.spend.settle(settled, settled.charge);
      }
    } catch (error) {
      logger.warn({ err: error }, "today's spending before the start is not known");
    }
  }

  async #exchangeSpend(): Promise<void> {
    const { clock, logger } = this.#deps;
    try {
      const { day } = this.spend;
      const asked = [...this.spend.asked(ASKED_MS)];
      this.spend.hear((await this.#spendStore?.exchange(day, this.spend.takeChanged(), asked)) ?? []);
      this.#spendAway = false;
    } catch (error) {
      // Nothing that was taken is known to have arrived.
      this.spend.changeAll();
      const reason = error instanceof TandemError ? error.message : String(error);
      if (!this.#spendAway) logger.warn({ reason }, 'spending of other nodes is as it was last known');
      this.#spendAway = true;
    }
    if (this.#closed) return;
    this.#spendTimer = clock.setTimer('spend.exchange', SPEND_MS, () => void this.#exchangeSpend());
  }
}

function* limitsOf(holder: TableHolder): Generator<LimitClaim> {
  const table = holder.current;
  const limited = ({ callsPerSecond, concurrentCalls }: LimitClaim): boolean =>
    callsPerSecond !== undefined || concurrentCalls !== undefined;
  for (const { claim } of table.trunks()) if (limited(claim)) yield claim;
  for (const { claim } of table.carriers()) if (limited(claim)) yield claim;
  for (const { sid } of table.accounts()) {
    const claim = table.account(sid)?.claim;
    if (claim !== undefined && limited(claim)) yield claim;
  }
}

/** The operator's own choice of a server on this machine is good; names must not lead inside by themselves. */
function webhookPolicy({ cdr, media }: Config): (address: string) => boolean {
  const { url } = cdr.webhook;
  const host = url === undefined ? '' : new URL(url).hostname.replace(/^\[|\]$/g, '');
  return egressPolicy(isLoopbackHost(host) ? [...media.egress, ...LOOPBACK] : media.egress);
}
