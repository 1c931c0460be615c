/**
 * What is known of calls that are not over, on disk, so that a call whose process dies still gets its record.
 *
 * `calls.wal` in the recorder's folder has one line of JSON for each thing that happens:
 *   {base: NAME}                        records of calls below are in files that come after this closed one
 *   {open: {callId, ..., course}}       a call: how it began, its decision, and what has become of it
 *   {more: {callId, course}}            what has become of it: all of that, not the difference
 *   {alive: [monotonic ms, wall ms]}    the process lives; once a second while calls are up
 * A call is over when its record is among the records; nothing is written here for that.
 *
 * Moments are pairs like `alive`. Of the decision stands here what a bill and a search need: where it led is in the
 * call's course, and its steps would make the most of the line.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { type Clock, SlotMap, type Timer } from '../../kernel/index.js';
import type { Decision, Priced } from '../routing/decision.js';
import type { CallBeginning, DecidedCall, Moment } from './callFacts.js';
import { lostWithItsNode, recordOf } from './callFacts.js';
import type { CallRecord } from './cdr.js';
import { dialRecordAt } from './dialRecord.js';
import { JsonLines } from './jsonLines.js';
import { pricedOf } from './rating.js';
import { closedNames, OPEN_NAME } from './recordFile.js';

const NAME = 'calls.wal';
const ALIVE_MS = 1000;
/** Written anew, without the calls that are over, when it has grown beyond this and beyond four times what is open. */
const COMPACT_BYTES = 8 * 1024 * 1024;
const COMPACT_FACTOR = 4;

export interface OpenCallsOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly onFailure: (code: string) => void;
}

interface Noted {
  readonly call: DecidedCall;
  /** Of its lines in the file. */
  bytes: number;
}

export class OpenCalls {
  readonly #options: OpenCallsOptions;
  readonly #path: string;
  readonly #calls = new SlotMap<Noted>();
  readonly #lines = new JsonLines();
  #fd: number | undefined;
  #bytes = 0;
  #openBytes = 0;
  #alive: Timer | undefined;
  #failing = false;

  constructor(options: OpenCallsOptions) {
    this.#options = options;
    this.#path = join(options.folder, NAME);
  }

  get size(): number {
    return this.#calls.size;
  }

  /** A call was let in or answered, or a dial of its flow was answered or ended. In the kernel when this returns; a disk that refuses costs the safety, not the call. */
  note(call: DecidedCall): void {
    const { callId } = call;
    const noted = this.#calls.get(callId);
    const bytes = this.#append(
      noted === undefined ? { open: lineOf(call) } : { more: { callId, course: courseOf(call) } },
    );
    this.#openBytes += bytes;
    if (noted === undefined) this.#calls.set(callId, { call, bytes });
    else noted.bytes += bytes;
    if (this.#bytes > COMPACT_BYTES && this.#bytes > COMPACT_FACTOR * this.#openBytes) this.begin();
    this.#arm();
  }

