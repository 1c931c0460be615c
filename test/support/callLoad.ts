/** Many short calls through a node that may die at any moment: who called, who was called, and what each side saw. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export interface LoadPlan {
  readonly node: { readonly address: string; readonly port: number };
  readonly caller: { readonly address: string; readonly port: number; readonly number: string };
  readonly callee: { readonly address: string; readonly port: number };
  readonly callsPerSecond: number;
  /** Longest time that a call is up. */
  readonly mostTalkMs: number;
}

interface Call {
  readonly number: string;
  readonly callId: string;
  toTag: string;
  answered: boolean;
}

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

export class CallLoad {
  /** Called numbers of calls, each different: begun, seen by the callee, answered to the caller, ended in good order. */
  readonly begun = new Set<string>();
  readonly reached = new Set<string>();
  readonly answered = new Set<string>();
  readonly ended = new Set<string>();
  /** Status -> calls that got it instead of an answer. */
  readonly refused = new Map<number, number>();
  readonly #plan: LoadPlan;
  readonly #caller: Socket = createSocket('udp4');
  readonly #callee: Socket = createSocket('udp4');
  readonly #calls = new Map<string, Call>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #pace: NodeJS.Timeout | undefined;
  #onAnswer: (() => void) | undefined;

  constructor(plan: LoadPlan) {
    this.#plan = plan;
    this.#caller.on('message', (data) => this.#onCaller(data.toString('latin1')));
    this.#callee.on('message', (data, from) => this.#onCallee(data.toString('latin1'), from.port, from.address));
  }

  async open(): Promise<void> {
    const { caller, callee } = this.#plan;
    this.#caller.bind(caller.port, caller.address);
    this.#callee.bind(callee.port, callee.address);
    await Promise.all([once(this.#caller, 'listening'), once(this.#callee, 'listening')]);
  }

  start(): void {
    this.#pace = setInterval(() => this.#begin(), 1000 / this.#plan.callsPerSecond);
  }

  /** Begins no more; with `forget`, what is up is given up without a word, as nobody is there to hear it. */
  pause(forget: boolean): void {
    clearInterval(this.#pace);
    if (!forget) return;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#calls.clear();
  }

  /** Calls that the load waits for. */
  get unfinished(): number {
    return this.#calls.size;
  }

  /** Resolves when so many calls in all have been answered. */
  async untilAnswered(count: number): Promise<void> {
    while (this.answered.size < count) await new Promise<void>((resolve) => (this.#onAnswer = resolve));
  }

  close(): void {
    this.pause(true);
    this.#caller.close();
    this.#callee.close();
  }

  #begin(): void {
    const number = `+1555${String(1_000_000 + this.begun.size)}`;
    const callId = `load-${this.begun.size}@test`;
    this.begun.add(number);
    this.#calls.set(callId, { number, callId, toTag: '', answered: false });
    this.#request('INVITE', this.#calls.get(callId) as Call, 1, SDP);
  }

  #request(method: string, call: Call, cseq: number, body = ''): void {
    const { node, caller } = this.#plan;
    const tag = call.toTag === '' ? '' : `;tag=${call.toTag}`;
    const lines = [
      `${method} sip:${call.number}@${node.address}:${node.port} SIP/2.0`,
      `Via: SIP/2.0/UDP ${caller.address}:${caller.port};branch=z9hG4bK${method}${call.callId.replace('@', '')}`,
      'Max-Forwards: 70',
      `From: <sip:${caller.number}@${caller.address}>;tag=a${call.callId.replace('@', '')}`,
      `To: <sip:${call.number}@${node.address}>${tag}`,
      `Call-ID: ${call.callId}`,
      `CSeq: ${cseq} ${method}`,
      `Contact: <sip:${caller.address}:${caller.port}>`,
      ...(body === '' ? [] : ['Content-Type: application/sdp']),
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    this.#caller.send(`${lines.join('\r\n')}\r\n\r\n${body}`, node.port, node.address);
  }

  #onCaller(text: string): void {
    const call = this.#calls.get(header(text, 'Call-ID'));
    const status = Number(/^SIP\/2.0 (\d{3})/.exec(text)?.[1] ?? 0);
    if (call === undefined || status < 200) return;
    if (header(text, 'CSeq').endsWith('BYE')) {
      this.ended.add(call.number);
      this.#calls.delete(call.callId);
      return;
    }
    call.toTag = /;tag=([^;>\s]+)/.exec(header(text, 'To'))?.[1] ?? '';
    this.#request('ACK', call, 1);
    if (status >= 300) {
      this.refused.set(status, (this.refused.get(status) ?? 0) + 1);
      this.#calls.delete(call.callId);
    } else if (!call.answered) {
      call.answered = true;
      this.answered.add(call.number);
      this.#after(Math.random() * this.#plan.mostTalkMs, () => this.#request('BYE', call, 2));
      this.#onAnswer?.();
    }
  }

  #onCallee(text: string, port: number, address: string): void {
    const method = text.slice(0, text.indexOf(' '));
    if (method === 'ACK' || method === 'SIP/2.0') return;
    if (method === 'INVITE') this.reached.add(/sip:(\+\d+)@/.exec(text)?.[1] ?? '');
    const { callee } = this.#plan;
    const body = method === 'INVITE' ? SDP : '';
    const to = header(text, 'To');
    const lines = [
      'SIP/2.0 200 OK',
      ...text.split('\r\n').filter((line) => /^Via:/i.test(line)),
      `From: ${header(text, 'From')}`,
      `To: ${to}${to.includes(';tag=') ? '' : ';tag=b'}`,
      `Call-ID: ${header(text, 'Call-ID')}`,
      `CSeq: ${header(text, 'CSeq')}`,
      `Contact: <sip:${callee.address}:${callee.port}>`,
      ...(body === '' ? [] : ['Content-Type: application/sdp']),
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    this.#callee.send(`${lines.join('\r\n')}\r\n\r\n${body}`, port, address);
  }

  #after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }
}
