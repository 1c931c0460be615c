/** Who calls through several nodes at once, and who is called: the callee sees how many calls are up over all of them. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';

export interface Place {
  readonly address: string;
  readonly port: number;
}

const REPEAT_MS = 500;
const GIVE_UP_MS = 10_000;

const SDP = [
  'v=0',
  'o=- 1 1 IN IP4 127.0.0.1',
  's=-',
  'c=IN IP4 127.0.0.1',
  't=0 0',
  'm=audio 40000 RTP/AVP 0',
  '',
].join('\r\n');

const header = (text: string, name: string): string =>
  new RegExp(`^${name}: *(.*)$`, 'im').exec(text)?.[1]?.trim() ?? '';

const print = (lines: readonly string[], body: string): string =>
  [
    ...lines,
    ...(body === '' ? [] : ['Content-Type: application/sdp']),
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');

const bind = async (socket: Socket, { address, port }: Place): Promise<void> => {
  socket.bind(port, address);
  await once(socket, 'listening');
  // Bursts must not be lost while this process is busy: that would look like a fault of the nodes.
  socket.setRecvBufferSize(4 << 20);
};

/** Answers every call at once, and keeps count. */
export class Callee {
  readonly place: Place;
  /** Call-IDs of the calls that are up. */
  readonly up = new Set<string>();
  /** Call-IDs of all calls that there were. */
  readonly seen = new Set<string>();
  mostUp = 0;
  readonly #socket = createSocket('udp4');
  /** Calls times milliseconds, from the last average until the last change. */
  #area = 0;
  #fromMs = performance.now();
  #sinceMs = this.#fromMs;

  private constructor(place: Place) {
    this.place = place;
    this.#socket.on('message', (data, from) => this.#onMessage(data.toString('latin1'), from));
  }

  static async open(place: Place): Promise<Callee> {
    const callee = new Callee(place);
    await bind(callee.#socket, place);
    return callee;
  }

  /** Calls that were up on the average since this was asked last. */
  average(): number {
    this.#measure();
    const average = this.#area / Math.max(1, this.#sinceMs - this.#fromMs);
    this.#area = 0;
    this.#fromMs = this.#sinceMs;
    return average;
  }

  /** What a dead node left here is not up any more. */
  forget(callIds: Iterable<string>): void {
    this.#measure();
    for (const callId of callIds) this.up.delete(callId);
  }

  close(): void {
    this.#socket.close();
  }

  #measure(): void {
    const nowMs = performance.now();
    this.#area += this.up.size * (nowMs - this.#sinceMs);
    this.#sinceMs = nowMs;
  }

  #onMessage(text: string, from: Place): void {
    const method = text.slice(0, text.indexOf(' '));
    if (method === 'ACK' || method === 'SIP/2.0') return;
    const callId = header(text, 'Call-ID');
    this.#measure();
    if (method === 'BYE' || method === 'CANCEL') this.up.delete(callId);
    if (method === 'INVITE' && !this.seen.has(callId)) {
      this.seen.add(callId);
      this.up.add(callId);
      this.mostUp = Math.max(this.mostUp, this.up.size);
    }
    const to = header(text, 'To');
    const lines = [
      'SIP/2.0 200 OK',
      ...text.split('\r\n').filter((line) => /^Via:/i.test(line)),
      `From: ${header(text, 'From')}`,
      `To: ${to}${to.includes(';tag=') ? '' : ';tag=b'}`,
      `Call-ID: ${callId}`,
      `CSeq: ${header(text, 'CSeq')}`,
      `Contact: <sip:${this.place.address}:${this.place.port}>`,
    ];
    this.#socket.send(print(lines, method === 'INVITE' ? SDP : ''), from.port, from.address);
  }
}

/** A call that was answered, or refused. */
export interface Placed {
  readonly callId: string;
  /** Final status of the INVITE; 0 where none came in ten seconds. */
  readonly status: number;
  /** Text of the Reason header of a refusal. */
  readonly reason: string;
  /** Status of the BYE; at once 200 for a call that is not up. */
  hangUp(): Promise<number>;
}

interface Waiting {
  readonly onFinal: (text: string) => void;
  readonly hush: () => void;
}

/** Calls through whatever node it is told to. */
export class Caller {
  readonly place: Place;
  readonly #socket = createSocket('udp4');
  readonly #waiting = new Map<string, Waiting>();
  readonly #name: string;
  #serial = 0;

  private constructor(place: Place) {
    this.place = place;
    this.#name = `${place.port}x${Date.now().toString(36)}`;
    this.#socket.on('message', (data) => this.#onMessage(data.toString('latin1')));
  }

