/** A carrier delivers a call: number -> trunk -> mode -> destinations. */
import type { CallRequest, DecideContext, Decision, LimitClaim } from './decision.js';
import { flowOfAgent, versionedFlowId } from './agents.js';
import { readCalledNumber } from './calledNumber.js';
import { baseClaims } from './decideCarriers.js';
import { type Draft, kept } from './draft.js';
import { checkLimits, destinationsOf } from './finish.js';
import { pricedBy } from './inboundPrice.js';
import { nearestFlow, nearestNumber } from './nearestMiss.js';
import { normaliseNumber } from './numbers.js';
import type { Carrier } from './resources.js';
import { sayActive, sayMapped, sayPstn, sayShown } from './sentences.js';
import type { NumberRoute, RoutingTable, TrunkRecord } from './table.js';

/** Shorter calling numbers are short codes or internal, and are passed on as they came. */
const MIN_CALLER_LENGTH = 9;

export function decideInbound(
  table: RoutingTable,
  request: CallRequest,
  draft: Draft,
  context: DecideContext,
): Decision {
  const called = readCalledNumber(draft, byTo(table, request, draft), table.format);
  if (called === undefined) return draft.reject('number_invalid');
  const route = table.number(called);
  if (route === undefined) {
    draft.fail('did', { number: called }, (d) => `${d.number} is mapped to no trunk`);
    return draft.reject('number_not_found', { nearestMiss: nearestNumber(table, called) });
  }
  draft.trunkSid = route.trunkSid;
  draft.pass('did', { number: called, trunk: route.trunkSid }, sayMapped);
  if (route.carrier !== undefined && route.carrier !== draft.carrierId) {
    const data = { number: called, expected: route.carrier, source: draft.carrierId ?? '' };
    const say = (d: typeof data) =>
      `${d.number} is delivered by carrier ${d.expected}, the source is carrier ${d.source}`;
    draft.fail('carrier', data, say);
    return draft.reject('number_on_other_carrier', { nearestMiss: say(data) });
  }
  const trunk = table.trunk(route.trunkSid);
  if (trunk === undefined) {
    draft.fail('trunk', { trunk: route.trunkSid }, (d) => `trunk ${d.trunk} does not exist`);
    return draft.reject('trunk_not_found');
  }
  return toTrunk(table, request, { draft, context, trunk, route, user: called });
}

/** A carrier that we register with calls us by the user of our Contact; To then says which number was dialled. */
function byTo(table: RoutingTable, request: CallRequest, draft: Draft): CallRequest {
  const { toNumber } = request;
  if (toNumber === undefined || toNumber === '') return request;
  if (contactUserOf(table.carrier(draft.carrierId ?? '')?.carrier) !== request.calledNumber) return request;
  const data = { contact: kept(request.calledNumber), to: kept(toNumber) };
  draft.info('called_number', data, (d) => `'${d.contact}' is our contact at the carrier, To says '${d.to}'`);
  return { ...request, calledNumber: toNumber };
}

/** What a carrier calls us by that we register with. */
export function contactUserOf(carrier: Carrier | undefined): string | undefined {
  const register = carrier?.register;
  return register === undefined
    ? undefined
    : (register.contact_user ?? register.user ?? carrier?.credentials?.user_name);
}

interface Arrived {
  readonly draft: Draft;
  readonly context: DecideContext;
  readonly trunk: TrunkRecord;
  readonly route: NumberRoute;
  readonly user: string;
}

function toTrunk(table: RoutingTable, request: CallRequest, { draft, context, trunk, route, user }: Arrived): Decision {
  const { trunk_sid: trunkSid, trunk_name: name, account_sid: accountSid } = trunk.trunk;
  draft.accountSid = accountSid;
  if (trunk.trunk.status === 'inactive') {
    draft.fail('trunk', { trunk: trunkSid, name }, (d) => `trunk ${d.trunk} (${d.name}) is inactive`);
    return draft.reject('trunk_inactive');
  }
  draft.pass('trunk', { trunk: trunkSid, name }, sayActive);
  draft.mode = route.mode;
  const carrier = table.carrier(draft.carrierId ?? '');
  const price = carrier === undefined ? undefined : pricedBy(table, carrier, user);
  draft.sip = carrier?.carrier.sip;
  if (price?.rate?.inbound_price !== undefined) draft.inbound = price;
  if (route.mode === 'flow') return toFlow(table, request, { draft, context, trunk, route, user });
  draft.pass('mode', { mode: 'pstn' }, sayPstn);
  presentCaller(table, request, draft);
  draft.failover = trunk.failover;
  if (trunk.targets.length === 0) {
    draft.fail('destinations', { trunk: trunkSid }, (d) => `trunk ${d.trunk} has no destination URI`);
    return draft.reject('trunk_has_no_destination');
  }
  draft.destinations = destinationsOf(trunk, user, context, draft);
  if (draft.destinations.length === 0) return draft.reject('not_registered');
  return checkLimits(draft, context, claims(table, trunk, draft.carrierId));
}

/** The flow answers; where it dials to is decided when it does. */
function toFlow(table: RoutingTable, request: CallRequest, { draft, context, trunk, route }: Arrived): Decision {
  const { agent } = route;
  const id = agent === undefined ? (route.flow ?? '') : versionedFlowId(agent);
  const flow = agent === undefined ? table.flow(id) : flowOfAgent(agent, (one) => table.flow(one));
  if (flow === undefined) {
    draft.fail('mode', { mode: 'flow', flow: id }, (d) => `mode flow: there is no flow ${d.flow}`);
    return draft.reject('flow_not_available', { nearestMiss: nearestFlow(table, id) });
  }
  draft.flow = { id: flow.id, version: flow.version };
  draft.pass('mode', { mode: 'flow', ...draft.flow }, (d) => `mode flow: ${d.id}, version ${d.version}`);
  presentCaller(table, request, draft);
  return checkLimits(draft, context, claims(table, trunk, draft.carrierId));
}

function claims(table: RoutingTable, trunk: TrunkRecord, carrierId: string | undefined): LimitClaim[] {
  const carrier = table.carrier(carrierId ?? '');
  const [own, ...account] = baseClaims(trunk, table.account(trunk.trunk.account_sid)) as [LimitClaim, ...LimitClaim[]];
  return carrier === undefined ? [own, ...account] : [own, carrier.claim, ...account];
}

/** The caller is the carrier's word: shown in E.164 where it can be, else as received. */
function presentCaller(table: RoutingTable, request: CallRequest, draft: Draft): void {
  const received = kept(request.callerNumber);
  const caller = normaliseNumber(request.callerNumber, table.format);
  if (caller.ok && caller.value.length >= MIN_CALLER_LENGTH) draft.callerE164 = caller.value;
  const presentable = draft.callerE164 ?? (isDialString(received) ? received : '');
  draft.callerSent = presentable === '' ? undefined : presentable;
  draft.info('caller_id', { received, sent: presentable }, sayShown);
}

/** Digits, `+`, `*`, `#` only: safe in any header, and nothing else is a calling number. */
function isDialString(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const digit = code >= 0x30 && code <= 0x39;
    if (!digit && code !== 0x2b && code !== 0x2a && code !== 0x23) return false;
  }
  return text.length > 0 && text.length <= 32;
}
