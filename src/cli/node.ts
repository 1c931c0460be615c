import { type Admin, createAdmin, keyChecker } from '../admin/index.js';
import { HeaderPolicy } from '../call/bridge/headerPolicy.js';
import { FileCallRecorder } from '../call/record/fileRecorder.js';
import { findRecord } from '../call/record/findRecord.js';
import { TableHolder } from '../call/routing/compile.js';
import type { RoutingStore } from '../call/routing/resources.js';
import type { CallEvent } from '../call/session/events.js';
import { type PastCall, pastCallOf } from '../call/session/pastCall.js';
import { CallService } from '../call/session/service.js';
import { type Config, assertSafeExposure, parseHostPort, sipListeners } from '../config/index.js';
import { Control, DirectoryHolder } from '../control/index.js';
import { DrachtioServer } from '../drachtio/index.js';
import { EventChannel, SystemClock, SystemRandom, TandemError } from '../kernel/index.js';
import { NodeNetwork, SystemResolver, TlsIdentity } from '../net/index.js';
import { CallLog, type LogSink, type Metrics, createLogger, createMetrics } from '../observe/index.js';
import { type SignalPort, createDirectSignal, createSrfSignal } from '../signal/index.js';
import { type StoreConfig, openStore } from '../store/index.js';
import { LiveAdmission } from './admission.js';
import { MediaPlane, type MediaPlaneDeps } from './mediaPlane.js';
import { numberFormat, pause } from './table.js';
import { VERSION } from './version.js';

/** How long the last events may take to be written after the last call. */
const STORE_CLOSE_MS = 2000;

/**
 * One exchange, put together: the only place that knows every part. `start` opens it, `drain` lets its calls end,
 * `stop` closes what is left. Each may be called once.
 */
export class Node {
  readonly #config: Config;
  readonly #clock: SystemClock;
  readonly #random = new SystemRandom();
  readonly #log: LogSink;
  readonly #holder: TableHolder;
  readonly #store: RoutingStore;
  readonly #directory = new DirectoryHolder(pause);
  readonly #control: Control;
  readonly #recorder: FileCallRecorder;
  readonly #metrics: Metrics;
  readonly #admission: LiveAdmission;
  readonly #tls: TlsIdentity | undefined;
  readonly #network: NodeNetwork;
  readonly #neighbour: DrachtioServer | undefined;
  readonly #signal: SignalPort;
  readonly #media: MediaPlane;
  readonly #service: CallService;
  readonly #admin: Admin;
  readonly #policy: HeaderPolicy;
  #signallingUp = false;

