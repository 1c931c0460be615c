import { MessageChannel } from 'node:worker_threads';
import { type Clock, type Random, SystemClock, SystemRandom } from '../kernel/index.js';
import { toneGenerator } from '../media/codec/tone.js';
import type { StreamDialect, StreamReport, StreamSpec } from '../media/port.js';
import { openBotStream } from '../media/stream/botStream.js';
import { DIALECTS } from '../media/stream/dialects.js';
import { parseJson } from '../media/stream/dialect.js';
import type { BotDial, BotSocket, BotStream } from '../media/stream/port.js';
import { FRAME_SAMPLES } from '../media/stream/port.js';
import { locateBot, webSocketDialer } from '../media/stream/webSocket.js';
import { BotRules } from './botRules.js';

export interface BotCallPlan {
  readonly url: string;
  readonly dialect: StreamDialect;
  readonly sampleRate: 8000 | 16_000 | 24_000;
  /** Of speech; as much silence follows. */
  readonly speechMs: number;
  /** Until the bot must have been heard. */
  readonly patienceMs: number;
}

export interface BotCallResult {
  readonly rules: BotRules;
  readonly report: StreamReport;
  readonly connectMs: number | undefined;
}

const FRAME_MS = 20;
const KEY_MS = 120;
/** What the bot has for closing its side once it knows that the call is over. */
const CLOSE_MS = 3000;
/** What waits for a caller at most. */
const MAX_AHEAD_MS = 300_000;
/** RFC 6455 §7.4.1: there was no closing handshake. */
const CLOSED_ABNORMALLY = 1006;

/** Plays one call to a bot at its real pace: speech (a tone that comes and goes), a key, silence, stop. */
export class BotCall {
  readonly #plan: BotCallPlan;
  readonly #clock: Clock = new SystemClock();
  readonly #random: Random = new SystemRandom();
  readonly #spec: StreamSpec;
  readonly #rules: BotRules;
  #stream: BotStream | undefined;
  #dialledMs = 0;
  #startedMs: number | undefined;
  #stopping = false;
  #report: StreamReport | undefined;
  #socketOpen = false;
  #finish: () => void = () => {};