  /** The call's record is written. */
  over(callId: string): void {
    const noted = this.#calls.get(callId);
    if (noted === undefined) return;
    this.#calls.delete(callId);
    this.#openBytes -= noted.bytes;
    if (this.#calls.size > 0) return;
    this.#alive?.cancel();
    this.#alive = undefined;
  }

  /** Writes the file anew: with what is open now. */
  begin(): void {
    const draft = `${this.#path}.new`;
    try {
      const lines = this.#lines;
      lines.clear();
      lines.add({ base: closedNames(this.#options.folder).at(-1) ?? '' });
      lines.add(this.#signOfLife());
      this.#openBytes = 0;
      for (const noted of this.#calls.values()) {
        const before = lines.length;
        lines.add({ open: lineOf(noted.call) });
        noted.bytes = lines.length - before;
        this.#openBytes += noted.bytes;
      }
      fs.writeFileSync(draft, lines.octets.subarray(0, lines.length), { mode: 0o640 });
      const fd = fs.openSync(draft, 'a');
      fs.renameSync(draft, this.#path);
      if (this.#fd !== undefined) fs.closeSync(this.#fd);
      this.#fd = fd;
      this.#bytes = lines.length;
      this.#failing = false;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Nothing is open any more, or is given up. */
  close(): void {
    this.#alive?.cancel();
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #arm(): void {
    if (this.#alive !== undefined) return;
    this.#alive = this.#options.clock.setTimer('cdr.alive', ALIVE_MS, () => {
      this.#alive = undefined;
      if (this.#fd === undefined) this.begin();
      else this.#append(this.#signOfLife());
      if (this.#calls.size > 0) this.#arm();
    });
  }

  #signOfLife(): Entry {
    const { clock } = this.#options;
    return { alive: [clock.nowMs(), clock.wallMs()] };
  }

  /** @returns the octets written */
  #append(entry: Entry): number {
    if (this.#fd === undefined) return 0;
    const lines = this.#lines;
    lines.clear();
    lines.add(entry);
    try {
      const bytes = fs.writeSync(this.#fd, lines.octets, 0, lines.length);
      if (bytes < lines.length) throw Object.assign(new Error('half a line was written'), { code: 'ENOSPC' });
      this.#bytes += bytes;
      return bytes;
    } catch (error) {
      // Half a line may stand there: the next second writes all of it anew.
      fs.closeSync(this.#fd);
      this.#fd = undefined;
      this.#fail(error);
      return 0;
    }
  }

  #fail(error: unknown): void {
    if (!this.#failing) this.#options.onFailure((error as NodeJS.ErrnoException).code ?? String(error));
    this.#failing = true;
  }
}

type MomentPair = readonly [ms: number, wallMs: number];

const pairOf = ({ ms, wallMs }: Moment): MomentPair => [Math.round(ms), wallMs];

const momentOf = ([ms, wallMs]: MomentPair): Moment => ({ ms, wallMs });

/** What has become of a call; members that say nothing are left out. */
interface Course {
  readonly aLegCallId: string;
  readonly bLegCallId?: string | undefined;
  readonly destination?: string | undefined;
  readonly carrierId?: string | undefined;
  readonly ringing?: MomentPair | undefined;
  readonly answered?: MomentPair | undefined;
  readonly priced?: Priced | undefined;
  readonly attempts?: DecidedCall['attempts'] | undefined;
  readonly transfers?: DecidedCall['transfers'];
  readonly dials?: DecidedCall['dials'];
  readonly openDials?: DecidedCall['openDials'];
}

interface OpenLine extends Omit<CallBeginning, 'started'> {
  readonly started: MomentPair;
  readonly decision: Gist;
  readonly course: Course;
}

interface MoreLine {
  readonly callId: string;
  readonly course: Course;
}

/** Of a decision. */
type Gist = Pick<
  Decision,
  | 'accepted'
  | 'reasonCode'
  | 'revision'
  | 'direction'
  | 'mode'
  | 'accountSid'
  | 'trunkSid'
  | 'userName'
  | 'carrierId'
  | 'calledNumber'
  | 'callerNumber'
  | 'flow'
>;

const gistOf = (decision: Decision): Gist => ({
  accepted: decision.accepted,
  reasonCode: decision.reasonCode,
  revision: decision.revision,
  direction: decision.direction,
  mode: decision.mode,
  accountSid: decision.accountSid,
  trunkSid: decision.trunkSid,
  userName: decision.userName,
  carrierId: decision.carrierId,
  calledNumber: decision.calledNumber,
  callerNumber: decision.callerNumber,
  flow: decision.flow,
});

const courseOf = (call: DecidedCall): Course => ({
  aLegCallId: call.aLegCallId,
  bLegCallId: call.bLegCallId ?? undefined,
  destination: call.destination ?? undefined,
  carrierId: call.carrierId,
  ringing: call.ringing && pairOf(call.ringing),
  answered: call.answered && pairOf(call.answered),
  priced: call.priced && pricedOf(call.priced),
  attempts: call.attempts.length === 0 ? undefined : call.attempts,
  transfers: call.transfers,
  dials: call.dials,
  openDials: call.openDials,
});

const lineOf = (call: DecidedCall): OpenLine => ({
  callId: call.callId,
  nodeId: call.nodeId,
  source: call.source,
  callerReceived: call.callerReceived,
  calledReceived: call.calledReceived,
  placed: call.placed,
  started: pairOf(call.started),
  decision: gistOf(call.decision),
  course: courseOf(call),
});

/**
 * The records of calls that a dead process left without one, in the order of their beginning.
 * @throws errno errors other than that there is no file
 */
export const recordsOfLeftCalls = (folder: string): readonly CallRecord[] => {
  let text: string;
  try {
    text = fs.readFileSync(join(folder, NAME), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const calls = new Map<string, OpenLine>();
  let base = '';
  let alive: MomentPair = [0, 0];
  for (const line of text.split('\n')) {
    const entry = parsed(line);
    if (entry.open !== undefined) calls.set(entry.open.callId, entry.open);
    if (entry.more !== undefined) amend(calls, entry.more);
    if (entry.alive !== undefined) alive = entry.alive;
    if (entry.base !== undefined) base = entry.base;
  }
  if (calls.size > 0) forgetRecorded(folder, base, calls);
  return [...calls.values()].map((call) => recordOfLeft(call, momentOf(alive)));
};

const amend = (calls: Map<string, OpenLine>, { callId, course }: MoreLine): void => {
  const before = calls.get(callId);
  if (before !== undefined) calls.set(callId, { ...before, course });
};

interface Entry {
  readonly base?: string;
  readonly open?: OpenLine;
  readonly more?: MoreLine;
  readonly alive?: MomentPair;
}

/** The last line may be cut off; what it would have said never reached a peer. */
const parsed = (line: string): Entry => {
  if (line === '') return {};
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return {};
  }
};

const CHUNK_BYTES = 1024 * 1024;
/** The id of a record's call, at the beginning of its line. */
const RECORD = /^\{"callId":"([A-Za-z0-9_-]{1,64})"/gm;
/** What of a line's beginning may stand in the chunk before. */
const OVERLAP_BYTES = 128;

/** Removes the calls that have their record. */
const forgetRecorded = (folder: string, base: string, calls: Map<string, OpenLine>): void => {
  const names = [...closedNames(folder).filter((name) => name > base), OPEN_NAME];
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (const name of names) {
    const fd = fs.openSync(join(folder, name), 'r');
    try {
      for (let at = 0, read = 0; ; at += read - OVERLAP_BYTES) {
        read = fs.readSync(fd, chunk, 0, CHUNK_BYTES, at);
        // `^` is also the beginning of a chunk, which is the middle of a line: no line has an id there but at its own.
        for (const [, callId = ''] of chunk.toString('latin1', 0, read).matchAll(RECORD)) calls.delete(callId);
        if (read < CHUNK_BYTES) break;
      }
    } finally {
      fs.closeSync(fd);
    }
  }
};

const factsOf = ({ started, decision, course, ...beginning }: OpenLine): DecidedCall => ({
  ...beginning,
  started: momentOf(started),
  aLegCallId: course.aLegCallId,
  bLegCallId: course.bLegCallId ?? null,
  destination: course.destination ?? null,
  carrierId: course.carrierId,
  ringing: course.ringing && momentOf(course.ringing),
  answered: course.answered && momentOf(course.answered),
  priced: course.priced,
  attempts: course.attempts ?? [],
  transfers: course.transfers,
  dials: course.dials,
  openDials: course.openDials,
  decision: {
    sipStatus: undefined,
    remedy: undefined,
    nearestMiss: undefined,
    ...decision,
    destinations: [],
    failover: {},
    limits: [],
    steps: [],
  },
});

/** A call that was up is charged until the process was last known to live, and so are the dials that were up. */
const recordOfLeft = (line: OpenLine, alive: Moment): CallRecord => {
  const call = factsOf(line);
  const { answered, started, openDials = [] } = call;
  const dials = [...(call.dials ?? []), ...openDials.map((dial) => dialRecordAt(dial, alive.ms))];
  // It may have come after the last sign of life.
  const wallMs = Math.max(alive.wallMs, (answered ?? started).wallMs);
  const ended = { ms: alive.ms, wallMs };
  return recordOf(
    { ...call, dials: dials.length === 0 ? undefined : dials },
    lostWithItsNode(answered !== undefined),
    ended,
  );
};
