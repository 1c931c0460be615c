/** Faults between the objects of a routing document: each valid by itself, and no call would go through. */
import { versionedFlowId } from './agents.js';
import { parseEndpoint } from './endpoint.js';
import type { Finding, Report } from './finding.js';
import { checkOverlaps, coversAddress } from './lintAcl.js';
import { checkOutbound } from './lintOutbound.js';
import { isE164, normaliseNumber } from './numbers.js';
import { type RegisteredUser, parseRegistered } from './registeredTarget.js';
import type { DocumentNumber, DocumentTrunk, RoutingDocument } from './shapes.js';

export type { Finding } from './finding.js';

/**
 * @param document of the right shape; it need not pass the other checks
 * @returns findings in the order of the document, in time nearly linear in its size
 */
export function lintDocument(document: RoutingDocument): Finding[] {
  const findings: Finding[] = [];
  const report: Report = (severity, code, path, [message, remedy]) => {
    findings.push({ severity, code, path, message, remedy });
  };
  checkAccounts(document, report);
  checkCarriers(document, report);
  checkTrunks(document, report);
  checkNumbers(document, report);
  checkGroups(document, report);
  checkOverlaps(document, report);
  checkOutbound(document, report);
  return findings;
}

function checkAccounts(document: RoutingDocument, report: Report): void {
  const used = new Set(document.trunks.map((trunk) => trunk.account_sid));
  const known = new Set(document.accounts.map((account) => account.sid));
  document.accounts.forEach((account, i) => {
    if (used.has(account.sid)) return;
    report('info', 'account_without_trunk', `accounts[${i}]`, [
      `account ${account.sid} has no trunk`,
      'Add a trunk, or remove the account.',
    ]);
  });
  document.trunks.forEach((trunk, i) => {
    if (known.has(trunk.account_sid)) return;
    const message = `trunk ${trunk.trunk_sid} belongs to account ${trunk.account_sid}, which is not in accounts`;
    report('warning', 'unknown_account', `trunks[${i}].account_sid`, [
      message,
      'Add the account, or correct account_sid.',
    ]);
  });
}

function checkCarriers(document: RoutingDocument, report: Report): void {
  document.carriers.forEach((carrier, i) => {
    const path = `carriers[${i}]`;
    if (carrier.source_acl.length === 0) {
      const message = `carrier ${carrier.id} has no source_acl: every call it delivers is refused`;
      report('error', 'carrier_without_acl', path, [message, 'Add the addresses it sends from to source_acl.']);
    }
    carrier.gateways.forEach(({ uri }, k) => checkTransport(uri, `${path}.gateways[${k}]`, report));
    if (carrier.gateways.length === 0) {
      const message = `carrier ${carrier.id} has no gateway: no call leaves through it`;
      report('warning', 'carrier_without_gateway', path, [
        message,
        'Add an entry to gateways, unless it only delivers calls.',
      ]);
    }
  });
}

function checkTrunks(document: RoutingDocument, report: Report): void {
  document.trunks.forEach((trunk, i) => {
    const path = `trunks[${i}]`;
    const sid = trunk.trunk_sid;
    if (trunk.destination_uris.length === 0) {
      const message = `trunk ${sid} has no destination: calls to its numbers fail with 480 trunk_has_no_destination`;
      report('error', 'trunk_without_destination', path, [message, 'Add an entry to destination_uris.']);
    }
    if (trunk.phone_numbers.length === 0) {
      report('warning', 'trunk_without_number', path, [
        `trunk ${sid} has no phone number`,
        'Add a number to phone_numbers.',
      ]);
    } else if (trunk.status === 'inactive') {
      const message = `trunk ${sid} is inactive, and ${trunk.phone_numbers.length} numbers are mapped to it`;
      report('warning', 'inactive_trunk_with_numbers', path, [message, 'Set status to active, or move the numbers.']);
    }
    if (trunk.whitelisted_ips.length === 0 && (trunk.credentials ?? []).length === 0) {
      const message = `trunk ${sid} lists no address and no credentials: it cannot send calls`;
      report('warning', 'trunk_without_acl', path, [message, 'Add the addresses it sends from to whitelisted_ips.']);
    }
    checkDestinations(trunk, path, report);
    checkAlias(trunk, path, report);
  });
}

function checkDestinations(trunk: DocumentTrunk, path: string, report: Report): void {
  trunk.destination_uris.forEach(({ destination }, i) => {
    const registered = parseRegistered(destination);
    if (registered !== undefined) return checkRegistered(trunk, registered, `${path}.destination_uris[${i}]`, report);
    checkTransport(destination, `${path}.destination_uris[${i}]`, report);
    const endpoint = parseEndpoint(destination);
    if (!endpoint.ok || !endpoint.value.isAddress) return;
    if (coversAddress(trunk.whitelisted_ips, endpoint.value.host)) return;
    const message = `the destination ${destination} of trunk ${trunk.trunk_sid} is an address that whitelisted_ips does not hold`;
    const remedy = `Add ${endpoint.value.host} to whitelisted_ips of the trunk.`;
    report('warning', 'destination_not_whitelisted', `${path}.destination_uris[${i}]`, [message, remedy]);
  });
}