  constructor(plan: BotCallPlan) {
    this.#plan = plan;
    this.#spec = {
      url: plan.url,
      dialect: plan.dialect,
      direction: 'bidirectional',
      sampleRate: plan.sampleRate,
      encoding: 'l16',
      accountSid: 'tandem-check',
      callSid: this.#random.hex(16),
      streamSid: this.#random.hex(16),
      from: '+918040000001',
      to: '+918040000002',
      customParameters: {},
    };
    this.#rules = new BotRules(plan.dialect, this.#spec.streamSid, DIALECTS[plan.dialect].format(this.#spec));
  }

  /** Resolves when the call is over and its socket closed; never rejects. */
  async run(): Promise<BotCallResult> {
    const over = new Promise<void>((resolve) => (this.#finish = resolve));
    // Neither the clock's timers nor a socket that is still to come keep a process alive.
    const { port1: alive } = new MessageChannel();
    alive.ref();
    const clock = this.#clock;
    this.#dialledMs = clock.nowMs();
    this.#stream = openBotStream(
      this.#spec,
      { clock, random: this.#random, mayConnect: () => true, locate: locateBot, dial: this.#tapped() },
      {
        onStarted: () => this.#begin(),
        onEnded: (report) => this.#ended(report),
        onSendDtmf: () => {},
      },
    );
    await over;
    alive.close();
    const connectMs = this.#startedMs === undefined ? undefined : this.#startedMs - this.#dialledMs;
    return { rules: this.#rules, report: this.#report as StreamReport, connectMs };
  }

  #sinceStart(): number {
    return Math.round(this.#clock.nowMs() - (this.#startedMs ?? this.#clock.nowMs()));
  }

  #begin(): void {
    this.#startedMs = this.#clock.nowMs();
    this.#rules.note('connect');
    this.#tick(0, toneGenerator([440], { amplitude: 8000 }));
  }

  /** One frame in each direction, and the next tick by the count and not by the last one, so as not to drift. */
  #tick(count: number, tone: { fill(target: Int16Array): void }): void {
    const { speechMs, patienceMs } = this.#plan;
    const atMs = count * FRAME_MS;
    const heard = this.#rules.firstAudioMs !== undefined;
    if (this.#report !== undefined) return;
    if (atMs >= speechMs * 2 && (heard || atMs >= patienceMs)) return this.#hangUp();
    const pcm = new Int16Array(FRAME_SAMPLES);
    // Words of 300 ms with pauses of 100 ms: some bots take an endless tone for noise.
    if (atMs < speechMs && atMs % 400 < 300) tone.fill(pcm);
    this.#stream?.fromCaller(pcm);
    this.#stream?.toCaller();
    if (atMs === Math.floor(speechMs / 2 / FRAME_MS) * FRAME_MS) this.#stream?.dtmf('1', KEY_MS);
    const nextMs = (this.#startedMs as number) + atMs + FRAME_MS;
    this.#clock.setTimer('bot_check_tick', Math.max(0, nextMs - this.#clock.nowMs()), () =>
      this.#tick(count + 1, tone),
    );
  }

  /** Audio that the bot is ahead of the caller's ear. */
  #queuedMs(): number {
    return this.#rules.audioMs - this.#sinceStart();
  }

  #hangUp(): void {
    this.#stopping = true;
    this.#stream?.stop('callended');
  }

  #ended(report: StreamReport): void {
    this.#report = report;
    const rules = this.#rules;
    if (this.#startedMs === undefined) rules.note('connect', report.detail);
    else {
      const late = rules.firstAudioMs === undefined || rules.firstAudioMs > this.#plan.patienceMs;
      rules.note('audio', late ? `nothing within ${this.#plan.patienceMs} ms` : undefined);
      rules.note(
        'pace',
        this.#queuedMs() > MAX_AHEAD_MS ? `${Math.round(this.#queuedMs() / 1000)} s ahead` : undefined,
      );
      rules.note('stay', this.#stopping ? undefined : `left after ${this.#sinceStart()} ms: ${report.detail}`);
    }
    if (!this.#socketOpen) this.#finish();
  }

  /** The real dialer, with an ear on the line; and the close waits for the bot to close first. */
  #tapped(): BotDial {
    const dial = webSocketDialer(this.#clock);
    return (options, sink) => {
      this.#socketOpen = true;
      const socket: BotSocket = dial(options, {
        onOpen: () => sink.onOpen(),
        onText: (text) => {
          this.#rules.onText(text, this.#sinceStart());
          sink.onText(text);
        },
        onBinary: (data) => {
          this.#rules.onBinary(data, this.#sinceStart());
          sink.onBinary(data);
        },
        onClosed: (end) => {
          this.#socketOpen = false;
          if (this.#stopping) this.#closed(end.code);
          sink.onClosed(end);
          if (this.#report !== undefined) this.#finish();
        },
      });
      return this.#lingering(socket);
    };
  }

  #lingering(socket: BotSocket): BotSocket {
    const says = this.#plan.dialect === 'exotel' || this.#plan.dialect === 'twilio';
    return {
      sendText: (text) => {
        this.#answers(text);
        socket.sendText(text);
      },
      sendBinary: (data) => socket.sendBinary(data),
      close: (code, reason) => {
        if (!this.#stopping || !says) return socket.close(code, reason);
        this.#clock.setTimer('bot_check_close', CLOSE_MS, () => {
          if (!this.#socketOpen) return;
          this.#rules.note('close', `still open ${CLOSE_MS} ms after stop`);
          this.#stopping = false;
          socket.close(code, reason);
        });
      },
      get bufferedBytes() {
        return socket.bufferedBytes;
      },
    };
  }

  #closed(code: number | undefined): void {
    this.#rules.note('close', code === CLOSED_ABNORMALLY ? 'the connection was cut, not closed' : undefined);
  }

  /** Marks on their way back. */
  #answers(text: string): void {
    const json = parseJson(text) as { mark?: { name?: string }; data?: { name?: string }; name?: string } | undefined;
    const name = json?.mark?.name ?? json?.data?.name ?? json?.name;
    if (typeof name === 'string') this.#rules.answered(name);
  }
}
