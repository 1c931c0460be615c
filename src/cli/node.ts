import { type Admin, createAdmin, keyChecker } from '../admin/index.js';
import type { PeerOverload } from '../call/admission/peerOverload.js';
import { HeaderPolicy } from '../call/bridge/headerPolicy.js';
import { TableHolder } from '../call/routing/compile.js';
import type { RoutingStore } from '../call/routing/resources.js';
import type { CallEvent } from '../call/session/events.js';
import { CallService } from '../call/session/service.js';
import { SpendWatch } from '../call/session/spendWatch.js';
import { type Config, assertSafeExposure } from '../config/index.js';
import { Control, DirectoryHolder } from '../control/index.js';
import { EventChannel, SystemClock, SystemRandom } from '../kernel/index.js';
import { NodeNetwork, SystemResolver, TlsIdentity } from '../net/index.js';
import { CallLog, type LogSink, type Metrics, createLogger, createMetrics } from '../observe/index.js';
import { type SignalPort, type SrfAgent, createDirectSignal, createSrfSignal } from '../signal/index.js';
import { type StoreConfig, openStore } from '../store/index.js';
import { Accounting } from './accounting.js';
import { LiveAdmission } from './admission.js';
import { Registrations } from './registrations.js';
import { sipEgress } from './egress.js';
import { GatewayWatch } from './gateways.js';
import { listenSpecs } from './listenSpecs.js';
import { MediaPlane, type MediaPlaneDeps } from './mediaPlane.js';
import { type Neighbour, agentPlace, createMediaAgent, createNeighbour } from './mediaSignal.js';
import { createOverload, createPeerOverload } from './overload.js';
import { findPastCall } from './pastCall.js';
import { numberFormat, pause } from './table.js';
import { terminationProbe } from './termination.js';
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
  readonly #accounting: Accounting;
  readonly #gateways: GatewayWatch;
  readonly #peers: PeerOverload | undefined;
  readonly #spendWatch: SpendWatch;
  readonly #metrics: Metrics;
  readonly #admission: LiveAdmission;
  readonly #registrations: Registrations;
  readonly #tls: TlsIdentity | undefined;
  readonly #network: NodeNetwork;
  readonly #overload: ReturnType<typeof createOverload>;
  readonly #neighbour: Neighbour | undefined;
  readonly #mediaAgent: SrfAgent | undefined;
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
    const mayCall = sipEgress(config);
    this.#control = new Control({ store: this.#store, directory: this.#directory, clock: this.#clock, mayCall });
    const calls = new CallLog(logger);
    this.#metrics = this.#createMetrics();
    this.#accounting = new Accounting(config, {
      clock: this.#clock,
      random: this.#random,
      logger,
      onAlarm: (alarm) => {
        calls.observeRecorder(alarm);
        this.#metrics.observeRecorder(alarm);
      },
    });
    this.#accounting.follow(this.#holder);
    this.#peers = createPeerOverload(config, this.#random);
    this.#gateways = this.#createGateways();
    const events = this.#createEvents(calls);
    this.#spendWatch = this.#watchSpend(events);
    const { clock } = this;
    this.#registrations = this.#createRegistrations(events);
    this.#admission = new LiveAdmission(this.#holder, {
      ...{ clock, random: this.#random, egress: mayCall },
      limiter: this.#accounting.limiter,
      spend: this.#accounting.spend,
      ...{ unlisted: config.calls.unlistedSources, health: this.#gateways.health },
      ...{ registrations: this.#registrations, peers: this.#peers },
    });
    this.#tls = this.#createTls();
    this.#network = new NodeNetwork({
      clock,
      gatherMs: config.sip.gatherMs,
      // Whoever hears of a call hears of one that is on record.
      beforeSending: () => this.#accounting.recorder.settle(),
      tls: this.#tls,
      webSocket: {
        maxMessageBytes: config.sip.maxMessageBytes,
        origins: config.sip.webSocket.origins?.map((origin) => origin.toLowerCase()),
      },
    });
    const dialling = { network: this.#network, clock, random: this.#random, logger };
    this.#neighbour = createNeighbour(config, dialling);
    this.#mediaAgent = createMediaAgent(config, dialling);
    const isListed = (address: string): boolean => this.#admission.isListed(address);
    this.#overload = createOverload(config, { clock, logger, isListed, restedMs: () => this.#network.restedMs });
    this.#signal = this.#createSignal();
    this.#media = new MediaPlane(config, { clock, random: this.#random, logger, dialer: this.#mediaAgent, ...parts });
    this.#service = this.#createService(events);
    this.#admin = this.#createAdmin();
  }

  get clock(): SystemClock {
    return this.#clock;
  }

  /** @returns addresses of SIP, and the URL of the administration. */
  async start(): Promise<{ readonly sip: readonly string[]; readonly admin: string }> {
    await this.#followStore();
    await this.#accounting.start(this.#holder);
    await this.#media.start();
    await this.#registrations.start();
    const sip = await this.#signal.start(this.#service);
    const bound = await this.#neighbour?.server.listen();
    await this.#mediaAgent?.connect(agentPlace(this.#config, bound, this.#neighbour));
    this.#gateways.start();
    this.#registrations.follow(this.#holder);
    const admin = await this.#admin.listen();
    this.#log.logger.info({ sip, admin, revision: this.#holder.current.revision, version: VERSION }, 'tandem is up');
    return { sip, admin };
  }

  /** Reads the certificates of TLS again; connections that are up keep what they have. */
  reload(): void {
    if (this.#tls === undefined) return;
    this.#tls.reload();
    this.#log.logger.info({ certificates: this.#tls.dump() }, 'certificates were read anew');
  }

  async drain(): Promise<void> {
    const left = this.#registrations.leaveCarriers();
    await this.#service.drain(this.#config.calls.drainSeconds * 1000);
    this.#accounting.recorder.settle();
    await left;
  }

  async stop(): Promise<void> {
    await this.#admin.close();
    this.#gateways.stop();
    this.#spendWatch.close();
    // Channels of media servers are dialogs themselves: they go while signalling is there.
    if (this.#mediaAgent !== undefined) await this.#media.stop();
    await this.#mediaAgent?.close();
    this.#neighbour?.server.stop();
    this.#overload?.close();
    await this.#signal.stop();
    this.#tls?.close();
    await this.#media.stop();
    await this.#registrations.stop();
    await this.#accounting.stop();
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
      (problem) => {
        const refused = problem.code === 'invalid_document';
        const what = refused ? 'routing document refused' : 'trouble with the routing store';
        logger.error(problem, `${what}; the last good one stays`);
      },
    );
    const status = this.#store.status();
    if (status.stale) logger.warn(status, 'serving from the last known routing document');
  }

  #watchSpend(events: EventChannel<CallEvent>): SpendWatch {
    const watch = new SpendWatch({
      clock: this.#clock,
      spend: this.#accounting.spend,
      capsOf: (trunkSid, accountSid) => this.#holder.current.capsOf(trunkSid, accountSid),
      end: (callId, key) => this.#service.endUnpaid(callId, key),
    });
    events.subscribe(watch.observe);
    return watch;
  }

  #createSignal(): SignalPort {
    const { sip } = this.#config;
    const { clock } = this;
    const random = this.#random;
    const { logger } = this.#log;
    if (sip.engine === 'drachtio') {
      return createSrfSignal({
        ...sip.drachtio,
        resolver: new SystemResolver({ clock }),
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
      listen: listenSpecs(this.#config, this.#registrations.isNode),
      nodeSilenceMs: this.#config.calls.silenceTimeoutMs,
      largeRequests: sip.largeRequests,
      responsesFrom: sip.responsesFrom,
      maxConnections: sip.maxConnections,
      idleConnectionMs: sip.idleConnectionSeconds * 1000,
      keepAliveMs: sip.keepAliveSeconds * 1000,
      limits: { maxMessageBytes: sip.maxMessageBytes, maxHeaders: sip.maxHeaders },
      userAgent: sip.userAgent === '' ? undefined : sip.userAgent,
      gate: this.#admission,
      overload: this.#overload,
      onOverloadTold: this.#peers && ((gateway, word) => this.#peers?.heard(gateway, word, clock.nowMs())),
      neighbour: this.#neighbour?.server,
      onEvent: (event) => {
        if (event.type === 'user_error') logger.error({ err: event.error }, 'fault in the call path');
        else if (event.type === 'malformed')
          logger.debug({ source: event.source.address, reason: event.reason }, 'malformed message');
      },
    });
  }

  #createRegistrations(events: EventChannel<CallEvent>): Registrations {
    return new Registrations(this.#config, {
      clock: this.#clock,
      random: this.#random,
      logger: this.#log.logger,
      events,
      table: () => this.#holder.current,
      signal: () => this.#signal,
    });
  }

  #createGateways(): GatewayWatch {
    const { logger } = this.#log;
    return new GatewayWatch(this.#config.calls.health, {
      clock: this.#clock,
      signal: () => this.#signal,
      table: () => this.#holder.current,
      peers: this.#peers,
      onChange: (change) => logger[change.state === 'down' ? 'warn' : 'info'](change, `gateway is ${change.state}`),
    });
  }

  #createEvents(calls: CallLog): EventChannel<CallEvent> {
    const { logger } = this.#log;
    const events = new EventChannel<CallEvent>((error) => logger.error({ err: error }, 'fault in an observer'));
    events.subscribe(calls.observe);
    events.subscribe(this.#metrics.observe);
    events.subscribe(this.#accounting.observe);
    events.subscribe(this.#gateways.observe);
    events.subscribe((event) => {
      if (event.type === 'signalling') this.#signallingUp = event.up;
    });
    return events;
  }

  #createTls(): TlsIdentity | undefined {
    const { tls } = this.#config.sip;
    if (tls.certificates.length === 0) return undefined;
    return new TlsIdentity(tls, this.#clock, (problem) => {
      this.#log.logger.error({ err: problem }, 'new certificates refused; those before them stay');
    });
  }

  #createService(events: EventChannel<CallEvent>): CallService {
    const { calls, node } = this.#config;
    return new CallService({
      port: this.#signal,
      clock: this.#clock,
      random: this.#random,
      admission: this.#admission,
      recorder: this.#accounting.recorder,
      events,
      nodeId: node.id,
      policy: this.#policy,
      settings: {
        silenceTimeoutMs: calls.silenceTimeoutMs,
        ringTimeoutMs: calls.maxSetupMs,
        maxCallMs: calls.maxCallMs,
      },
      failover: calls.failover,
      health: this.#gateways.health,
      maxCalls: calls.maxCalls,
      registrar: this.#config.registrar.enabled ? this.#registrations.registrar : undefined,
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
        recordsPending: () => this.#accounting.recorder.pending,
        store: () => this.#store.status(),
        draining: () => this.#service.draining,
        overload: () => this.#overload?.dump(),
        gatewaysDown: () => this.#gateways.down,
        peers: this.#peers && { kept: () => this.#peers?.kept ?? 0, spared: () => this.#gateways.spared() },
        registrations: () => this.#registrations.size,
        carrierRegistrations: () => this.#registrations.carrierStates(),
        streams: () => this.#service.registry.liveStreams,
        mediaPorts: () => this.#media.ports,
      },
    });
  }

  async #renderMetrics(): Promise<{ readonly contentType: string; readonly body: string }> {
    const { contentType, body } = await this.#metrics.render();
    const programs = this.#config.drachtio.listen === undefined ? undefined : this.#neighbour?.server.metrics();
    return { contentType, body: programs === undefined ? body : body + programs };
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
      pastCall: (callId) => findPastCall(callId, this.#service.registry, this.#accounting.queries),
      probe: terminationProbe({
        clock: this.#clock,
        resolver: new SystemResolver({ clock: this.#clock }),
        signal: () => this.#signal,
      }),
      searchRecords: (query) => this.#accounting.queries.query(query),
      gateways: () => this.#gateways.list(),
      registrations: this.#registrations,
      originate: (order) => this.#service.originate(order),
      hangUp: (callId) => this.#service.endByApi(callId),
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
        accounting: this.#accounting.dump(),
        gateways: this.#gateways.dump(),
        registrations: this.#registrations.dump(),
        recordsPending: this.#accounting.recorder.pending,
      }),
      metrics: () => this.#renderMetrics(),
      authenticate: keyChecker(() => this.#directory.current.accounts(), this.#config.admin.operators),
      onError: (error, url) => logger.error({ err: error, url }, 'fault in the administration'),
    });
  }
}