/** Only who has a password can register. */
function checkRegistered(trunk: DocumentTrunk, { userName }: RegisteredUser, path: string, report: Report): void {
  const names = (trunk.credentials ?? []).map((one) => one.user_name);
  if (userName === undefined ? names.length > 0 : names.includes(userName)) return;
  const who = userName === undefined ? 'any user' : `user ${userName}`;
  const message = `trunk ${trunk.trunk_sid} sends calls to ${who} that registers, and has no such credentials: they fail with 480 not_registered`;
  report('error', 'registered_user_unknown', path, [message, 'Add the user to credentials of the trunk.']);
}

function checkAlias(trunk: DocumentTrunk, path: string, report: Report): void {
  const alias = trunk.settings?.trunk_external_alias;
  if (alias === undefined || trunk.phone_numbers.some((number) => number.phone_number === alias)) return;
  const message = `the alias ${alias} of trunk ${trunk.trunk_sid} is not among the trunk's numbers`;
  report('warning', 'alias_not_mapped', `${path}.settings.trunk_external_alias`, [
    message,
    'Use a number of the trunk.',
  ]);
}

function checkNumbers(document: RoutingDocument, report: Report): void {
  const carriers = new Set(document.carriers.map((carrier) => carrier.id));
  const flows = new Set(document.flows.map((flow) => flow.id));
  const seen = new Map<string, { readonly path: string; readonly text: string }>();
  document.trunks.forEach((trunk, i) => {
    trunk.phone_numbers.forEach((number, j) => {
      const path = `trunks[${i}].phone_numbers[${j}]`;
      checkSpelling(number.phone_number, path, seen, report);
      checkReferences(number, path, { carriers, flows }, report);
    });
  });
}

function checkSpelling(
  text: string,
  path: string,
  seen: Map<string, { readonly path: string; readonly text: string }>,
  report: Report,
): void {
  const normal = normaliseNumber(text);
  const key = normal.ok ? normal.value : text;
  const first = seen.get(key);
  if (first !== undefined) {
    const formats = first.text === text ? 'twice' : `in two formats ('${first.text}' and '${text}')`;
    const message = `the number ${key} stands ${formats}: at ${first.path} and ${path}`;
    report('error', 'duplicate_number', path, [message, 'Keep one, in E.164.']);
    return;
  }
  seen.set(key, { path, text });
  if (isE164(text)) return;
  report('error', 'number_not_e164', path, [
    `'${text}' is not E.164`,
    normal.ok ? `Write '${key}'.` : "Write '+' and 3 to 15 digits.",
  ]);
}

function checkReferences(
  number: DocumentNumber,
  path: string,
  known: { readonly carriers: ReadonlySet<string>; readonly flows: ReadonlySet<string> },
  report: Report,
): void {
  const text = number.phone_number;
  if (number.carrier !== undefined && !known.carriers.has(number.carrier)) {
    const message = `the number ${text} names carrier ${number.carrier}, which does not exist`;
    report('error', 'unknown_carrier', path, [message, 'Add the carrier, or correct the name.']);
  } else if (number.carrier === undefined && known.carriers.size > 1) {
    const message = `the number ${text} names no carrier: calls from it may leave through any of ${known.carriers.size}`;
    report('info', 'number_without_carrier', path, [message, 'Set carrier, or carriers of the account.']);
  }
  if (number.mode !== 'flow') return;
  const { inbound_agent: agent } = number;
  if (agent !== undefined) {
    if (known.flows.has(versionedFlowId(agent)) || known.flows.has(agent.agent_id)) return;
    const message = `the number ${text} is answered by agent ${agent.agent_id}, which no flow is`;
    report('error', 'unknown_flow', path, [message, 'Add the flow, correct its name, or set mode pstn.']);
    return;
  }
  if (number.flow === undefined || !known.flows.has(number.flow)) {
    const message = `the number ${text} is answered by flow ${number.flow ?? '(none)'}, which does not exist`;
    report('error', 'unknown_flow', path, [message, 'Add the flow, correct its name, or set mode pstn.']);
  }
}

function checkGroups(document: RoutingDocument, report: Report): void {
  const carriers = new Set(document.carriers.map((carrier) => carrier.id));
  const owners = new Map<string, number>();
  document.network_groups.forEach((group, i) => {
    const path = `network_groups[${i}]`;
    if (!carriers.has(group.carrier)) {
      const message = `network group ${group.name} is of carrier ${group.carrier}, which does not exist`;
      report('error', 'unknown_carrier', path, [message, 'Add the carrier, or correct the name.']);
    }
    for (const prefix of group.prefixes) {
      const key = `${group.carrier} ${prefix}`;
      const other = owners.get(key);
      if (other === undefined) owners.set(key, i);
      else if (other !== i) {
        const message = `prefix ${prefix} of carrier ${group.carrier} is in network_groups[${other}] too; one disabled group disables it`;
        report('warning', 'prefix_in_two_groups', path, [message, 'Keep the prefix in one group.']);
      }
    }
  });
}

/** A document may name any transport of SIP; a call can only leave by one that the engine speaks. */
function checkTransport(uri: string, path: string, report: Report): void {
  const endpoint = parseEndpoint(uri);
  const transport = endpoint.ok ? endpoint.value.transport : undefined;
  if (transport === undefined || transport === 'udp' || transport === 'tcp') return;
  report('error', 'transport_not_served', path, [
    `${uri} asks for ${transport}: every call to it fails`,
    'Use transport=udp or transport=tcp.',
  ]);
}
