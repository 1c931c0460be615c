import { mkdir } from 'node:fs/promises';
import type { Clock, Random, Result } from '../../kernel/index.js';
import { err, ok } from '../../kernel/index.js';
import type { EndpointEvents, EndpointSpec, MediaPort, MediaProblem } from '../port.js';
import { type NegotiatedAudio, sdpProblem } from '../sdp/description.js';
import { openBotStream } from '../stream/botStream.js';
import { egressPolicy } from '../stream/egress.js';
import { locateBot, webSocketDialer } from '../stream/webSocket.js';
import { type Failure, PATIENCE, type Patience } from './bounded.js';
import { Channel } from './channel.js';
import { FreeswitchEndpoint, type FreeswitchWorld } from './endpoint.js';
import type { FsEndpoint, SrfDialer } from './fsmrf.js';
import { LegDescription } from './legDescription.js';
import { AudioRelay } from './relay.js';
import { type MediaServerPlace, ServerLink } from './serverLink.js';

export interface FreeswitchMediaOptions {
  /** At least one. */
  readonly servers: readonly MediaServerPlace[];
  /** Folder for audio that is in memory; media servers read it by the same path. */
  readonly scratchPath: string;
  /** Networks beside the public ones that bots may be in, as CIDRs; `*`: any. Default none. */
  readonly botNetworks?: readonly string[] | undefined;
}

export interface FreeswitchMediaDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Dials the media servers. */
  readonly dialer: SrfDialer;
  /** For the log: what happens to media servers. */
  readonly report?: ((message: string, detail: object) => void) | undefined;
  /** Other limits than the usual ones. */
  readonly patience?: Partial<Patience> | undefined;
}

type Opened = Awaited<ReturnType<MediaPort['open']>>;
const refused = (problem: MediaProblem): Opened => ({ ok: false, problem });

/** What of a failure to open is worth another media server. */
const MOST_SERVERS_TRIED = 3;

/** FreeSWITCH as the media engine: each endpoint is a channel on one of its servers. */
export class FreeswitchMedia implements MediaPort {
  readonly #options: FreeswitchMediaOptions;
  readonly #deps: FreeswitchMediaDeps;
  readonly #links: readonly ServerLink[];
  /** One a local address. */
  readonly #relays = new Map<string, AudioRelay>();
  readonly #world: FreeswitchWorld;
  readonly #patience: Patience;
  readonly #endpoints = new Map<string, FreeswitchEndpoint>();
  /** Endpoints of one call share a server, or they could not be bridged. */
  readonly #calls = new Map<string, { readonly link: ServerLink; endpoints: number }>();
  #opened = 0;
  #turn = 0;
  #running = false;

