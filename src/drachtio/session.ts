import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock, Random, Timer } from '../kernel/index.js';
import type { StreamConnection, StreamSink } from '../sip/index.js';
import type { Commands } from './commands.js';
import { type AppConnection, Outstanding } from './connection.js';
import { type Frame, FrameReader, encodeFrame, parsePayload } from './frames.js';
import { type Reply, no, nok } from './replies.js';
import type { RouteTable } from './routes.js';

/** Enough for any secret and its tags; nobody unknown may make us keep more. */
const MAX_FRAME_BEFORE_AUTHENTICATION = 4096;
const MAX_ROUTES = 64;
/** A program that authenticates with this tag is told of 100 Trying; others never are, as drachtio-srf would pass it on. */
const TRYING_TAG = 'trying';

/** What a session needs of its server. */
export interface SessionContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly secret: string;
  readonly maxFrameBytes: number;
  readonly authenticateTimeoutMs: number;
  readonly commands: Commands;
  readonly routes: RouteTable<Session>;
  /** Tokens of a successful authentication: addresses, version, local addresses. */
  welcome(): string;
  onClosed(session: Session): void;
  onError(error: unknown): void;
}

/** Who waits for an application that was dialled. One of the two is called, once. */
export interface SessionReady {
  onReady(session: Session): void;
  onLost(): void;
}

const digest = (text: string, encoding: BufferEncoding): Buffer =>
  createHash('sha256').update(Buffer.from(text, encoding)).digest();

/** One application's connection. */
export class Session implements AppConnection, StreamSink {
  readonly outstanding = new Outstanding();
  tags: readonly string[] = [];
  readonly #context: SessionContext;
  #connection: StreamConnection | undefined;
  readonly #reader = new FrameReader(MAX_FRAME_BEFORE_AUTHENTICATION);
  readonly #verbs = new Set<string>();
  /** Told once of a connection that we opened ourselves. */
  #ready: SessionReady | undefined;
  /** Frames of the current turn: they leave together, each reply before the events that its request caused. */
  #batch: Buffer[] | undefined;
  #authenticated = false;
  #open = true;
  #patience: Timer | undefined;

  /** @param ready for a connection that we opened: who waits for the application to prove itself. */
  constructor(context: SessionContext, connection: StreamConnection | undefined, ready?: SessionReady) {
    this.#context = context;
    this.#connection = connection;
    this.#ready = ready;
    const giveUp = (): void => this.close();
    this.#patience = context.clock.setTimer('drachtio authenticate', context.authenticateTimeoutMs, giveUp);
  }

  /** The connection that was being opened. */
  attach(connection: StreamConnection): void {
    this.#connection = connection;
  }

  get authenticated(): boolean {
    return this.#authenticated;
  }

  get wantsTrying(): boolean {
    return this.tags.includes(TRYING_TAG);
  }

  serves(verb: string): boolean {
    return this.#verbs.has(verb);
  }

  get open(): boolean {
    return this.#open;
  }

  send(leader: string, message?: Buffer): void {
    this.#write(encodeFrame(`${this.#context.random.uuid()}|${leader}`, message));
  }

  onData(chunk: Buffer): void {
    if (!this.#open) return;
    this.#batch = [];
    const outcome = this.#reader.push(chunk, (payload) => this.#onPayload(payload));
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch.length > 0) this.#connection?.write(batch.length === 1 ? (batch[0] as Buffer) : Buffer.concat(batch));
    if (!outcome.ok) this.close();
  }

  onClose(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#patience?.cancel();
    this.#context.routes.removeAll(this);
    this.#context.onClosed(this);
    const ready = this.#ready;
    this.#ready = undefined;
    ready?.onLost();
  }

  /** Ends the connection; what it owned is dealt with at once. */
  close(): void {
    this.#connection?.close();
    this.onClose();
  }

  dump(): object {
    const remote = this.#connection?.remote;
    return {
      remote: remote === undefined ? '' : `${remote.address}:${remote.port}`,
      authenticated: this.#authenticated,
      tags: this.tags,
      routes: [...this.#verbs],
      callsWithRequestsOutstanding: this.outstanding.size,
    };
  }

  #write(frame: Buffer): void {
    if (!this.#open) return;
    if (this.#batch === undefined) this.#connection?.write(frame);
    else this.#batch.push(frame);
  }

  /** @returns false to end the connection. */
  #onPayload(payload: Buffer): boolean {
    const frame = parsePayload(payload);
    const replyAt = this.#batch?.length ?? 0;
    const reply = this.#performGuarded(frame);
    if (reply === undefined) return true;
    const leader = `${this.#context.random.uuid()}|response|${frame.tokens[0] ?? ''}|${reply.text}`;
    // What this frame caused may already stand in the batch. drachtio-srf knows a transaction or a dialog only from
    // the reply on, so the reply goes before it.
    this.#batch?.splice(replyAt, 0, encodeFrame(leader, reply.message));
    return reply.close !== true;
  }

  /**
   * A frame without a reply would leave its promise pending for ever at the other end.
   * @returns undefined: the reply is sent later, by whoever works on it
   */
  #performGuarded(frame: Frame): Reply | undefined {
    try {
      return this.#perform(frame);
    } catch (error) {
      this.#context.onError(error);
      return nok('Server error: internal error');
    }
  }

  #perform(frame: Frame): Reply | undefined {
    const [, type, argument = ''] = frame.tokens;
    if (type === undefined) return no('Invalid message format');
    if (type === 'authenticate') return this.#authenticate(frame);
    if (!this.#authenticated) return no('not authenticated');
    switch (type) {
      case 'route':
        return this.#route(argument.toLowerCase());
      case 'remove_route':
        this.#verbs.delete(argument.toLowerCase());
        this.#context.routes.remove(argument.toLowerCase(), this);
        return { text: 'OK' };
      case 'ping':
        return { text: 'OK|pong' };
      case 'sip':
        return this.#context.commands.sip(this, frame);
      case 'proxy':
        return this.#context.commands.proxy(this, frame);
      default:
        return no('Unknown message type');
    }
  }

  #authenticate(frame: Frame): Reply {
    const [, , secret = '', tags = ''] = frame.tokens;
    this.tags = tags.split(',').filter((tag) => tag !== '');
    // Tokens are byte strings. Digests have equal length, so the comparison tells nothing of the secret's.
    if (!timingSafeEqual(digest(secret, 'latin1'), digest(this.#context.secret, 'utf8'))) return no('incorrect secret');
    this.#authenticated = true;
    this.#patience?.cancel();
    this.#reader.maxPayloadBytes = this.#context.maxFrameBytes;
    const ready = this.#ready;
    this.#ready = undefined;
    // What it waited for follows the reply to this frame.
    ready?.onReady(this);
    return { text: `OK|${this.#context.welcome()}` };
  }

  #route(verb: string): Reply {
    if (this.#verbs.size >= MAX_ROUTES && !this.#verbs.has(verb)) return nok('too many routes');
    this.#verbs.add(verb);
    this.#context.routes.add(verb, this);
    return { text: 'OK' };
  }
}
