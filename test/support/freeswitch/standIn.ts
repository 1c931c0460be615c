/**
 * A stand-in for FreeSWITCH with drachtio's dialplan and mod_audio_fork: event sockets and SIP as drachtio-fsmrf meets
 * them, and real audio, by the parts of the embedded engine. What it says follows FreeSWITCH's own frames; how real
 * FreeSWITCH sounds it cannot tell.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type Server, createServer } from 'node:net';
import { SystemClock, SystemMetronome, SystemRandom } from '../../../src/kernel/index.js';
import { PortPool } from '../../../src/media/engine/portPool.js';
import type { EndpointEvent } from '../../../src/media/engine/protocol.js';
import { WorkerEndpoint, type WorkerWorld } from '../../../src/media/engine/workerEndpoint.js';
import { ClipLibrary } from '../../../src/media/play/library.js';
import { NodeNetwork, SystemResolver, bindRtpPair } from '../../../src/net/index.js';
import {
  type IncomingLeg,
  type LegEvents,
  type SignalMessage,
  type SignalPort,
  createDirectSignal,
} from '../../../src/signal/index.js';
import { type ChannelHost, StandInChannel } from './channel.js';
import { EslSocket } from './esl.js';
import { ForkClient } from './forkClient.js';

export interface StandInOptions {
  /** Of everything: SIP, event socket, audio. */
  readonly address: string;
  readonly sipPort: number;
  readonly eslPort: number;
  readonly rtpPorts: readonly [number, number];
  readonly secret?: string;
  readonly maxSessions?: number;
}

/** Ways to fail; they may be changed at any time. */
export interface Faults {
  /** The event socket's access list refuses everybody. */
  refuseAddress: boolean;
  /** SIP profiles other than the one looked for. */
  noProfile: boolean;
  /** INVITEs are left without an answer. */
  silentInvite: boolean;
  /** INVITEs are answered with this. */
  refuseInvite: number;
  /** The application `socket` never connects. */
  noCallBack: boolean;
  /** Value of a variable, not encoded as it should be. */
  strangeData: string;
  /** Commands of the API that are never answered. */
  silentApi: ReadonlySet<string>;
  /** BYE is not sent after `hangup`. */
  noBye: boolean;
}

const NONE: Faults = {
  refuseAddress: false,
  noProfile: false,
  silentInvite: false,
  refuseInvite: 0,
  noCallBack: false,
  strangeData: '',
  silentApi: new Set(),
  noBye: false,
};

const FRAME_MS = 20;

export class FreeswitchStandIn implements ChannelHost {
  readonly coreUuid = randomUUID();
  readonly faults: Faults = { ...NONE };
  readonly channels = new Map<string, StandInChannel>();
  /** INVITEs that were withdrawn. */
  cancelled = 0;
  readonly forks = new Map<string, ForkClient>();
  /** Lines of commands, in order, of all sockets. */
  readonly commands: string[] = [];
  readonly #options: StandInOptions;
  readonly #clock = new SystemClock();
  readonly #random = new SystemRandom();
  readonly #pool: PortPool;
  readonly #world: WorkerWorld;
  readonly #network: NodeNetwork;
  #signal: SignalPort | undefined;
  #esl: Server | undefined;
  readonly #inbound = new Set<EslSocket>();
  #stopBeat: (() => void) | undefined;

