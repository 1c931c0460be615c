import type { Clock, Timer } from '../../kernel/index.js';
import type { MessagePort } from 'node:worker_threads';
import type {
  EndpointEvent,
  FromWorker,
  Order,
  Question,
  Reply,
  SpawnWorker,
  WorkerLink,
  WorkerSettings,
} from './protocol.js';

/** A worker that lived shorter than this is restarted with growing patience: something is wrong for good. */
const SOON_MS = 10_000;
const LONGEST_PAUSE_MS = 5000;

export interface WorkerOwner {
  onEvent(id: string, event: EndpointEvent): void;
  /** Everything on this worker is gone. */
  onCrashed(worker: WorkerProxy, reason: string): void;
}

/** The main thread's view of one worker: questions and replies, death and rebirth. */
export class WorkerProxy {
  readonly #spawn: SpawnWorker;
  readonly #settings: WorkerSettings;
  readonly #owner: WorkerOwner;
  readonly #clock: Clock;
  #link: WorkerLink | undefined;
  #pending = new Map<number, (reply: Reply | undefined) => void>();
  #nextRef = 1;
  #startedAtMs = 0;
  #quickDeaths = 0;
  #restart: Timer | undefined;
  #stopping = false;
  #ready: ((ready: boolean) => void)[] = [];
  /** Endpoints that live here. */
  load = 0;
  crashes = 0;

  constructor(deps: { spawn: SpawnWorker; settings: WorkerSettings; clock: Clock }, owner: WorkerOwner) {
    this.#spawn = deps.spawn;
    this.#settings = deps.settings;
    this.#clock = deps.clock;
    this.#owner = owner;
  }

  get alive(): boolean {
    return this.#link !== undefined;
  }

  /** Resolves to false when the worker died before it was ready. */
  start(): Promise<boolean> {
    this.#launch();
    return new Promise((resolve) => this.#ready.push(resolve));
  }

  tell(order: Order, transfer?: readonly MessagePort[]): void {
    this.#link?.post(order, transfer);
  }

  /** Resolves to undefined when the worker is gone. */
  ask(question: Question): Promise<Reply | undefined> {
    const link = this.#link;
    if (link === undefined) return Promise.resolve(undefined);
    const ref = this.#nextRef++;
    return new Promise((resolve) => {
      this.#pending.set(ref, resolve);
      link.post({ ...question, ref });
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#restart?.cancel();
    await this.#link?.terminate();
    this.#link = undefined;
    this.#answerAll();
  }

  #launch(): void {
    this.#startedAtMs = this.#clock.nowMs();
    const life = {};
    this.#life = life;
    this.#link = this.#spawn(this.#settings, {
      onMessage: (message) => {
        if (this.#life === life) this.#receive(message);
      },
      onExit: (reason) => {
        if (this.#life === life) this.#died(reason);
      },
    });
  }

  #life: object | undefined;

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'ready':
        for (const resolve of this.#ready.splice(0)) resolve(true);
        return;
      case 'reply': {
        const resolve = this.#pending.get(message.ref);
        this.#pending.delete(message.ref);
        resolve?.(message.reply);
        return;
      }
      case 'event':
        this.#owner.onEvent(message.id, message.event);
    }
  }

  #died(reason: string): void {
    this.#link = undefined;
    this.#answerAll();
    if (this.#stopping) return;
    this.crashes++;
    this.#owner.onCrashed(this, reason);
    const quick = this.#clock.nowMs() - this.#startedAtMs < SOON_MS;
    this.#quickDeaths = quick ? this.#quickDeaths + 1 : 0;
    const pauseMs = this.#quickDeaths <= 1 ? 0 : Math.min(LONGEST_PAUSE_MS, 100 * 2 ** (this.#quickDeaths - 2));
    if (pauseMs === 0) this.#launch();
    else this.#restart = this.#clock.setTimer('mediaWorkerRestart', pauseMs, () => this.#launch());
  }

  #answerAll(): void {
    const pending = this.#pending;
    this.#pending = new Map();
    for (const resolve of pending.values()) resolve(undefined);
    for (const resolve of this.#ready.splice(0)) resolve(false);
  }
}