  /** @param parts replaced, for tests */
  constructor(config: Config, parts: { readonly spawnWorker?: MediaPlaneDeps['spawnWorker'] } = {}) {
    this.#config = config;
    this.#policy = new HeaderPolicy(config.headers);
    this.#log = createLogger({ level: config.log.level, nodeId: config.node.id });
    const { logger } = this.#log;
    this.#clock = new SystemClock((error) => logger.error({ err: error }, 'fault in a timer'));
    this.#holder = new TableHolder({ pause, format: numberFormat(config) });
    this.#store = openStore(config.store as StoreConfig, { clock: this.#clock, pause });
    this.#control = new Control({ store: this.#store, directory: this.#directory, clock: this.#clock });
    const calls = new CallLog(logger);
    this.#metrics = this.#createMetrics();
    this.#recorder = new FileCallRecorder({
      folder: config.cdr.path,
      rotateBytes: config.cdr.rotateBytes,
      rotateDaily: config.cdr.rotateDaily,
      clock: this.#clock,
      onAlarm: (alarm) => {
        calls.observeRecorder(alarm);
        this.#metrics.observeRecorder(alarm);
      },
    });
    const events = new EventChannel<CallEvent>((error) => logger.error({ err: error }, 'fault in an observer'));
    events.subscribe(calls.observe);
    events.subscribe(this.#metrics.observe);
    events.subscribe((event) => {
      if (event.type === 'signalling') this.#signallingUp = event.up;
    });
    const { clock } = this;
    this.#admission = new LiveAdmission(this.#holder, {
      clock,
      random: this.#random,
      unlisted: config.calls.unlistedSources,
    });
    this.#tls = this.#createTls();
    this.#network = new NodeNetwork({
      clock,
      tls: this.#tls,
      webSocket: {
        maxMessageBytes: config.sip.maxMessageBytes,
        origins: config.sip.webSocket.origins?.map((origin) => origin.toLowerCase()),
      },
    });
    this.#neighbour = this.#createNeighbour();
    this.#signal = this.#createSignal();
    this.#media = new MediaPlane(config, { clock, random: this.#random, logger, ...parts });
    this.#service = this.#createService(events);
    this.#admin = this.#createAdmin();
  }

  get clock(): SystemClock {
    return this.#clock;
  }

  /** @returns addresses of SIP, and the URL of the administration. */
  async start(): Promise<{ readonly sip: readonly string[]; readonly admin: string }> {
    await this.#followStore();
    await this.#media.start();
    const sip = await this.#signal.start(this.#service);
    await this.#neighbour?.listen();
    const admin = await this.#admin.listen();
    this.#log.logger.info({ sip, admin, revision: this.#holder.current.revision, version: VERSION }, 'tandem is up');
    return { sip, admin };
  }

  drain(): Promise<void> {
    return this.#service.drain(this.#config.calls.drainSeconds * 1000);
  }

  async stop(): Promise<void> {
    await this.#admin.close();
    this.#neighbour?.stop();
    await this.#signal.stop();
    this.#tls?.close();
    await this.#media.stop();
    await this.#recorder.close();
    await Promise.race([
      this.#store.close(),
      new Promise<void>((resolve) => this.#clock.setTimer('store_close', STORE_CLOSE_MS, resolve)),
    ]);
    this.#metrics.close();
    this.#log.logger.info('tandem has stopped');
    this.#log.flush();
  }

  async #followStore(): Promise<void> {
    const { logger } = this.#log;
    this.#holder.swapped.subscribe((swap) => logger.info(swap, 'routing table is in place'));
    await this.#store.follow(
      async (update) => {
        const draft = this.#directory.begin(update);
        await this.#holder.apply(draft.update);
        await draft.commit();
        // Whoever publishes the demonstration's keys to a node that others can reach is told at once.
        assertSafeExposure(this.#config, { accounts: this.#holder.current.accounts() });
      },
      (problem) => logger.error(problem, 'routing document refused; the last good one stays'),
    );
    const status = this.#store.status();
    if (status.stale) logger.warn(status, 'serving from the last known routing document');
  }

  #createSignal(): SignalPort {
    const { sip } = this.#config;
    const { clock } = this;
    const random = this.#random;
    const { logger } = this.#log;
    if (sip.engine === 'drachtio') {
      return createSrfSignal({
        ...sip.drachtio,
        clock,
        random,
        logger: (message, error) => logger.warn({ err: error }, message),
      });
    }
    return createDirectSignal({
      network: this.#network,
      clock,
      random,
      resolver: new SystemResolver({ clock }),
      listen: sipListeners(this.#config).map(({ transport, host, port, advertise }) => ({
        transport,
        address: host,
        port,
        advertise,
      })),
      limits: { maxMessageBytes: sip.maxMessageBytes, maxHeaders: sip.maxHeaders },
      userAgent: `tandem/${VERSION}`,
      gate: this.#admission,
      neighbour: this.#neighbour,
      onEvent: (event) => {
        if (event.type === 'user_error') logger.error({ err: event.error }, 'fault in the call path');
        else if (event.type === 'malformed')
          logger.debug({ source: event.source.address, reason: event.reason }, 'malformed message');
      },
    });
  }

  #createTls(): TlsIdentity | undefined {
    const { tls } = this.#config.sip;
    if (tls.certificates.length === 0) return undefined;
    return new TlsIdentity(tls, this.#clock, (problem) => {
      this.#log.logger.error({ err: problem }, 'new certificates refused; those before them stay');
    });
  }

  #createNeighbour(): DrachtioServer | undefined {
    const { listen, secret } = this.#config.drachtio;
    if (listen === undefined || this.#config.sip.engine !== 'embedded') return undefined;
    const place = parseHostPort(listen);
    if (place === undefined || secret === undefined) {
      throw new TandemError({
        code: 'drachtio_listen_invalid',
        message: 'drachtio.listen needs host:port and drachtio.secret a value',
      });
    }
    return new DrachtioServer({
      network: this.#network,
      clock: this.#clock,
      random: this.#random,
      listen: { address: place.host, port: place.port },
      secret,
      onError: (error) => this.#log.logger.error({ err: error }, 'fault in the drachtio server'),
    });
  }

  #createService(events: EventChannel<CallEvent>): CallService {
    const { calls, node } = this.#config;
    return new CallService({
      port: this.#signal,
      clock: this.#clock,
      random: this.#random,
      admission: this.#admission,
      recorder: this.#recorder,
      events,
      nodeId: node.id,
      policy: this.#policy,
      settings: {
        silenceTimeoutMs: calls.silenceTimeoutMs,
        ringTimeoutMs: calls.maxSetupMs,
        maxCallMs: calls.maxCallMs,
      },
      failover: calls.failover,
      maxCalls: calls.maxCalls,
      plane: this.#media.plane,
    });
  }

  #createMetrics(): Metrics {
    return createMetrics({
      nodeId: this.#config.node.id,
      version: VERSION,
      sources: {
        liveCalls: () => this.#service.registry.size,
        engine: () => this.#signal.dump(),
        timers: () => this.#clock.dump(),
        table: () => this.#holder.current.dump(),
        recordsPending: () => this.#recorder.pending,
        store: () => this.#store.status(),
        draining: () => this.#service.draining,
        streams: () => this.#service.registry.liveStreams,
        mediaPorts: () => this.#media.ports,
      },
    });
  }

  /** One that lives, or one that has a record. */
  async #pastCall(callId: string): Promise<PastCall | undefined> {
    const live = this.#service.registry.get(callId);
    if (live?.decision !== undefined) {
      return { callId, startedAt: live.dump().startedAt, request: live.request, decision: live.decision };
    }
    const record = await findRecord(this.#config.cdr.path, callId);
    return record === undefined ? undefined : pastCallOf(record);
  }

  #createAdmin(): Admin {
    const { logger } = this.#log;
    return createAdmin({
      config: this.#config,
      version: VERSION,
      clock: this.#clock,
      random: this.#random,
      control: this.#control,
      state: () => ({
        tableLoaded: this.#holder.current.loaded,
        signallingUp: this.#signallingUp,
        draining: this.#service.draining,
      }),
      explain: (request) => this.#admission.explain(request),
      explanation: (decision, request) => this.#admission.explanation(decision, request, this.#policy),
      pastCall: (callId) => this.#pastCall(callId),
      liveCalls: () => this.#service.registry.dump(),
      liveCall: (callId) => this.#service.registry.get(callId)?.dump(),
      dump: async () => ({
        service: this.#service.dump(),
        signal: this.#signal.dump(),
        limits: this.#admission.limiter.dump(),
        table: this.#holder.current.dump(),
        store: this.#store.status(),
        timers: this.#clock.dump(),
        network: this.#network.dump(),
        media: await this.#media.dump(),
        recordsPending: this.#recorder.pending,
      }),
      metrics: () => this.#metrics.render(),
      authenticate: keyChecker(() => this.#directory.current.accounts(), this.#config.admin.operators),
      onError: (error, url) => logger.error({ err: error, url }, 'fault in the administration'),
    });
  }
}
