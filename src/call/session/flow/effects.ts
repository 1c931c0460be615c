/** Performs what a flow wants, effect by effect, and tells it what came of it. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Timer } from '../../../kernel/index.js';
import type { PlayEnd, RecordEnd, StreamReport } from '../../../media/port.js';
import type { HeaderEntry, SignalMessage } from '../../../signal/port.js';
import type { FetchEffect, FlowEffect, Party, RecordEffect, StreamEffect } from '../../flow/effects.js';
import { maskUrl } from '../../flow/trace.js';
import type { Anchor, AnchorSink } from './anchor.js';
import { bridgeEarlyMedia, openEarlyMedia } from './earlyMedia.js';
import type { FlowCall } from './flowCall.js';
import { Referral } from './referral.js';
import { type SoundProblem, soundsOf, wavFetcher } from './sources.js';

const SDP = 'application/sdp';

type EffectOf<T extends FlowEffect['type']> = Extract<FlowEffect, { readonly type: T }>;

export class Effects implements AnchorSink {
  /** What callees are told when the caller hung up. */
  releaseHeaders: readonly HeaderEntry[] = [];
  readonly #call: FlowCall;
  readonly #timers = new Map<string, Timer>();
  readonly #fetches = new Map<string, { cancel(): void }>();
  /** Plays whose sounds are being fetched or spoken, or that wait for the caller's media. */
  readonly #wanted = new Map<string, Party>();
  readonly #streamSids = new Map<string, string>();
  /** Status for a caller whom the media plane could not answer. */
  #refused: number | undefined;
  #referral: Referral | undefined;
  #stopped = false;

  constructor(call: FlowCall) {
    this.#call = call;
  }

  perform(effect: FlowEffect): void {
    switch (effect.type) {
      case 'answer':
        return this.#answer(effect.dialId);
      case 'progress':
        return this.#progress(effect);
      case 'earlyMedia':
        return void this.#settle('early_media', () => openEarlyMedia(this.#call));
      case 'play':
        return this.#play(effect);
      case 'stopPlay':
        return this.#stopPlay(effect.playId);
      case 'startRecord':
        return this.#startRecord(effect);
      case 'stopRecord':
        return this.#stopRecord(effect.recordId);
      case 'startStream':
        return this.#startStream(effect);
      case 'stopStream':
        return this.#stopStream(effect.streamId);
      case 'streamDtmf':
        return this.#call.media.anchor?.endpoint?.injectDtmf(effect.digit, effect.durationMs);
      case 'fetch':
        return this.#fetch(effect);
      case 'cancelFetch':
        this.#fetches.get(effect.fetchId)?.cancel();
        this.#fetches.delete(effect.fetchId);
        return;
      case 'sendDtmf':
        return this.#anchorOf(effect.to)?.endpoint?.sendDtmf(effect.digits);
      case 'setTimer':
        return this.#setTimer(effect.timerId, effect.ms);
      case 'cancelTimer':
        return this.#cancelTimer(effect.timerId);
      case 'trace':
        return this.#call.step(effect.step);
      case 'startGather':
      case 'stopGather':
        // Keys in the audio are always listened for.
        return;
      default:
        return this.#performOnLegs(effect);
    }
  }

  /** The ACK of our 2xx. In a late offer it brings the answer to ours. */
  callerAcked(message: SignalMessage): void {
    const { media, caller } = this.#call;
    if (!caller.lateOffer || media.anchor === undefined) return this.#call.deliver({ type: 'answered' });
    void this.#settle('answer', async () => {
      const accepted = await media.anchor?.acceptAnswer(message.body);
      if (accepted?.ok === true) this.#call.deliver({ type: 'answered' });
      else this.#call.deliver({ type: 'answerFailed', detail: accepted?.problem.code ?? 'media_lost' });
    });
  }

  /** What became of a REFER. */
  callerNotified(message: SignalMessage): void {
    this.#referral?.notified(message);
  }

  /** The caller has hung up. */
  callerLeft(): void {
    this.#referral?.left();
  }

  /** Ends timers, questions and dials. The media are closed by the call. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    for (const fetch of this.#fetches.values()) fetch.cancel();
    this.#fetches.clear();
    this.#wanted.clear();
    this.#referral?.cancel();
    this.#call.dials.hangUpAll(NORMAL_CLEARING);
  }

  dump(): object {
    return { timers: [...this.#timers.keys()], fetches: [...this.#fetches.keys()], plays: [...this.#wanted.keys()] };
  }

  // What the caller's audio tells.

  onKey(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void {
    this.#call.deliver({ type: 'digit', digit, durationMs, by });
  }

  onPlayEnded(playId: string, end: PlayEnd, detail: string): void {
    this.#call.deliver({ type: 'playEnded', playId, end, detail });
  }

  onRecordEnded(recordId: string, end: RecordEnd, durationMs: number): void {
    this.#call.deliver({ type: 'recordEnded', recordId, end, durationMs, url: this.#recordingUrl(recordId) });
  }

  onStreamStarted(streamId: string): void {
    this.#call.deliver({ type: 'streamStarted', streamId, streamSid: this.#streamSids.get(streamId) ?? '' });
  }

  onStreamEnded(streamId: string, report: StreamReport): void {
    this.#call.streams.push(report);
    this.#call.deliver({ type: 'streamEnded', streamId, report });
  }

  onMediaLost(detail: string): void {
    this.#call.media.drop();
    this.#call.deliver({ type: 'mediaFailed', detail });
  }

  // The caller's and the callees' legs.

  #performOnLegs(
    effect: EffectOf<
      'dial' | 'hangUpDial' | 'bridgeMedia' | 'releaseMedia' | 'transfer' | 'refer' | 'reject' | 'hangup'
    >,
  ): void {
    const { dials, start } = this.#call;
    switch (effect.type) {
      case 'dial':
        return dials.dial(effect);
      case 'hangUpDial': {
        const told = this.releaseHeaders.length > 0 ? this.releaseHeaders : undefined;
        return dials.hangUp(effect.dialId, effect.cause, told);
      }
      case 'bridgeMedia':
        return dials.bridge(effect.dialId);
      case 'releaseMedia':
        return dials.release(effect.dialId);
      case 'transfer': {
        const { transferId, flowId } = effect;
        return this.#call.deliver({ type: 'flowLoaded', transferId, flow: start.flows.find(flowId) });
      }
      case 'refer':
        return this.#refer(effect);
      case 'reject':
      case 'hangup':
        return this.#call.end(effect, this.#refused);
    }
  }

  #answer(dialId: string | undefined): void {
    const { caller, media, dials, observer } = this.#call;
    if (dialId !== undefined) {
      const dial = dials.get(dialId);
      if (dial?.leg === undefined) {
        return this.#call.deliver({ type: 'answerFailed', detail: 'the callee has gone' });
      }
      dials.joinDirect(dial);
      if (!caller.lateOffer) dial.ack();
      // Noted before anybody is told: the record says so, also if the process dies in between.
      observer.onAnswered(dial.attempt);
      caller.answer(dial.content);
      return this.#call.answered();
    }
    void this.#settle('answer', async () => {
      const described = await media.open();
      if (this.#stopped) return;
      if (described.ok) {
        observer.onAnswered();
        caller.answer({ contentType: SDP, body: described.sdp });
        return this.#call.answered();
      }
      this.#refused = described.problem.sipStatus;
      this.#call.deliver({ type: 'answerFailed', detail: described.problem.code });
    });
  }

  #progress({ status, dialId }: EffectOf<'progress'>): void {
    const dial = this.#call.dials.get(dialId);
    if (status === 183 && dial?.anchor !== undefined) {
      return void this.#settle('early_media', () => bridgeEarlyMedia(this.#call, dial));
    }
    const content = dial?.order.media === 'direct' ? { ...dial.content, headers: dial.earlyMediaHeaders } : {};
    this.#call.caller.progress(status, content);
    this.#call.observer.onRinging(status, dial?.order.media === 'direct' && dial.content.body !== undefined);
  }

  #refer({ referId, uri }: EffectOf<'refer'>): void {
    const { caller } = this.#call;
    if (!caller.up) return this.#call.deliver({ type: 'referEnded', referId, accepted: false, sipStatus: 0 });
    const { clock } = this.#call.world;
    this.#referral?.cancel();
    this.#referral = new Referral(clock, (accepted, sipStatus) => {
      this.#call.deliver({ type: 'referEnded', referId, accepted, sipStatus });
    });
    this.#referral.send(caller.leg, uri);
  }

  // Audio.

  #play({ playId, to, sources, repeat }: EffectOf<'play'>): void {
    const failed = (detail: string, code?: SoundProblem): void => {
      if (this.#wanted.delete(playId)) this.#call.deliver({ type: 'playEnded', playId, end: 'failed', detail, code });
    };
    const fetchWav = wavFetcher(this.#call.world.plane, (fetch) => this.#fetches.set(`wav ${playId}`, fetch));
    this.#wanted.set(playId, to);
    void this.#settle('play', async () => {
      const sounds = await soundsOf(sources, this.#call.world.plane, fetchWav);
      this.#fetches.delete(`wav ${playId}`);
      if (!sounds.ok) return failed(sounds.detail, sounds.code);
      const start = (anchor: Anchor): void => {
        if (this.#wanted.delete(playId)) anchor.play(playId, { sources: sounds.sources, repeat });
      };
      if (!this.#wanted.has(playId)) return;
      if (to === 'caller') return this.#call.media.use({ name: playId, start, failed });
      const anchor = this.#anchorOf(to);
      if (anchor === undefined) failed('the callee has no media here');
      else start(anchor);
    });
  }

  #stopPlay(playId: string): void {
    this.#fetches.get(`wav ${playId}`)?.cancel();
    this.#fetches.delete(`wav ${playId}`);
    this.#call.media.withdraw(playId);
    if (this.#wanted.delete(playId)) return;
    this.#call.media.anchor?.stopPlay(playId);
    this.#call.dials.stopPlay(playId);
  }

  #startRecord({ recordId, channels, maxMs, silenceMs }: RecordEffect): void {
    const spec = { path: this.#recordingPath(recordId), channels, maxMs, silenceMs };
    this.#call.media.use({
      name: recordId,
      start: (anchor) => anchor.record(recordId, spec),
      failed: () => this.onRecordEnded(recordId, 'failed', 0),
    });
  }

  #stopRecord(recordId: string): void {
    if (this.#call.media.withdraw(recordId)) this.onRecordEnded(recordId, 'stopped', 0);
    else this.#call.media.anchor?.stopRecord(recordId);
  }

  #startStream(effect: StreamEffect): void {
    const { start, world, media } = this.#call;
    const { streamId, url, dialect, direction, sampleRate, encoding, frameMs, maxMs, customParameters } = effect;
    const streamSid = world.random.hex(16);
    this.#streamSids.set(streamId, streamSid);
    const { decision, callId } = start;
    const parties = {
      accountSid: decision.accountSid ?? '',
      callSid: callId,
      from: decision.callerNumber.e164 ?? decision.callerNumber.sent ?? '',
      to: decision.calledNumber.e164 ?? decision.calledNumber.received,
    };
    const audio = { url, dialect, direction, sampleRate, encoding, frameMs, maxMs };
    media.use({
      name: streamId,
      start: (anchor) => anchor.startStream(streamId, { ...audio, ...parties, streamSid, customParameters }),
      failed: (detail) => this.onStreamEnded(streamId, { ...NEVER_STREAMED, streamSid, detail }),
    });
  }

  #stopStream(streamId: string): void {
    const streamSid = this.#streamSids.get(streamId) ?? '';
    if (this.#call.media.withdraw(streamId)) {
      this.onStreamEnded(streamId, { ...NEVER_STREAMED, streamSid, detail: 'stopped before it began' });
    } else this.#call.media.anchor?.stopStream(streamId, this.#call.caller.open ? 'stopped' : 'callended');
  }

  // The rest.

  #fetch({ fetchId, detached, ...ask }: FetchEffect): void {
    const fetch = this.#call.world.plane.http.fetch(ask, (answer) => {
      if (detached || this.#stopped) return;
      this.#fetches.delete(fetchId);
      if (answer.ok) {
        this.#call.deliver({ type: 'fetched', fetchId, status: answer.status, body: answer.body.toString('utf8') });
      } else this.#call.deliver({ type: 'fetchFailed', fetchId, reason: `${maskUrl(ask.url)}: ${answer.reason}` });
    });
    if (!detached) this.#fetches.set(fetchId, fetch);
  }

  #setTimer(timerId: string, ms: number): void {
    this.#timers.get(timerId)?.cancel();
    // Without its node and step: names of timers are labels of metrics.
    const name = timerId.slice(timerId.lastIndexOf(':') + 1);
    const timer = this.#call.world.clock.setTimer(`flow.${name}`, ms, () => {
      this.#timers.delete(timerId);
      this.#call.deliver({ type: 'timer', timerId });
    });
    this.#timers.set(timerId, timer);
  }

  #cancelTimer(timerId: string): void {
    this.#timers.get(timerId)?.cancel();
    this.#timers.delete(timerId);
  }

  #anchorOf(party: Party): Anchor | undefined {
    return party === 'caller' ? this.#call.media.anchor : this.#call.dials.get(party.dialId)?.anchor;
  }

  #recordingPath(recordId: string): string {
    return join(this.#call.world.plane.settings.recordingsPath, this.#recordingName(recordId));
  }

  #recordingUrl(recordId: string): string {
    const { recordingsUrl } = this.#call.world.plane.settings;
    if (recordingsUrl === undefined) return pathToFileURL(this.#recordingPath(recordId)).href;
    return `${recordingsUrl.replace(/(?<!\/)\/+$/, '')}/${this.#recordingName(recordId)}`;
  }

  #recordingName(recordId: string): string {
    return `${this.#call.start.callId}-${recordId}.wav`;
  }

  /** Work that takes time; an exception in it ends the call. */
  async #settle(where: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#call.fault(where, error);
    }
  }
}

const NORMAL_CLEARING = 16;

const NEVER_STREAMED = {
  disconnectedBy: 'NA',
  status: 'failed',
  durationMs: 0,
  framesSent: 0,
  framesReceived: 0,
} as const;
