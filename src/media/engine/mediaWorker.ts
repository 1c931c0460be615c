import { type Clock, type Metronome, type Random, SlotMap } from '../../kernel/index.js';
import { ClipLibrary } from '../play/library.js';
import type { MediaProblem } from '../port.js';
import { addressFamily } from '../sdp/numericAddress.js';
import { openBotStream } from '../stream/botStream.js';
import { type BotConnect, locateBot, webSocketDialer } from '../stream/webSocket.js';
import { egressPolicy } from '../stream/egress.js';
import { farPeer } from './farBridge.js';
import type { Command, MainLink, OpenReply, Order, Question, Reply, WorkerSettings } from './protocol.js';
import type { BindRtpPair } from './sockets.js';
import { WorkerEndpoint, type WorkerWorld } from './workerEndpoint.js';

const FRAME_MS = 20;
/**
 * The endpoints of a worker tick in turns, a fourth of them every 5 ms: what arrives waits for a fourth of the work of
 * a frame at most, and packets leave in four small bursts.
 */
const PHASES = 4;
/** From so many endpoints on, packets are asked for once a tick instead of being announced one by one. */
const CROWD = 64;

export interface MediaWorkerDeps {
  readonly main: MainLink;
  readonly settings: WorkerSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly metronome: Metronome;
  readonly bind: BindRtpPair;
  /** How bots are connected to without TLS; see WebSocketDialerOptions. */
  readonly connect?: BotConnect | undefined;
  /** Something broke that should not be able to. */
  readonly onDefect: (error: unknown) => void;
}

const gone: MediaProblem = { code: 'engine_down', message: 'no such endpoint', sipStatus: 503 };

/** Runs endpoints on its thread, by command of the main thread. */
export class MediaWorker {
  readonly #deps: MediaWorkerDeps;
  readonly #world: WorkerWorld;
  readonly #endpoints = new SlotMap<WorkerEndpoint>();
  readonly #phases: WorkerEndpoint[][] = Array.from({ length: PHASES }, () => []);
  #beat = 0;
  #stop: (() => void) | undefined;
  #worstTickMs = 0;
  #lostBeats = 0;

