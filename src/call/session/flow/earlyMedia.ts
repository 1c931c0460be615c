/** What a caller hears before it is answered: 183 with our description (RFC 3960), the same that the 200 will have. */
import type { HeaderEntry } from '../../../signal/port.js';
import type { Dial } from './dial.js';
import type { FlowCall } from './flowCall.js';

const SDP = 'application/sdp';
const PROGRESS = 183;
const RINGING = 180;

/** RFC 5009 §8: a caller that minds early media is told that ours are meant to be heard. */
const authorization = (call: FlowCall): readonly HeaderEntry[] => {
  const said = call.caller.leg.message.header('P-Early-Media') ?? '';
  return /\bsupported\b/i.test(said) ? [['P-Early-Media', 'sendrecv']] : [];
};

/** @returns false: this caller can have none; an INVITE without an offer would get one that nobody answers in time */
async function open(call: FlowCall): Promise<boolean> {
  const { caller, media } = call;
  if (caller.lateOffer || caller.answered) return false;
  const described = await media.open();
  if (!described.ok || caller.answered || !caller.open) return false;
  caller.progress(PROGRESS, { contentType: SDP, body: described.sdp, headers: authorization(call) });
  call.observer.onRinging(PROGRESS, true);
  return true;
}

/** For what the flow plays before it answers. */
export async function openEarlyMedia(call: FlowCall): Promise<void> {
  call.deliver({ type: 'earlyMedia', open: await open(call) });
}

/** The callee's announcements and ringing, for a caller whose media are here. Where they cannot be had it is 180. */
export async function bridgeEarlyMedia(call: FlowCall, dial: Dial): Promise<void> {
  const { caller, media } = call;
  const heard = await dial.hearEarly();
  if (caller.answered || dial.over) return;
  const told = media.anchor?.endpoint !== undefined;
  if (!heard || (!told && !(await open(call)))) {
    caller.progress(RINGING, {});
    return call.observer.onRinging(RINGING, false);
  }
  const callee = dial.anchor?.endpoint;
  if (callee !== undefined && !dial.over) media.anchor?.endpoint?.bridge(callee);
  call.deliver({ type: 'earlyMedia', open: true });
}
