/** Where a live call has the two ends that talk: with its bridge, or with its flow. */
import { Bridge } from '../../bridge/bridge.js';
import { FlowCall } from '../flow/flowCall.js';
import type { LiveCall } from '../liveCall.js';
import type { Leg } from '../../../signal/port.js';
import { OriginCall } from '../originate/originCall.js';
import { Conversation } from './conversation.js';

/** The flow that has the call, where it has one. */
export const flowOf = ({ course }: LiveCall): FlowCall | undefined => {
  if (course instanceof FlowCall) return course;
  return course instanceof OriginCall ? course.flow : undefined;
};

const NONE: readonly Leg[] = [];

/** The legs that talk to each other; none where the call is not established. */
export const legsOf = (call: LiveCall): readonly Leg[] => {
  const { course } = call;
  if (!(course instanceof Bridge)) return flowOf(call)?.dials.legs ?? NONE;
  if (course.heir instanceof Conversation) return course.heir.current.ends.map((party) => party.leg);
  const { estate } = course;
  return estate === undefined ? NONE : [estate.a, estate.b];
};