  static async open(place: Place): Promise<Caller> {
    const caller = new Caller(place);
    await bind(caller.#socket, place);
    return caller;
  }

  close(): void {
    this.#socket.close();
  }

  async call(node: Place, to: string): Promise<Placed> {
    const callId = `${this.#name}-${this.#serial++}`;
    const invite = this.#lines('INVITE', { node, to, callId, toTag: '', cseq: 1 }, 'i');
    const answer = await this.#ask(node, `${callId} INVITE`, print(invite, SDP));
    const status = Number(/^SIP\/2.0 (\d{3})/.exec(answer)?.[1] ?? 0);
    const toTag = /;tag=([^;>\s]+)/.exec(header(answer, 'To'))?.[1] ?? '';
    const dialog = { node, to, callId, toTag, cseq: 1 };
    // RFC 3261 §17.1.1.3: the ACK of a refusal has the branch of its INVITE, that of an answer one of its own (§13.2.2.4).
    const ack = this.#lines('ACK', dialog, status === 200 ? 'a' : 'i');
    if (status > 0) this.#socket.send(print(ack, ''), node.port, node.address);
    return {
      callId,
      status,
      reason: /text="([^"]*)"/.exec(header(answer, 'Reason'))?.[1] ?? '',
      hangUp: async () => {
        if (status !== 200) return 200;
        const bye = print(this.#lines('BYE', { ...dialog, cseq: 2 }, 'b'), '');
        const bye200 = await this.#ask(node, `${callId} BYE`, bye);
        return Number(/^SIP\/2.0 (\d{3})/.exec(bye200)?.[1] ?? 0);
      },
    };
  }

  #lines(
    method: string,
    call: { readonly node: Place; to: string; callId: string; toTag: string; cseq: number },
    branch: string,
  ): string[] {
    const { node, to, callId, toTag, cseq } = call;
    const { address, port } = this.place;
    return [
      `${method} sip:${to}@${node.address}:${node.port} SIP/2.0`,
      `Via: SIP/2.0/UDP ${address}:${port};branch=z9hG4bK${branch}${callId}`,
      'Max-Forwards: 70',
      `From: <sip:+919812345678@${address}>;tag=a${callId}`,
      `To: <sip:${to}@${node.address}>${toTag === '' ? '' : `;tag=${toTag}`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: <sip:${address}:${port}>`,
    ];
  }

  /** Final response, or nothing when it did not come in time. */
  #ask(node: Place, key: string, request: string): Promise<string> {
    return new Promise((resolve) => {
      const send = (): void => this.#socket.send(request, node.port, node.address);
      const repeat = setInterval(send, REPEAT_MS);
      const done = (text: string): void => {
        clearInterval(repeat);
        clearTimeout(late);
        this.#waiting.delete(key);
        resolve(text);
      };
      const late = setTimeout(() => done(''), GIVE_UP_MS);
      this.#waiting.set(key, { onFinal: done, hush: () => clearInterval(repeat) });
      send();
    });
  }

  #onMessage(text: string): void {
    const status = Number(/^SIP\/2.0 (\d{3})/.exec(text)?.[1] ?? 0);
    const waiting = this.#waiting.get(`${header(text, 'Call-ID')} ${header(text, 'CSeq').split(' ')[1] ?? ''}`);
    if (status < 200) waiting?.hush();
    else waiting?.onFinal(text);
  }
}

export interface LoadPlan {
  readonly caller: Caller;
  readonly nodes: readonly Place[];
  readonly to: string;
  /** Of all nodes together, one after the other. */
  readonly callsPerSecond: number;
  readonly talkMs: readonly [least: number, most: number];
}

/** Calls that begin at a steady rate until they are told to stop. */
export class Load {
  readonly calls: Placed[] = [];
  /** Of answered calls whose BYE was answered with something else than 200. */
  badEnds = 0;
  readonly #plan: LoadPlan;
  readonly #under = new Set<Promise<void>>();
  readonly #stopped = new AbortController();
  readonly #pacing: Promise<void>;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#pacing = this.#pace();
  }

  /** Calls with this status. */
  count(status: number): number {
    return this.calls.filter((call) => call.status === status).length;
  }

  /** Begins no more, and waits for the end of those that are up. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#pacing;
    await Promise.all(this.#under);
  }

  async #pace(): Promise<void> {
    const { signal } = this.#stopped;
    const everyMs = 1000 / this.#plan.callsPerSecond;
    let nextMs = performance.now();
    for (let i = 0; !signal.aborted; i++) {
      const one = this.#one(i).finally(() => this.#under.delete(one));
      this.#under.add(one);
      nextMs = Math.max(nextMs + everyMs, performance.now() - 5 * everyMs);
      const waitMs = nextMs - performance.now();
      if (waitMs > 0) await after(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #one(index: number): Promise<void> {
    const { caller, nodes, to, talkMs } = this.#plan;
    const [least, most] = talkMs;
    const call = await caller.call(nodes[index % nodes.length] as Place, to);
    this.calls.push(call);
    if (call.status !== 200) return;
    await after(least + Math.random() * (most - least));
    if ((await call.hangUp()) !== 200) this.badEnds++;
  }
}
