/** SIPp as the other end of a call: one scenario, its statistics, and every message it sent and got. */
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeMulaw } from '../../src/media/codec/g711.js';
import { Endpoint } from './endpoints.js';
import { pcapOf } from './pcapAudio.js';
import { PeerMessage } from './sipText.js';

/** Of the compiled test: build/test/support. */
const SCENARIOS = fileURLToPath(new URL('../../../sipp-scenarios', import.meta.url));

export interface SippPlan {
  /** `uac/answer`: a file below sipp-scenarios. */
  readonly scenario: string;
  readonly address: string;
  readonly port: number;
  readonly transport?: 'udp' | 'tcp';
  /** `host:port`; callers only. */
  readonly remote?: string;
  /** Number that is called. */
  readonly service?: string;
  /** Words of the scenario: `-key name value`. */
  readonly keys?: { readonly [name: string]: string };
  /** What `[authentication]` answers challenges with. */
  readonly login?: { readonly user: string; readonly password: string };
  /** Calls to place or take. Default 1. */
  readonly calls?: number;
  /** Calls per second. Default 10. */
  readonly rate?: number;
  /** What `<pause/>` lasts. Default 100 ms. */
  readonly pauseMs?: number;
  /** What `play_pcap_audio="audio.pcap"` plays, at 8000 Hz. */
  readonly audio?: Int16Array;
  /** First RTP port of a caller with audio; each call takes two. */
  readonly audioPort?: number;
  /** Percent of packets that SIPp loses, both ways. */
  readonly lost?: number;
  readonly limitMs?: number;
}

export interface SippMessage extends PeerMessage {
  readonly sent: boolean;
}

export interface SippResult {
  readonly plan: SippPlan;
  /** 0: every call went as the scenario says. */
  readonly exitCode: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly sent: readonly PeerMessage[];
  readonly received: readonly PeerMessage[];
  /** Order of all, for failures of tests: `-> INVITE sip:...`. */
  readonly ladder: string;
  /** What SIPp complained about. */
  readonly errors: string;
}

export class Sipp {
  readonly plan: SippPlan;
  readonly #endpoint: Endpoint;
  readonly #folder: string;
  readonly #result: Promise<SippResult>;

