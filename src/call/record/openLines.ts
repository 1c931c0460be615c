/** What stands in a line of the file of open calls, made of what is known of a call, and back. See openCalls.ts. */
import type { Decision, Priced } from '../routing/decision.js';
import type { CallBeginning, DecidedCall, Moment } from './callFacts.js';
import { pricedOf } from './rating.js';

/** In the recorder's folder: the file of open calls, and the one before while calls are still being copied out of it. */
export const WAL_NAME = 'calls.wal';
export const OLD_WAL_NAME = 'calls.wal.old';

/** One line; one member. */
export interface Entry {
  readonly base?: string;
  readonly open?: OpenLine;
  readonly more?: MoreLine;
  readonly alive?: MomentPair;
}

export type MomentPair = readonly [ms: number, wallMs: number];

const pairOf = ({ ms, wallMs }: Moment): MomentPair => [Math.round(ms), wallMs];

export const momentOf = ([ms, wallMs]: MomentPair): Moment => ({ ms, wallMs });

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

export interface OpenLine extends Omit<CallBeginning, 'started'> {
  readonly started: MomentPair;
  readonly decision: Gist;
  readonly course: Course;
}

export interface MoreLine {
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

/** All of what has become of a call. */
export const courseOf = (call: DecidedCall): Course => ({
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

export const lineOf = (call: DecidedCall): OpenLine => ({
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

/** What is known of a call again. */
export const factsOf = ({ started, decision, course, ...beginning }: OpenLine): DecidedCall => ({
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