  constructor(options: StandInOptions) {
    this.#options = options;
    this.#pool = new PortPool(options.rtpPorts, this.#clock, this.#random);
    this.#network = new NodeNetwork({ clock: this.#clock });
    const clock = this.#clock;
    const random = this.#random;
    const { address } = options;
    this.#world = {
      settings: { address, bindAddress: address, comfortSilence: true, botNetworks: ['*'] },
      ...{ clock, random, library: new ClipLibrary() },
      openStream: (spec, _deps, listener) => {
        const fork = new ForkClient(spec, {
          ...listener,
          onEnded: (report) => {
            this.forks.delete(spec.streamSid);
            listener.onEnded(report);
          },
        });
        this.forks.set(spec.streamSid, fork);
        return fork;
      },
      streamDeps: {
        ...{ clock, random, mayConnect: () => true },
        locate: () => ({ cancel: () => undefined }),
        dial: () => {
          throw new Error('the fork dials by itself');
        },
      },
    };
  }

  get strangeData(): string {
    return this.faults.strangeData;
  }

  async start(): Promise<void> {
    await Promise.all([this.#startSip(), this.#startEsl()]);
    this.#stopBeat = new SystemMetronome().start(FRAME_MS, (nowMs) => {
      for (const channel of this.channels.values()) channel.endpoint.core.tick(nowMs);
    });
  }

  /** Ends in good order. */
  async stop(): Promise<void> {
    for (const channel of [...this.channels.values()]) await channel.end(true);
    await this.die();
  }

  /** Is gone from one moment to the next: no BYE, no goodbye. */
  async die(): Promise<void> {
    this.#stopBeat?.();
    this.#stopBeat = undefined;
    const [signal, esl] = [this.#signal, this.#esl];
    this.#signal = this.#esl = undefined;
    for (const channel of this.channels.values()) channel.cut();
    for (const socket of this.#inbound) socket.destroy();
    if (esl !== undefined) await new Promise<void>((resolve) => esl.close(() => resolve()));
    await Promise.all([...this.channels.values()].map((channel) => channel.endpoint.close()));
    for (const channel of this.channels.values()) this.#pool.release(channel.rtpPort);
    this.channels.clear();
    await signal?.stop();
  }

  /** Sockets stay open, and nothing comes through them any more. */
  freeze(): void {
    for (const socket of this.#inbound) socket.frozen = true;
    for (const channel of this.channels.values()) channel.freeze();
  }

  heartbeat(): void {
    const { maxSessions = 1000 } = this.#options;
    for (const socket of this.#inbound) {
      socket.event({
        ...{ 'Event-Name': 'HEARTBEAT', 'Core-UUID': this.coreUuid, 'FreeSWITCH-Hostname': 'stand-in' },
        ...{ 'FreeSWITCH-Version': '1.10.stand-in', 'Session-Count': String(this.channels.size) },
        ...{ 'Max-Sessions': String(maxSessions), 'Session-Per-Sec': '30', 'Idle-CPU': '99.0' },
      });
    }
  }

  async api(line: string): Promise<string | undefined> {
    this.commands.push(line);
    const [command = '', ...args] = line.split(' ');
    if (this.faults.silentApi.has(command)) return undefined;
    if (line === 'sofia status') return this.#sofiaStatus();
    if (command === 'uptime') return '42\n';
    if (command === 'uuid_audio_fork') {
      const words = args[0]?.startsWith('^^|') === true ? args.join(' ').slice(3).split('|') : args;
      return this.channels.get(words[0] ?? '')?.fork(words.slice(1)) ?? '-ERR Operation Failed';
    }
    const channel = this.channels.get(args[0] ?? '');
    if (channel === undefined) return '-ERR No such channel!\n';
    if (command === 'uuid_bridge') return this.#bridge(channel, args[1] ?? '');
    if (command === 'uuid_transfer') {
      channel.endpoint.unbridge();
      if (channel.partner !== undefined) channel.partner.partner = undefined;
      channel.partner = undefined;
      return '+OK\n';
    }
    return channel.api(command, args.slice(1), args.slice(1).join(' '));
  }

  gone(channel: StandInChannel): void {
    if (this.channels.delete(channel.uuid)) this.#pool.release(channel.rtpPort);
  }

  #bridge(one: StandInChannel, otherUuid: string): string {
    const other = this.channels.get(otherUuid);
    if (other === undefined) return '-ERR Invalid uuid\n';
    one.endpoint.bridge(other.endpoint.core, () => other.endpoint.unbridge());
    other.endpoint.bridge(one.endpoint.core, () => one.endpoint.unbridge());
    one.partner = other;
    other.partner = one;
    return `+OK ${otherUuid}\n`;
  }

  #sofiaStatus(): string {
    const { address, sipPort } = this.#options;
    const name = this.faults.noProfile ? 'external' : 'drachtio_mrf';
    return [
      '                     Name\t   Type\t                                      Data\tState',
      '='.repeat(97),
      `             ${name}\tprofile\t           sip:mod_sofia@${address}:${sipPort}\tRUNNING (0)`,
      '='.repeat(97),
      '1 profile 0 aliases\n',
    ].join('\n');
  }

  async #startEsl(): Promise<void> {
    const { address, eslPort, secret = 'ClueCon' } = this.#options;
    const server = createServer((socket) => {
      const esl = new EslSocket(
        socket,
        ({ line }) => {
          const [word = '', ...args] = line.split(' ');
          if (word === 'auth') {
            if (args.join(' ') === secret) return esl.reply('+OK accepted');
            esl.reply('-ERR invalid');
            return esl.leave('');
          }
          if (word === 'event') {
            esl.subscribe(args.slice(1));
            return this.heartbeat();
          }
          if (word === 'api') {
            void this.api(args.join(' ')).then((body) => {
              if (body !== undefined) esl.respond(body);
            });
            return;
          }
          if (word === 'exit') return esl.leave('');
          esl.reply('-ERR command not found');
        },
        () => this.#inbound.delete(esl),
      );
      this.#inbound.add(esl);
      if (this.faults.refuseAddress) {
        esl.write({ 'Content-Type': 'text/rude-rejection' }, 'Access Denied, go away.\n');
        socket.end();
      } else esl.write({ 'Content-Type': 'auth/request' });
    });
    server.listen(eslPort, address);
    await once(server, 'listening');
    this.#esl = server;
  }

  async #startSip(): Promise<void> {
    const { address, sipPort } = this.#options;
    this.#signal = createDirectSignal({
      network: this.#network,
      clock: this.#clock,
      random: this.#random,
      resolver: new SystemResolver({ clock: this.#clock }),
      listen: [{ transport: 'udp', address, port: sipPort }],
      userAgent: 'FreeSWITCH-mod_sofia/stand-in',
    });
    await this.#signal.start({
      onInvite: (leg) => this.#invited(leg),
      onRequest: (request) => request.respond(200),
      onAvailability: () => undefined,
    });
  }

  #invited(leg: IncomingLeg): LegEvents {
    let channel: StandInChannel | undefined;
    const { faults } = this;
    const answer = async (): Promise<void> => {
      if (faults.silentInvite) return;
      if (faults.refuseInvite > 0) return leg.reject(faults.refuseInvite);
      const { message } = leg;
      if (!/^drachtio-fsmrf:/.test(message.header('User-Agent') ?? '')) return leg.reject(403);
      const opened = await this.#open(leg, message.body.length > 0 ? message.body : undefined);
      if (typeof opened === 'number') return leg.reject(opened);
      channel = opened;
      leg.answer({ contentType: 'application/sdp', body: channel.sdp });
      const to = message.header('X-esl-outbound') ?? '';
      if (!faults.noCallBack) channel.callBack(to);
    };
    void answer();
    return {
      onRequest: (_leg, request) => request.respond(200),
      onReinvite: (_leg, reinvite) => {
        const described = channel?.endpoint.answerOffer(reinvite.message.body);
        if (channel === undefined || described?.ok !== true) return reinvite.respond(488);
        channel.sdp = Buffer.from(described.sdp);
        reinvite.respond(200, { contentType: 'application/sdp', body: channel.sdp });
      },
      onAck: (_leg, message) => acknowledged(channel, message),
      onReinviteCancelled: () => undefined,
      onEnded: (_leg, end) => {
        if (end.kind === 'cancelled') this.cancelled++;
        if (end.kind === 'remote_bye' || end.kind === 'ack_timeout') void channel?.end(false);
      },
    };
  }

  /** @returns the SIP status when there is none */
  async #open(leg: IncomingLeg, offer: Buffer | undefined): Promise<StandInChannel | number> {
    const rtpPort = this.#pool.take();
    if (rtpPort === undefined || this.channels.size >= (this.#options.maxSessions ?? 1000)) return 503;
    const uuid = randomUUID();
    const on = (event: EndpointEvent): void => this.channels.get(uuid)?.on(event);
    // As FreeSWITCH does: it follows the audio to where it really comes from.
    const spec = { callId: uuid, leg: 'a', nat: true, codecs: ['PCMU', 'PCMA', 'L16'] } as const;
    const endpoint = new WorkerEndpoint(this.#world, spec, rtpPort, on);
    const described = offer === undefined ? endpoint.makeOffer() : endpoint.answerOffer(offer);
    const sockets = described.ok ? await bindRtpPair(this.#options.address, rtpPort, endpoint) : undefined;
    if (!described.ok || sockets === undefined) {
      this.#pool.release(rtpPort);
      return described.ok ? 503 : 488;
    }
    endpoint.attach(sockets);
    const parts = { uuid, leg: this.#leg(leg), rtpPort, endpoint, sockets, sdp: Buffer.from(described.sdp) };
    const channel = new StandInChannel(this, parts);
    this.channels.set(uuid, channel);
    return channel;
  }

  #leg(leg: IncomingLeg): IncomingLeg {
    if (!this.faults.noBye) return leg;
    return new Proxy(leg, {
      get: (target, name) => {
        if (name === 'bye') return () => undefined;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
}

/** The answer to an offer of ours. srf's own is a copy of the offer: an answer of nobody. */
const acknowledged = (channel: StandInChannel | undefined, { body }: SignalMessage): void => {
  if (channel === undefined || body.length === 0) return;
  const port = /^m=audio (\d+)/m.exec(body.toString('latin1'))?.[1];
  if (Number(port) !== channel.rtpPort) channel.endpoint.acceptAnswer(body);
};