  private constructor(plan: SippPlan, folder: string) {
    this.plan = plan;
    this.#folder = folder;
    this.#endpoint = new Endpoint({
      program: 'sipp',
      debianPackage: 'sip-tester',
      args: argumentsOf(plan, folder),
      cwd: folder,
    });
    this.#result = this.#finish();
    // Looked at by whoever awaits it; a test that failed earlier does not.
    this.#result.catch(() => undefined);
  }

  /** Resolves when its socket is bound: a callee can be called. */
  static async start(plan: SippPlan): Promise<Sipp> {
    const sipp = new Sipp(plan, await folderOf(plan));
    const transport = plan.transport ?? 'udp';
    // A TCP caller does not listen.
    if (plan.remote === undefined || transport === 'udp')
      await sipp.#endpoint.bound(transport, plan.address, plan.port);
    return sipp;
  }

  /** A caller from its first to its last message. */
  static async run(plan: SippPlan): Promise<SippResult> {
    return new Sipp(plan, await folderOf(plan)).result;
  }

  /** When all its calls are over. @throws when that takes longer than the limit */
  get result(): Promise<SippResult> {
    return this.#result;
  }

  /** Messages so far; SIPp writes its log as it goes. */
  get ladder(): string {
    return ladderOf(messagesIn(join(this.#folder, 'messages.log')));
  }

  /** For a callee that nobody called, and at the end of a test that failed. */
  async stop(): Promise<void> {
    await this.#endpoint.stop('SIGKILL');
    await this.#result.catch(() => undefined);
  }

  async #finish(): Promise<SippResult> {
    const limitMs = this.plan.limitMs ?? 20_000;
    let late = false;
    const limit = setTimeout(() => {
      late = true;
      void this.#endpoint.stop('SIGKILL');
    }, limitMs);
    const exitCode = await this.#endpoint.exited;
    clearTimeout(limit);
    const result = readResult(this.plan, this.#folder, exitCode);
    await rm(this.#folder, { recursive: true, force: true });
    if (result.sent.length === 0 && this.plan.remote !== undefined)
      throw new Error(`sipp ${this.plan.scenario} sent nothing:\n${this.#endpoint.output.slice(-3000)}`);
    if (late) throw new Error(`sipp ${this.plan.scenario} took longer than ${limitMs} ms\n${describe(result)}`);
    if (exitCode === 254 || exitCode === 255)
      throw new Error(`sipp ${this.plan.scenario} could not run:\n${this.#endpoint.output.slice(-3000)}`);
    return result;
  }
}

/** What a failed assertion shows. */
export const describe = (result: SippResult): string =>
  `sipp ${result.plan.scenario}: exit ${result.exitCode}, ${result.succeeded} calls, ${result.failed} failed\n` +
  `${result.errors}\n${result.ladder}`;

/** SIPp sends recorded packets by raw sockets, which are root's alone; for others it makes packets of the same audio. */
const PLAYS_PACKETS = process.getuid?.() === 0;
const PLAY = 'play_pcap_audio="audio.pcap"';
const STREAM = 'rtp_stream="audio.ulaw,1,0,PCMU/8000"';

async function folderOf(plan: SippPlan): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tandem-sipp-'));
  const scenario = join(SCENARIOS, `${plan.scenario}.xml`);
  if (plan.audio === undefined) return folder;
  if (PLAYS_PACKETS) {
    await writeFile(join(folder, 'audio.pcap'), pcapOf(plan.audio));
    await copyFile(scenario, join(folder, 'scenario.xml'));
    return folder;
  }
  const coded = Buffer.alloc(plan.audio.length);
  encodeMulaw(plan.audio, coded);
  await writeFile(join(folder, 'audio.ulaw'), coded);
  const text = await readFile(scenario, 'latin1');
  await writeFile(
    join(folder, 'scenario.xml'),
    text.replace(PLAY, STREAM).replace('[auto_media_port]', '[rtpstream_audio_port]'),
    'latin1',
  );
  return folder;
}

function argumentsOf(plan: SippPlan, folder: string): string[] {
  const calls = plan.calls ?? 1;
  const scenario = plan.audio === undefined ? join(SCENARIOS, `${plan.scenario}.xml`) : join(folder, 'scenario.xml');
  const args = ['-sf', scenario, '-i', plan.address, '-p', String(plan.port)];
  args.push('-mi', plan.address, '-t', plan.transport === 'tcp' ? 't1' : 'u1', '-m', String(calls));
  args.push('-l', '10000', '-r', String(plan.rate ?? 10), '-d', String(plan.pauseMs ?? 100));
  args.push('-nostdin', '-trace_msg', '-message_file', join(folder, 'messages.log'));
  args.push('-trace_err', '-error_file', join(folder, 'errors.log'));
  args.push('-trace_stat', '-fd', '1', '-stf', join(folder, 'statistics.csv'));
  // Call-IDs that no other run has. A machine that stalls for a moment must not make SIPp give up.
  args.push('-cid_str', `%u-%p-${Math.random().toString(36).slice(2)}@%s`);
  args.push('-watchdog_minor_threshold', '10000', '-watchdog_major_threshold', '30000');
  if (plan.audioPort !== undefined) args.push('-mp', String(plan.audioPort));
  if (plan.lost !== undefined) args.push('-lost', String(plan.lost));
  if (plan.login !== undefined) args.push('-au', plan.login.user, '-ap', plan.login.password);
  if (plan.service !== undefined) args.push('-s', plan.service);
  for (const [name, value] of Object.entries(plan.keys ?? {})) args.push('-key', name, value);
  if (plan.remote !== undefined) args.push(plan.remote);
  return args;
}

function readResult(plan: SippPlan, folder: string, exitCode: number): SippResult {
  const counters = lastCounters(join(folder, 'statistics.csv'));
  const messages = messagesIn(join(folder, 'messages.log'));
  const errors = join(folder, 'errors.log');
  return {
    plan,
    exitCode,
    succeeded: Number(counters['SuccessfulCall(C)'] ?? 0),
    failed: Number(counters['FailedCall(C)'] ?? 0),
    retransmissions: Number(counters['Retransmissions(C)'] ?? 0),
    sent: messages.filter(([sent]) => sent).map(([, message]) => message),
    received: messages.filter(([sent]) => !sent).map(([, message]) => message),
    ladder: ladderOf(messages),
    errors: existsSync(errors) ? readFileSync(errors, 'latin1').slice(-6000) : '',
  };
}

function lastCounters(path: string): { readonly [name: string]: string } {
  if (!existsSync(path)) return {};
  const lines = readFileSync(path, 'latin1').trim().split('\n');
  const values = (lines.at(-1) ?? '').split(';');
  return Object.fromEntries((lines[0] ?? '').split(';').map((name, i) => [name, values[i] ?? '']));
}

/** `UDP message sent (562 bytes):` or `UDP message received [562] bytes :`, an empty line, and so many octets. */
function messagesIn(path: string): (readonly [sent: boolean, message: PeerMessage])[] {
  if (!existsSync(path)) return [];
  const log = readFileSync(path);
  const text = log.toString('latin1');
  const heading = /^\w+ message (sent|received) [[(](\d+)\]? bytes\)? *:\r?\n\r?\n/gm;
  const messages: (readonly [boolean, PeerMessage])[] = [];
  for (let found = heading.exec(text); found !== null; found = heading.exec(text)) {
    const from = found.index + found[0].length;
    const to = from + Number(found[2]);
    messages.push([found[1] === 'sent', new PeerMessage(log.subarray(from, to))]);
    heading.lastIndex = to;
  }
  return messages;
}

const ladderOf = (messages: readonly (readonly [boolean, PeerMessage])[]): string =>
  messages.map(([sent, message]) => `${sent ? '->' : '<-'} ${message.toString()}`).join('\n');
