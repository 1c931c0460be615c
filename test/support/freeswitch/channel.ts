/** One channel of the stand-in: applications in sequence, API commands beside them, events, real RTP. */
import { open, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { parseWav } from '../../../src/media/codec/wav.js';
import type { EndpointEvent } from '../../../src/media/engine/protocol.js';
import type { RtpSocketPair } from '../../../src/media/engine/sockets.js';
import type { WorkerEndpoint } from '../../../src/media/engine/workerEndpoint.js';
import type { PlaySource } from '../../../src/media/index.js';
import type { IncomingLeg } from '../../../src/signal/index.js';
import { type EslCommand, EslSocket, fields } from './esl.js';

interface Execution {
  readonly application: string;
  readonly argument: string;
  readonly eventUuid: string;
}

export interface ChannelHost {
  readonly coreUuid: string;
  /** Commands of other channels, and of none. @returns undefined for those that are never answered */
  api(line: string): Promise<string | undefined>;
  /** The CHANNEL_DATA of this stand-in may be malformed on purpose. */
  readonly strangeData: string;
  /** By channel and name. */
  readonly forks: ReadonlyMap<string, { stop(): void }>;
  gone(channel: StandInChannel): void;
}

export class StandInChannel {
  readonly uuid: string;
  readonly variables = new Map<string, string>();
  readonly leg: IncomingLeg;
  readonly rtpPort: number;
  readonly #host: ChannelHost;
  readonly endpoint: WorkerEndpoint;
  readonly sockets: RtpSocketPair;
  sdp: Buffer;
  #esl: EslSocket | undefined;
  #queue: Execution[] = [];
  #running: Execution | undefined;
  #playing: { readonly id: string; readonly file: string; readonly done: (end: string) => void } | undefined;
  #breakFlag = false;
  #inband = false;
  #plays = 0;
  #stopped = new Set<string>();
  partner: StandInChannel | undefined;
  over = false;

  constructor(
    host: ChannelHost,
    parts: {
      uuid: string;
      leg: IncomingLeg;
      rtpPort: number;
      endpoint: WorkerEndpoint;
      sockets: RtpSocketPair;
      sdp: Buffer;
    },
  ) {
    this.#host = host;
    this.uuid = parts.uuid;
    this.leg = parts.leg;
    this.rtpPort = parts.rtpPort;
    this.endpoint = parts.endpoint;
    this.sockets = parts.sockets;
    this.sdp = parts.sdp;
    this.variables.set('sip_user_agent', parts.leg.message.header('User-Agent') ?? '');
    this.variables.set('sip_call_id', parts.leg.callId);
    this.variables.set('uuid', this.uuid);
  }

  get connected(): boolean {
    return this.#esl?.open ?? false;
  }

  /** The application `socket`. */
  callBack(to: string): void {
    const colon = to.lastIndexOf(':');
    const socket = connect({ host: to.slice(0, colon), port: Number(to.slice(colon + 1)) });
    this.#esl = new EslSocket(
      socket,
      (command) => this.#command(command),
      () => undefined,
    );
  }

  freeze(): void {
    if (this.#esl !== undefined) this.#esl.frozen = true;
  }

  cut(): void {
    this.#esl?.destroy();
  }

  /** What the endpoint on its worker says. */
  on(event: EndpointEvent): void {
    switch (event.on) {
      case 'dtmf':
        if (event.by === 'inband' && !this.#inband) return;
        return this.#event('DTMF', {
          'DTMF-Digit': event.digit,
          'DTMF-Duration': String(event.durationMs * 8),
          'DTMF-Source': event.by === 'inband' ? 'INBAND_AUDIO' : 'RTP',
        });
      case 'playEnded':
        if (this.#playing?.id === event.playId) this.#playing.done(event.end);
        return;
      case 'recordEnded':
        // FreeSWITCH gives this reason for one that was stopped.
        this.variables.set('record_ms', String(event.durationMs));
        this.variables.set('record_samples', String(event.durationMs * 8));
        return this.#event('RECORD_STOP', {
          'Record-File-Path': event.recordId,
          'Record-Completion-Cause': event.end === 'silence' ? 'success-silence' : 'success-maxtime',
          ...this.#prefixed(),
        });
      case 'streamStarted':
        return this.#custom('connect', event.streamId);
      case 'streamEnded': {
        if (this.#stopped.delete(event.streamId)) return;
        const { status, detail } = event.report;
        if (status === 'failed')
          return this.#custom('connect_failed', event.streamId, JSON.stringify({ reason: detail }));
        return this.#custom('disconnect', event.streamId);
      }
      case 'mediaTimeout':
      case 'failed':
        return;
    }
  }

  /** Its own commands: their first argument is its uuid. */
  async api(command: string, args: readonly string[], rest: string): Promise<string> {
    switch (command) {
      case 'uuid_setvar_multi':
        for (const pair of rest.split(';')) {
          const equals = pair.indexOf('=');
          this.variables.set(pair.slice(0, equals), pair.slice(equals + 1));
        }
        return '+OK\n';
      case 'uuid_getvar':
        return this.variables.get(args[0] ?? '') ?? '_undef_';
      case 'uuid_set_media_stats':
        this.#count();
        return '+OK\n';
      case 'uuid_dump':
        return fields(
          Object.fromEntries(
            Object.entries(this.#prefixed()).map(([name, value]) => [name, encodeURIComponent(value)]),
          ),
        );
      case 'uuid_send_dtmf':
        this.endpoint.sendDtmf((args[0] ?? '').split('@')[0] ?? '');
        return '+OK\n';
      case 'uuid_record':
        return this.#record(args);
      case 'uuid_break':
        if (this.#playing === undefined) this.#breakFlag = true;
        else this.endpoint.stopPlay(this.#playing.id);
        return '+OK\n';
      default:
        return `-ERR ${command} Command not found!\n`;
    }
  }

  fork(args: readonly string[]): string {
    const [action, ...more] = args;
    if (action === 'stop') {
      this.#stopped.add(more[0] ?? 'audio_fork');
      this.#host.forks.get(`${this.uuid} ${more[0] ?? 'audio_fork'}`)?.stop();
      return '+OK Success';
    }
    const [url = '', mix, , name = 'audio_fork', , enabled] = more;
    if (action !== 'start' || mix !== 'mono') return '-ERR Operation Failed';
    this.endpoint.startStream(name, {
      ...{ url, dialect: 'jambonz', sampleRate: 8000, encoding: 'l16', streamSid: `${this.uuid} ${name}` },
      ...{ accountSid: '', callSid: '', from: '', to: '', customParameters: {} },
      direction: enabled === 'false' ? 'fork' : 'bidirectional',
    });
    return '+OK Success';
  }

  /** Hangs up, or has been hung up. @param byUs a BYE goes out */
  async end(byUs: boolean, cause = 'NORMAL_CLEARING'): Promise<void> {
    if (this.over) return;
    this.over = true;
    const { partner } = this;
    this.partner = undefined;
    if (byUs) this.leg.bye();
    const state = { 'Channel-Call-State': 'HANGUP', 'Original-Channel-Call-State': 'ACTIVE', 'Hangup-Cause': cause };
    this.#event('CHANNEL_CALLSTATE', state);
    this.#playing = undefined;
    const closing = this.endpoint.close();
    for (const execution of [...(this.#running === undefined ? [] : [this.#running]), ...this.#queue.splice(0)]) {
      this.#completed(execution, '_none_');
    }
    this.#esl?.leave(this.uuid);
    await closing;
    this.#host.gone(this);
    if (partner !== undefined) {
      partner.partner = undefined;
      if (partner.variables.get('park_after_bridge') !== 'true') await partner.end(true);
    }
  }

  #command({ line, fields }: EslCommand): void {
    const esl = this.#esl as EslSocket;
    const [word = '', ...args] = line.split(' ');
    switch (word) {
      case 'connect':
        return this.#introduce();
      case 'event':
        return esl.subscribe(args.slice(1));
      case 'filter':
        return esl.reply(`+OK filter added. [${args[0]}]=[${args[1]}]`);
      case 'sendmsg':
        esl.reply('+OK');
        this.#queue.push({
          application: fields.get('execute-app-name') ?? '',
          argument: fields.get('execute-app-arg') ?? '',
          eventUuid: fields.get('event-uuid') ?? '',
        });
        return this.#next();
      case 'api':
        void this.#host.api(args.join(' ')).then((body) => {
          if (body !== undefined) esl.respond(body);
        });
        return;
      case 'exit':
        esl.reply('+OK bye');
        return esl.leave(this.uuid);
      default:
        return esl.reply('-ERR command not found');
    }
  }

  #introduce(): void {
    const data = { ...this.#common('CHANNEL_DATA'), 'Channel-Unique-ID': this.uuid, ...this.#prefixed() };
    const encoded = Object.entries(data).map(([name, value]) => [name, encodeURIComponent(value)]);
    const strange = this.#host.strangeData;
    this.#esl?.write({
      ...(Object.fromEntries(encoded) as Record<string, string>),
      ...(strange === '' ? {} : { variable_strange: strange }),
      'Content-Type': 'command/reply',
      'Reply-Text': '%2BOK%0A',
      'Socket-Mode': 'async',
      Control: 'full',
    });
  }

  #prefixed(): Record<string, string> {
    const text = this.sdp.toString('latin1');
    const all = new Map(this.variables);
    all.set('rtp_local_sdp_str', text);
    all.set('local_media_ip', /^c=IN IP4 (\S+)/m.exec(text)?.[1] ?? '');
    all.set('local_media_port', /^m=audio (\d+)/m.exec(text)?.[1] ?? '');
    all.set('dtmf_type', 'rfc2833');
    return Object.fromEntries([...all].map(([name, value]) => [`variable_${name}`, value]));
  }

  #count(): void {
    const quality = this.endpoint.quality();
    const values = {
      rtp_use_codec_name: quality.codec,
      rtp_audio_in_packet_count: quality.packetsReceived,
      rtp_audio_out_packet_count: quality.packetsSent,
      rtp_audio_in_jitter_loss_rate: '0.00',
      rtp_audio_in_jitter_max_variance: '1.21',
      rtp_audio_in_mos: '4.50',
    };
    for (const [name, value] of Object.entries(values)) this.variables.set(name, String(value));
  }

  async #record([action, path = '']: readonly string[]): Promise<string> {
    if (action === 'stop') {
      this.endpoint.stopRecord(path);
      return '+OK Success\n';
    }
    try {
      await (await open(path, 'a')).close();
    } catch {
      return '-ERR Cannot record session!\n';
    }
    const silenceMs = Number(this.variables.get('RECORD_FINAL_TIMEOUT_MS') ?? 0);
    this.endpoint.record(path, {
      path,
      channels: this.variables.get('RECORD_STEREO') === 'true' ? 'stereo' : 'mono',
      ...(silenceMs > 0 ? { silenceMs } : {}),
    });
    return '+OK Success\n';
  }

  #next(): void {
    if (this.#running !== undefined || this.over) return;
    const execution = this.#queue.shift();
    if (execution === undefined) return;
    this.#running = execution;
    const { application, argument } = execution;
    this.#event('CHANNEL_EXECUTE', this.#of(execution, '_none_'));
    if (application === 'playback') return void this.#playback(execution);
    if (application === 'hangup') {
      this.#running = undefined;
      void this.end(true).then(() => this.#completed(execution, '_none_'));
      return;
    }
    if (application === 'set') {
      const equals = argument.indexOf('=');
      this.variables.set(argument.slice(0, equals), argument.slice(equals + 1));
    } else if (application === 'start_dtmf') this.#inband = true;
    this.#done(execution, '_none_');
  }

  async #playback(execution: Execution): Promise<void> {
    const source = await sourceOf(execution.argument);
    if (source === undefined) return this.#done(execution, 'FILE NOT FOUND');
    const id = `play${++this.#plays}`;
    const file = { 'Playback-File-Path': execution.argument, 'Playback-File-Type': 'file' };
    const startedMs = performance.now();
    const done = (end: string): void => {
      this.#playing = undefined;
      this.#event('PLAYBACK_STOP', { ...file, 'Playback-Status': end === 'finished' ? 'done' : 'break' });
      this.variables.set('playback_ms', String(Math.round(performance.now() - startedMs)));
      this.#done(execution, 'FILE PLAYED');
    };
    this.#event('PLAYBACK_START', file);
    if (this.#breakFlag || this.over) {
      this.#breakFlag = false;
      return done('stopped');
    }
    this.#playing = { id, file: execution.argument, done };
    await this.endpoint.play(id, { sources: [source.source], repeat: source.times });
  }

  #done(execution: Execution, response: string): void {
    if (this.#running !== execution) return;
    this.#running = undefined;
    this.#completed(execution, response);
    this.#next();
  }

  #completed(execution: Execution, response: string): void {
    this.#event('CHANNEL_EXECUTE_COMPLETE', { ...this.#prefixed(), ...this.#of(execution, response) });
  }

  #of({ application, argument, eventUuid }: Execution, response: string): Record<string, string> {
    const what = { Application: application, 'Application-Data': argument };
    return { ...what, 'Application-Response': response, 'Application-UUID': eventUuid };
  }

  #common(name: string): Record<string, string> {
    const state = { 'Channel-Call-State': this.over ? 'HANGUP' : 'ACTIVE' };
    return { 'Event-Name': name, 'Core-UUID': this.#host.coreUuid, 'Unique-ID': this.uuid, ...state };
  }

  #event(name: string, values: Record<string, string>): void {
    this.#esl?.event({ ...this.#common(name), ...values });
  }

  #custom(what: string, bugname: string, body?: string): void {
    const subclass = { 'Event-Subclass': `mod_audio_fork::${what}`, 'media-bugname': bugname };
    this.#esl?.event({ ...this.#common('CUSTOM'), ...subclass }, body);
  }
}

/** @returns undefined for what cannot be opened */
const sourceOf = async (name: string): Promise<{ source: PlaySource; times: number } | undefined> => {
  const tone = /^tone_stream:\/\/%\((\d+),\d+,([\d.,]+)\)(?:;loops=(-?\d+))?$/.exec(name);
  if (tone !== null) {
    const frequenciesHz = (tone[2] ?? '').split(',').map(Number);
    const times = Math.max(0, Number(tone[3] ?? 1));
    return { source: { kind: 'tone', frequenciesHz, durationMs: Number(tone[1]) }, times };
  }
  const silence = /^silence_stream:\/\/(-?\d+)$/.exec(name);
  if (silence !== null) return { source: { kind: 'silence', durationMs: Number(silence[1]) }, times: 1 };
  const file = await readFile(name).catch(() => undefined);
  if (file === undefined || !parseWav(file).ok) return undefined;
  return { source: { kind: 'file', path: name }, times: 1 };
};
