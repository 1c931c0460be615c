/** A trunk sends a call: trunk -> caller ID -> called number -> what it may call -> carriers. */
import type { CallRequest, DecideContext, Decision } from './decision.js';
import { readCalledNumber } from './calledNumber.js';
import { decideCarriers } from './decideCarriers.js';
import { type Draft, kept } from './draft.js';
import { trunkText } from './nearestMiss.js';
import { type NumberFormat, normaliseNumber } from './numbers.js';
import { sayActive, saySent } from './sentences.js';
import type { NumberRoute, RoutingTable, TrunkRecord } from './table.js';

export interface Call {
  readonly table: RoutingTable;
  readonly request: CallRequest;
  readonly draft: Draft;
  readonly context: DecideContext;
}

/** The caller's identity as it will be sent. */
interface CallerId {
  /** Empty: the caller shows no number, and the trunk's rule lets that pass. */
  readonly e164: string;
  readonly from: 'From' | 'P-Asserted-Identity' | 'alias' | 'pass';
  readonly route: NumberRoute | undefined;
  /** A number of the trunk. */
  readonly asserted: string | undefined;
}

/** @param trunkIds the trunks that list the source; several may share an address */
export function decideOutbound(call: Call, trunkIds: readonly string[]): Decision {
  const { draft, table } = call;
  const chosen = chooseTrunk(call, trunkIds);
  const trunk = chosen?.trunk;
  if (trunk === undefined) {
    draft.fail(
      'trunk',
      { trunks: trunkIds.length },
      (d) => `the caller is on none of the ${d.trunks} trunks of the source`,
    );
    return draft.reject('caller_id_not_mapped', {
      nearestMiss: nearestCaller(call, `one of ${trunkIds.length} trunks`),
    });
  }
  const { trunk_sid: trunkSid, trunk_name: name, account_sid: accountSid, status } = trunk.trunk;
  draft.trunkSid = trunkSid;
  draft.accountSid = accountSid;
  draft.sip = trunk.trunk.sip;
  draft.mode = 'pstn';
  if (status === 'inactive') {
    draft.fail('trunk', { trunk: trunkSid, name }, (d) => `trunk ${d.trunk} (${d.name}) is inactive`);
    return draft.reject('trunk_inactive');
  }
  draft.pass('trunk', { trunk: trunkSid, name }, sayActive);
  const callerId = chosen?.callerId ?? unmappedCaller(call, trunk);
  draft.callerE164 = receivedCaller(call, trunk.format);
  if (callerId === undefined) {
    const data = { received: kept(call.request.callerNumber), trunk: trunkSid, rule: ruleOf(trunk) };
    draft.fail('caller_id', data, (d) =>
      d.rule === 'replace'
        ? `'${d.received}' is not mapped to trunk ${d.trunk}, and no alias replaces it`
        : d.rule === 'reject'
          ? `'${d.received}' is not mapped to trunk ${d.trunk}, and its rule is to refuse that`
          : `'${d.received}' belongs to another account`,
    );
    return draft.reject('caller_id_not_mapped', { nearestMiss: nearestCaller(call, trunkText(table, trunkSid)) });
  }
  if (callerId.e164 !== '') draft.callerSent = callerId.e164;
  draft.asserted = callerId.asserted;
  draft.diverting = diverting(call, trunk, callerId);
  draft.pass('caller_id', { sent: callerId.e164, from: callerId.from }, saySent);
  return toCarriers(call, trunk, callerId);
}

function toCarriers({ table, request, draft, context }: Call, trunk: TrunkRecord, callerId: CallerId): Decision {
  const called = readCalledNumber(draft, request, trunk.format);
  if (called === undefined) return draft.reject('number_invalid');
  const verdict = trunk.prefixes?.judge(called);
  if (verdict !== undefined) {
    const data = { number: called, prefix: verdict.prefix ?? '', trunk: trunk.trunk.trunk_sid };
    if (!verdict.allowed) {
      draft.fail('prefixes', data, (d) =>
        d.prefix === '' ? `no allowed prefix of trunk ${d.trunk} holds ${d.number}` : `prefix ${d.prefix} is denied`,
      );
      return draft.reject('destination_denied');
    }
    draft.pass('prefixes', data, (d) => (d.prefix === '' ? 'no denied prefix' : `prefix ${d.prefix} is allowed`));
  }
  const account = table.account(draft.accountSid ?? '');
  const named = callerId.route?.carrier;
  return decideCarriers({ table, draft, context, trunk, account, called, callerId: callerId.e164, named });
}