  constructor(deps: MediaWorkerDeps) {
    this.#deps = deps;
    const { settings, clock, random } = deps;
    this.#world = {
      settings,
      clock,
      random,
      library: new ClipLibrary(),
      openStream: openBotStream,
      streamDeps: {
        clock,
        random,
        mayConnect: egressPolicy(settings.botNetworks),
        locate: locateBot,
        dial: webSocketDialer(clock, { connect: deps.connect }),
      },
    };
  }

  start(): void {
    this.#deps.main.onCommand((command) => this.#receive(command));
    this.#deps.main.post({ type: 'ready' });
  }

  /** Ends all endpoints and the beat. */
  async stop(): Promise<void> {
    await Promise.all([...this.#endpoints.keys()].map((id) => this.#close(id)));
    this.#rest();
  }

  /** A thread without endpoints sleeps: 200 beats a second for nobody cost as much CPU as ten calls a second. */
  #work(): void {
    this.#stop ??= this.#deps.metronome.start(FRAME_MS / PHASES, (nowMs, lost) => this.#tick(nowMs, lost));
  }

  #rest(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #tick(nowMs: number, lost: number): void {
    if (lost > 0) this.#miss(lost);
    const phase = this.#phases[this.#beat] as WorkerEndpoint[];
    this.#beat = (this.#beat + 1) % PHASES;
    const crowded = this.#endpoints.size >= CROWD;
    for (const endpoint of phase) {
      try {
        endpoint.tick(nowMs, crowded);
      } catch (error) {
        // One endpoint's defect must not silence the others.
        this.#fail(endpoint, error);
      }
    }
    const tookMs = this.#deps.clock.nowMs() - nowMs;
    if (tookMs > this.#worstTickMs) this.#worstTickMs = tookMs;
  }

  /** Beats that will not be made up for: on each endpoint's wire the time has passed all the same. */
  #miss(beats: number): void {
    for (let i = 0; i < PHASES; i++) {
      const frames = Math.floor((beats + PHASES - 1 - i) / PHASES);
      for (const endpoint of this.#phases[(this.#beat + i) % PHASES] as WorkerEndpoint[]) endpoint.core.miss(frames);
    }
    this.#beat = (this.#beat + beats) % PHASES;
    this.#lostBeats += beats;
  }

  #receive(command: Command): void {
    if (!('ref' in command)) {
      this.#obey(command);
      return;
    }
    const { ref } = command;
    this.#answer(command).then(
      (reply) => this.#deps.main.post({ type: 'reply', ref, reply }),
      (error: unknown) => {
        this.#deps.onDefect(error);
        const problem: MediaProblem = { code: 'engine_down', message: String(error), sipStatus: 503 };
        this.#deps.main.post({ type: 'reply', ref, reply: { ok: false, problem } });
      },
    );
  }

  async #answer(question: Question): Promise<Reply> {
    if (question.op === 'ping') return {};
    if (question.op === 'dump') return this.#dump();
    if (question.op === 'open') return this.#open(question);
    const endpoint = this.#endpoints.get(question.id);
    if (endpoint === undefined) return { ok: false, problem: gone };
    switch (question.op) {
      case 'answerOffer':
        return endpoint.answerOffer(question.offer);
      case 'makeOffer':
        return endpoint.makeOffer();
      case 'acceptAnswer':
        return endpoint.acceptAnswer(question.answer);
      case 'quality':
        return endpoint.quality();
      case 'close':
        return this.#close(question.id);
    }
  }

  #obey(order: Order): void {
    const endpoint = this.#endpoints.get(order.id);
    if (endpoint === undefined) return;
    switch (order.op) {
      case 'play':
        endpoint.play(order.playId, order.spec).catch((error: unknown) => this.#fail(endpoint, error));
        return;
      case 'stopPlay':
        return endpoint.stopPlay(order.playId);
      case 'record':
        return endpoint.record(order.recordId, order.spec);
      case 'stopRecord':
        return endpoint.stopRecord(order.recordId);
      case 'startStream':
        return endpoint.startStream(order.streamId, order.spec);
      case 'stopStream':
        return endpoint.stopStream(order.streamId, order.reason);
      case 'sendDtmf':
        return endpoint.sendDtmf(order.digits);
      case 'injectDtmf':
        return endpoint.injectDtmf(order.digit, order.durationMs);
      case 'bridge':
        return this.#bridge(endpoint, order.otherId);
      case 'bridgeFar': {
        const far = farPeer(order.port, endpoint.core, () => endpoint.unbridge());
        return endpoint.bridge(far.peer, far.close);
      }
      case 'unbridge':
        return endpoint.unbridge();
    }
  }

  async #open(question: Extract<Question, { op: 'open' }>): Promise<OpenReply> {
    const { id, spec, rtpPort } = question;
    const { settings, main, bind } = this.#deps;
    const endpoint = new WorkerEndpoint(this.#world, spec, rtpPort, (event) => main.post({ type: 'event', id, event }));
    // What the offer says is wrong costs no socket.
    const described = spec.offer === undefined ? endpoint.makeOffer() : endpoint.answerOffer(spec.offer);
    if (!described.ok) return described;
    const address = addressFamily(settings.bindAddress) === 0 ? settings.address : settings.bindAddress;
    const sockets = await bind(address, rtpPort, endpoint);
    if (sockets === undefined) return { ok: false, portBusy: true };
    endpoint.attach(sockets);
    this.#endpoints.set(id, endpoint);
    const emptiest = this.#phases.reduce((best, phase) => (phase.length < best.length ? phase : best));
    endpoint.phase = this.#phases.indexOf(emptiest);
    emptiest.push(endpoint);
    this.#work();
    return described;
  }

  /** Both ends know of each other, and one that leaves takes the bridge down for both. */
  #bridge(endpoint: WorkerEndpoint, otherId: string): void {
    const other = this.#endpoints.get(otherId);
    if (other === undefined || other === endpoint) return;
    endpoint.bridge(other.core, () => other.unbridge());
    other.bridge(endpoint.core, () => endpoint.unbridge());
  }

  async #close(id: string): Promise<Reply> {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return { ok: false, problem: gone };
    this.#endpoints.delete(id);
    const phase = this.#phases[endpoint.phase] as WorkerEndpoint[];
    this.#phases[endpoint.phase] = phase.filter((one) => one !== endpoint);
    if (this.#endpoints.size === 0) this.#rest();
    return endpoint.close();
  }

  #fail(endpoint: WorkerEndpoint, error: unknown): void {
    this.#deps.onDefect(error);
    for (const [id, one] of this.#endpoints) {
      if (one !== endpoint) continue;
      const message = error instanceof Error ? error.message : String(error);
      const event = { on: 'failed', problem: { code: 'engine_down', message, sipStatus: 503 } } as const;
      this.#close(id)
        .catch(this.#deps.onDefect)
        .finally(() => this.#deps.main.post({ type: 'event', id, event }))
        .catch(this.#deps.onDefect);
    }
  }

  #dump(): object {
    const worstTickMs = this.#worstTickMs;
    this.#worstTickMs = 0;
    return {
      endpoints: Object.fromEntries([...this.#endpoints].map(([id, endpoint]) => [id, endpoint.dump()])),
      phases: this.#phases.map((phase) => phase.length),
      worstTickMs,
      lostBeats: this.#lostBeats,
      clips: this.#world.library.dump(),
      timers: this.#deps.clock.dump(),
    };
  }
}
