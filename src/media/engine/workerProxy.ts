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
/**
 * A worker that answers none of so many calls in a row carries no audio either: it is ended, and so restarted. They are
 * counted, not timed: a machine that was asleep, or this thread held up, is no fault of the worker's.
 */
const MOST_UNANSWERED = 5;
const PING_MS = 2000;

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
  #watch: Timer | undefined;
  #unanswered = 0;
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
    this.#watch?.cancel();
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
    this.#unanswered = 0;
    this.#watchOver();
  }

  #watchOver(): void {
    this.#watch = this.#clock.setTimer('mediaWorkerWatch', PING_MS, () => {
      const link = this.#link;
      if (link === undefined) return;
      if (++this.#unanswered > MOST_UNANSWERED) void link.terminate();
      else {
        void this.ask({ op: 'ping' });
        this.#watchOver();
      }
    });
  }

  #life: object | undefined;

  #receive(message: FromWorker): void {
    this.#unanswered = 0;
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
    this.#watch?.cancel();
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