/** The trunk among those of the source that has the caller's number; a source of one trunk is that trunk anyway. */
function chooseTrunk(
  { table, request }: Call,
  trunkIds: readonly string[],
): { readonly trunk: TrunkRecord; readonly callerId: CallerId | undefined } | undefined {
  const given: readonly (readonly [CallerId['from'], string | undefined])[] = [
    ['From', request.callerNumber],
    ['P-Asserted-Identity', request.assertedNumber],
  ];
  for (const [from, text] of given) {
    if (text === undefined || text === '') continue;
    for (const id of trunkIds) {
      const trunk = table.trunk(id);
      if (trunk === undefined) continue;
      const number = normaliseNumber(text, trunk.format);
      const route = number.ok ? table.number(number.value) : undefined;
      if (number.ok && route?.trunkSid === id) {
        return { trunk, callerId: { e164: number.value, from, route, asserted: number.value } };
      }
    }
  }
  const only = trunkIds.length === 1 ? table.trunk(trunkIds[0] as string) : undefined;
  return only === undefined ? undefined : { trunk: only, callerId: undefined };
}

type CallerRule = 'reject' | 'replace' | 'pass';

/** What the trunk does with a number that is not its own; by default it puts its alias in that place, if it has one. */
const ruleOf = (trunk: TrunkRecord): CallerRule => trunk.trunk.settings?.caller_id ?? 'replace';

function unmappedCaller(call: Call, trunk: TrunkRecord): CallerId | undefined {
  switch (ruleOf(trunk)) {
    case 'reject':
      return undefined;
    case 'replace':
      return alias(call, trunk);
    case 'pass':
      return passed(call, trunk);
  }
}

/** The trunk's alias, unless another trunk has the number: an alias must not speak for somebody else. */
function alias({ table, draft }: Call, trunk: TrunkRecord): CallerId | undefined {
  const number = trunk.trunk.settings?.trunk_external_alias;
  if (number === undefined) return undefined;
  const route = table.number(number);
  if (route === undefined || route.trunkSid === trunk.trunk.trunk_sid) {
    return { e164: number, from: 'alias', route, asserted: number };
  }
  draft.info(
    'caller_id',
    { alias: number, trunk: route.trunkSid },
    (d) => `the alias ${d.alias} is mapped to trunk ${d.trunk}`,
  );
  return undefined;
}

/** Somebody else's number, as it came; never one that another account of ours has. We vouch for the alias only. */
function passed(call: Call, trunk: TrunkRecord): CallerId | undefined {
  const { table, request } = call;
  const number = normaliseNumber(request.callerNumber, trunk.format);
  const owner = number.ok ? table.number(number.value) : undefined;
  const ownerAccount = owner === undefined ? undefined : table.trunk(owner.trunkSid)?.trunk.account_sid;
  if (owner !== undefined && ownerAccount !== trunk.trunk.account_sid) return undefined;
  const own = alias(call, trunk);
  return { e164: number.ok ? number.value : '', from: 'pass', route: own?.route, asserted: own?.asserted };
}

/** The number that sent the call on: one that the caller names, if it is the trunk's; the alias of a number passed on. */
function diverting({ table, request }: Call, trunk: TrunkRecord, callerId: CallerId): string | undefined {
  const { divertingNumber } = request;
  if (divertingNumber !== undefined && divertingNumber !== '') {
    const number = normaliseNumber(divertingNumber, trunk.format);
    if (number.ok && table.number(number.value)?.trunkSid === trunk.trunk.trunk_sid) return number.value;
  }
  return callerId.from === 'pass' ? callerId.asserted : undefined;
}

function receivedCaller({ request }: Call, format: NumberFormat): string | undefined {
  const number = normaliseNumber(request.callerNumber, format);
  return number.ok ? number.value : undefined;
}

/** Where the calling number is mapped, if not to the source's trunk. */
function nearestCaller({ table, request }: Call, source: string): string | undefined {
  for (const text of [request.callerNumber, request.assertedNumber]) {
    const number = text === undefined ? undefined : normaliseNumber(text, table.format);
    const route = number?.ok ? table.number(number.value) : undefined;
    if (!number?.ok || route === undefined) continue;
    return `${number.value} is mapped to ${trunkText(table, route.trunkSid)}, the source IP is on ${source}`;
  }
  return undefined;
}
