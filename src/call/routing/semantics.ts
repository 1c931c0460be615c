/** What a schema cannot say: duplicates, references, addresses, numbers, targets. */
import { checkFlow } from '../applets/catalogue.js';
import { parseEndpoint } from './endpoint.js';
import { parseNetwork } from './ipAddress.js';
import { isE164, normaliseNumber } from './numbers.js';
import { type DocumentProblem, problem } from './problems.js';
import { parseRegistered } from './registeredTarget.js';
import type { Carrier, Flow, IpRange, MediaSettings, NetworkGroup, Trunk } from './resources.js';
import type { DocumentNumber, RoutingDocument } from './shapes.js';

/** More would not be read. */
export const MAX_PROBLEMS = 100;

export type Problems = DocumentProblem[];

/** Problems across the resources of a document whose shape is right, at most `MAX_PROBLEMS`. */
export function checkDocument(document: RoutingDocument): Problems {
  const problems: Problems = [];
  const carriers = new Set(document.carriers.map((carrier) => carrier.id));
  duplicates(
    problems,
    'accounts',
    'sid',
    document.accounts.map((account) => account.sid),
  );
  duplicates(
    problems,
    'carriers',
    'id',
    document.carriers.map((carrier) => carrier.id),
  );
  duplicates(
    problems,
    'trunks',
    'trunk_sid',
    document.trunks.map((trunk) => trunk.trunk_sid),
  );
  duplicates(
    problems,
    'flows',
    'id',
    document.flows.map((flow) => flow.id),
  );
  duplicates(problems, 'network_groups', 'carrier, country_iso and name', document.network_groups.map(groupId));
  document.carriers.forEach((carrier, i) => checkCarrier(problems, `carriers[${i}]`, carrier));
  const seen = new Map<string, string>();
  document.trunks.forEach((trunk, i) => {
    const path = `trunks[${i}]`;
    if (full(problems)) return;
    checkTrunk(problems, path, trunk);
    trunk.phone_numbers.forEach((number, j) => {
      if (full(problems)) return;
      const numberPath = `${path}.phone_numbers[${j}]`;
      checkNumber(problems, numberPath, number);
      checkUnique(problems, seen, numberPath, number.phone_number);
      if (number.carrier !== undefined && !carriers.has(number.carrier)) {
        problems.push(
          problem(`${numberPath}.carrier`, `names the carrier '${number.carrier}', which is not in carriers`),
        );
      }
    });
  });
  document.flows.forEach((flow, i) => {
    if (!full(problems)) checkFlowResource(problems, `flows[${i}]`, flow);
  });
  document.network_groups.forEach((group, i) => {
    if (carriers.has(group.carrier) || full(problems)) return;
    problems.push(
      problem(`network_groups[${i}].carrier`, `names the carrier '${group.carrier}', which is not in carriers`),
    );
  });
  return problems;
}

/** Identity of a network group. */
export function groupId(group: Pick<NetworkGroup, 'carrier' | 'country_iso' | 'name'>): string {
  return `${group.carrier}/${group.country_iso}/${group.name}`;
}

export function checkCarrier(problems: Problems, path: string, carrier: Carrier): void {
  checkRanges(problems, `${path}.source_acl`, carrier.source_acl);
  checkMedia(problems, `${path}.media`, carrier.media);
  const { register, credentials } = carrier;
  if (register !== undefined) {
    checkEndpoint(problems, `${path}.register.registrar`, register.registrar);
    if (register.user === undefined && credentials === undefined) {
      problems.push(problem(`${path}.register.user`, 'is needed where the carrier has no credentials'));
    }
  }
  carrier.gateways.forEach((gateway, i) => checkEndpoint(problems, `${path}.gateways[${i}].uri`, gateway.uri));
}

export function checkTrunk(problems: Problems, path: string, trunk: Trunk): void {
  checkMedia(problems, `${path}.media`, trunk.media);
  checkRanges(problems, `${path}.whitelisted_ips`, trunk.whitelisted_ips);
  trunk.destination_uris.forEach((target, i) => {
    if (parseRegistered(target.destination) !== undefined) return;
    checkEndpoint(problems, `${path}.destination_uris[${i}].destination`, target.destination);
  });
  const alias = trunk.settings?.trunk_external_alias;
  if (alias !== undefined) checkE164(problems, `${path}.settings.trunk_external_alias`, alias);
}

/** Between two ends Opus passes like any codec; a leg of our own would be left without words. */
function checkMedia(problems: Problems, path: string, media: MediaSettings | undefined): void {
  const index = media?.codecs?.indexOf('opus') ?? -1;
  if (index < 0) return;
  const rule =
    'names opus, which no media engine here speaks: name PCMU, PCMA or L16 (direct media may have any codec)';
  problems.push(problem(`${path}.codecs[${index}]`, rule));
}

export function checkNumber(problems: Problems, path: string, number: DocumentNumber): void {
  checkE164(problems, `${path}.phone_number`, number.phone_number);
  if (number.mode === 'flow' && number.flow === undefined && number.inbound_agent === undefined) {
    problems.push(problem(path, 'has mode flow but names no flow'));
  }
}

/** Nodes, params by their applets' schemas, exits, expressions, and a way out everywhere. */
export function checkFlowResource(problems: Problems, path: string, flow: Flow): void {
  const checked = checkFlow(flow);
  if (checked.ok) return;
  for (const { path: within, rule } of checked.error) {
    if (full(problems)) return;
    const joint = path === '' || within === '' ? '' : '.';
    problems.push(problem(`${path}${joint}${within}`, rule));
  }
}

function checkE164(problems: Problems, path: string, text: string): void {
  if (isE164(text)) return;
  const meant = normaliseNumber(text);
  const hint = meant.ok ? ` (did you mean '${meant.value}'?)` : '';
  problems.push(problem(path, `must be E.164: '+' and 3 to 15 digits${hint}`));
}

function checkUnique(problems: Problems, seen: Map<string, string>, path: string, text: string): void {
  const normal = normaliseNumber(text);
  const key = normal.ok ? normal.value : text;
  const first = seen.get(key);
  if (first === undefined) seen.set(key, path);
  else problems.push(problem(`${path}.phone_number`, `is the same number as ${first}: '${text}' may stand once only`));
}

function checkRanges(problems: Problems, path: string, ranges: readonly IpRange[]): void {
  for (let i = 0; i < ranges.length && !full(problems); i++) {
    const range = ranges[i] as IpRange;
    if (parseNetwork(range.ip, range.mask) !== undefined) continue;
    if (parseNetwork(range.ip) === undefined) {
      const hint = range.ip.includes('/') ? ' (put the prefix length into mask)' : '';
      problems.push(problem(`${path}[${i}].ip`, `must be an IPv4 or IPv6 address${hint}`));
    } else {
      problems.push(problem(`${path}[${i}].mask`, `must be <= ${range.ip.includes(':') ? 128 : 32}`));
    }
  }
}

function checkEndpoint(problems: Problems, path: string, text: string): void {
  const endpoint = parseEndpoint(text);
  if (!endpoint.ok) problems.push(problem(path, endpoint.error));
}

function duplicates(problems: Problems, path: string, key: string, ids: readonly string[]): void {
  const first = new Map<string, number>();
  ids.forEach((id, i) => {
    const earlier = first.get(id);
    if (earlier === undefined) first.set(id, i);
    else if (!full(problems))
      problems.push(problem(`${path}[${i}]`, `has the same ${key} as ${path}[${earlier}]: '${id}'`));
  });
}

const full = (problems: Problems): boolean => problems.length >= MAX_PROBLEMS;