  constructor(options: FreeswitchMediaOptions, deps: FreeswitchMediaDeps) {
    this.#options = options;
    this.#deps = deps;
    const { clock, random } = deps;
    const patience = { ...PATIENCE, ...deps.patience };
    this.#patience = patience;
    const report = deps.report ?? (() => undefined);
    const mayConnect = egressPolicy(options.botNetworks ?? []);
    this.#world = {
      ...{ clock, random, report, scratchPath: options.scratchPath, openStream: openBotStream },
      streamDeps: { clock, random, mayConnect, locate: locateBot, dial: webSocketDialer(clock) },
    };
    this.#links = options.servers.map(
      (place) =>
        new ServerLink(place, {
          ...{ clock, report, patience, dialer: deps.dialer },
          onDead: (link, detail) => this.#dead(link, detail),
        }),
    );
    for (const { listenAddress } of options.servers) {
      this.#relays.set(listenAddress, new AudioRelay(listenAddress, { clock, random }));
    }
  }

  /**
   * Resolves when each media server has been tried once: one that is away is tried again and again, and what needs it
   * is refused until then. Rejects with `address_not_available` when an address is not this machine's.
   */
  async start(): Promise<void> {
    this.#running = true;
    await mkdir(this.#options.scratchPath, { recursive: true }).catch((error: unknown) => {
      this.#world.report('the folder for audio cannot be made', { detail: String(error) });
    });
    try {
      for (const relay of this.#relays.values()) await relay.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    const up = await Promise.all(this.#links.map((link) => link.start()));
    if (!up.some(Boolean)) this.#world.report('no media server is up: calls that need audio are refused', {});
  }

  async open(spec: EndpointSpec, events: EndpointEvents): Promise<Opened> {
    const legs = new LegDescription(spec, this.#deps.random);
    // What the offer says is wrong costs no channel.
    const wanted = spec.offer === undefined ? undefined : legs.tryOffer(spec.offer);
    if (wanted?.ok === false) return refused(wanted.error);
    const offerable = wanted === undefined ? legs.tryMakeOffer() : undefined;
    if (offerable !== undefined) return refused(offerable);
    const negotiated = wanted?.value;
    const tried = new Set<ServerLink>();
    let problem = sdpProblem('engine_down', 'no media server is up');
    while (this.#running && tried.size < MOST_SERVERS_TRIED) {
      const link = this.#choose(spec.callId, tried);
      if (link === undefined) break;
      tried.add(link);
      this.#hold(spec.callId, link);
      const sdp = negotiated === undefined ? undefined : legs.forServer(negotiated);
      const channel = await link.createEndpoint(sdp);
      const opened = channel.ok
        ? await this.#settle({ link, channel: channel.value, legs, spec, events }, negotiated)
        : err(problemOf(channel.error));
      if (opened.ok) return opened.value;
      this.#letGo(spec.callId, link);
      legs.forget();
      problem = opened.error;
      if (problem.sipStatus === 488) break;
    }
    return refused(problem);
  }

  async dump(): Promise<object> {
    return Promise.resolve({
      endpoints: this.#endpoints.size,
      servers: this.#links.map((link) => link.dump()),
      relays: [...this.#relays.values()].map((relay) => relay.dump()),
      channels: [...this.#endpoints.values()].map((endpoint) => endpoint.dump()),
    });
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all([...this.#endpoints.values()].map((endpoint) => endpoint.close()));
    for (const link of this.#links) link.stop();
    await Promise.all([...this.#relays.values()].map((relay) => relay.stop()));
  }

  async #settle(
    begun: { link: ServerLink; channel: FsEndpoint; legs: LegDescription; spec: EndpointSpec; events: EndpointEvents },
    negotiated: NegotiatedAudio | undefined,
  ): Promise<Result<Opened, MediaProblem>> {
    const { link, legs, spec } = begun;
    const channel = new Channel(begun.channel, this.#deps.clock, this.#patience);
    const { offer } = spec;
    const problem = this.#running
      ? legs.locate(channel.sdp, negotiated)
      : sdpProblem('engine_down', 'the media engine has stopped');
    const sdp =
      problem === undefined ? (offer === undefined ? legs.makeOffer() : legs.answerOffer(offer)) : err(problem);
    if (!sdp.ok) {
      await channel.end();
      return sdp;
    }
    const id = `${++this.#opened}`;
    const relay = this.#relays.get(link.place.listenAddress) as AudioRelay;
    const place = { id, callId: spec.callId, link, relay, channel, legs };
    let established = false;
    const endpoint = new FreeswitchEndpoint(place, this.#world, spec, {
      events: quietUntil(begun.events, () => established),
      onClosed: (closed) => this.#closed(closed),
    });
    this.#endpoints.set(id, endpoint);
    await endpoint.prepare(negotiated);
    if (endpoint.failed) {
      await endpoint.close();
      // It has let go of its place, which `open` does, too.
      this.#hold(spec.callId, link);
      return err(sdpProblem('engine_down', 'the channel ended at once'));
    }
    established = true;
    return ok({ ok: true, endpoint, sdp: sdp.value });
  }

  /** That of the call, else the emptiest; those that have failed lately come last. */
  #choose(callId: string, tried: ReadonlySet<ServerLink>): ServerLink | undefined {
    const known = this.#calls.get(callId)?.link;
    if (known?.up === true && !tried.has(known)) return known;
    let best: ServerLink | undefined;
    const count = this.#links.length;
    this.#turn = (this.#turn + 1) % count;
    for (let i = 0; i < count; i++) {
      const link = this.#links[(this.#turn + i) % count] as ServerLink;
      if (!link.up || tried.has(link)) continue;
      if (best === undefined || rank(link) < rank(best)) best = link;
    }
    return best;
  }

  #hold(callId: string, link: ServerLink): void {
    const call = this.#calls.get(callId);
    // A server that has taken over from one that is down takes the rest of the call, too.
    if (call?.link === link) call.endpoints++;
    else this.#calls.set(callId, { link, endpoints: 1 });
    link.endpoints++;
  }

  #letGo(callId: string, link: ServerLink): void {
    link.endpoints--;
    const call = this.#calls.get(callId);
    if (call?.link === link && --call.endpoints <= 0) this.#calls.delete(callId);
  }

  #closed(endpoint: FreeswitchEndpoint): void {
    if (this.#endpoints.delete(endpoint.id)) this.#letGo(endpoint.place.callId, endpoint.place.link);
  }

  #dead(link: ServerLink, detail: string): void {
    for (const endpoint of [...this.#endpoints.values()]) {
      if (endpoint.place.link === link) endpoint.fail(sdpProblem('engine_down', detail));
    }
  }
}

/** Lower is better. */
const rank = (link: ServerLink): number => link.load + (link.full ? 10 : 0) + (link.quarantined ? 100 : 0);

const problemOf = ({ status, detail }: Failure): MediaProblem => {
  if (status === 488 || status === 415 || status === 606) return sdpProblem('no_common_codec', detail);
  // FreeSWITCH says so when its sessions or its ports are all in use.
  if (status === 503 || status === 486) return sdpProblem('no_port_free', `the media server is full: ${detail}`);
  return sdpProblem('engine_down', detail);
};

/** Before `open` has returned there is nobody to tell. */
const quietUntil = (events: EndpointEvents, ready: () => boolean): EndpointEvents => ({
  onDtmf: (digit, durationMs, by) => ready() && events.onDtmf(digit, durationMs, by),
  onPlayEnded: (...args) => events.onPlayEnded(...args),
  onRecordEnded: (...args) => events.onRecordEnded(...args),
  onStreamStarted: (streamId) => events.onStreamStarted(streamId),
  onStreamEnded: (...args) => events.onStreamEnded(...args),
  onMediaTimeout: () => ready() && events.onMediaTimeout(),
  onFailed: (problem) => ready() && events.onFailed(problem),
});
