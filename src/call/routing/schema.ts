/** The routing document: checked, taken apart into resources, put together again. */
import { type Result, type SchemaError, TandemError, err, ok, schemaChecks } from '../../kernel/index.js';
import { type DocumentProblem, describeSchemaError, problem } from './problems.js';
import type { PhoneNumber, Resource, ResourceKey, ResourceType, Trunk } from './resources.js';
import {
  MAX_PROBLEMS,
  checkCarrier,
  checkDocument,
  checkFlowResource,
  checkNumber,
  checkTrunk,
  groupId,
} from './semantics.js';
import {
  AccountSchema,
  CarrierSchema,
  type DocumentNumber,
  DocumentSchema,
  type DocumentTrunk,
  FlowSchema,
  NetworkGroupSchema,
  PhoneNumberSchema,
  type RoutingDocument,
  TrunkSchema,
} from './shapes.js';

export type { DocumentNumber, DocumentTrunk, RoutingDocument } from './shapes.js';
export { DocumentSchema } from './shapes.js';
export type { DocumentProblem } from './problems.js';

const checks = schemaChecks({ allErrors: true, verbose: true, useDefaults: true, strict: false });

const shapes = {
  document: checks(DocumentSchema),
  account: checks(AccountSchema),
  carrier: checks(CarrierSchema),
  trunk: checks(TrunkSchema),
  phone_number: checks(PhoneNumberSchema),
  network_group: checks(NetworkGroupSchema),
  flow: checks(FlowSchema),
} as const;
const RESOURCE_TYPES: readonly string[] = Object.keys(shapes).filter((name) => name !== 'document');

/**
 * Checks the shape only, and fills in defaults - in place: the caller hands its data over. `lint` works on documents
 * that pass this and fail the rest.
 */
export function validateShape(data: unknown): Result<RoutingDocument, DocumentProblem[]> {
  const shape = shapes.document;
  if (shape(data)) return ok(data as RoutingDocument);
  return err(schemaProblems(shape.errors));
}

/**
 * Checks a whole routing document: shape, then what binds its parts. Defaults are filled in in place.
 * @returns the document, or at most 100 problems, each with its path and a sentence
 */
export function validateDocument(data: unknown): Result<RoutingDocument, DocumentProblem[]> {
  const shape = validateShape(data);
  if (!shape.ok) return shape;
  const problems = checkDocument(shape.value);
  return problems.length === 0 ? shape : err(problems);
}

/** Checks one resource by itself: its shape, addresses, numbers, targets; not what it refers to. Defaults in place. */
export function validateResource(resource: {
  readonly type: string;
  readonly value: unknown;
}): Result<Resource, DocumentProblem[]> {
  if (!RESOURCE_TYPES.includes(resource.type)) {
    return err([problem('type', `must be one of ${RESOURCE_TYPES.join(', ')}`)]);
  }
  const shape = shapes[resource.type as ResourceType];
  if (!shape(resource.value)) return err(schemaProblems(shape.errors));
  const checked = resource as Resource;
  const problems: DocumentProblem[] = [];
  if (checked.type === 'carrier') checkCarrier(problems, '', checked.value);
  else if (checked.type === 'trunk') checkTrunk(problems, '', checked.value);
  else if (checked.type === 'flow') checkFlowResource(problems, '', checked.value);
  else if (checked.type === 'phone_number') checkNumber(problems, '', checked.value);
  return problems.length === 0 ? ok(checked) : err(problems.slice(0, MAX_PROBLEMS).map(withoutLeadingDot));
}

/** Identity of a resource: what deletes and diffs go by. */
export function resourceKey(resource: Resource): ResourceKey {
  return { type: resource.type, id: resourceId(resource) };
}

function resourceId(resource: Resource): string {
  switch (resource.type) {
    case 'account':
      return resource.value.sid;
    case 'carrier':
    case 'flow':
      return resource.value.id;
    case 'trunk':
      return resource.value.trunk_sid;
    case 'phone_number':
      return resource.value.phone_number;
    case 'network_group':
      return groupId(resource.value);
  }
}

/** The document as resources; what others refer to comes first. */
export function flatten(document: RoutingDocument): Resource[] {
  const resources: Resource[] = [];
  for (const batch of flattenBatches(document)) for (const resource of batch) resources.push(resource);
  return resources;
}

/** `flatten` in batches, so that a large document need not exist twice. */
export function* flattenBatches(document: RoutingDocument, batchSize = 2000): Generator<Resource[]> {
  let batch: Resource[] = [];
  for (const resource of eachResource(document)) {
    if (batch.push(resource) < batchSize) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

function* eachResource(document: RoutingDocument): Generator<Resource> {
  for (const value of document.accounts) yield { type: 'account', value };
  for (const value of document.carriers) yield { type: 'carrier', value };
  for (const value of document.flows) yield { type: 'flow', value };
  for (const value of document.network_groups) yield { type: 'network_group', value };
  for (const { phone_numbers, ...trunk } of document.trunks) {
    yield { type: 'trunk', value: trunk };
    for (const number of phone_numbers) {
      yield { type: 'phone_number', value: { ...number, trunk_sid: trunk.trunk_sid } };
    }
  }
}

/**
 * The inverse of `flatten`; order within each kind is kept.
 * @throws TandemError `trunk_not_found` for a phone number whose trunk is not among the resources
 */
export function assemble(resources: Iterable<Resource>): RoutingDocument {
  const document = {
    accounts: [] as RoutingDocument['accounts'][number][],
    carriers: [] as RoutingDocument['carriers'][number][],
    trunks: [] as DocumentTrunk[],
    flows: [] as RoutingDocument['flows'][number][],
    network_groups: [] as RoutingDocument['network_groups'][number][],
  };
  const trunks: Trunk[] = [];
  const numbers = new Map<string, DocumentNumber[]>();
  const orphans: PhoneNumber[] = [];
  for (const resource of resources) {
    if (resource.type === 'account') document.accounts.push(resource.value);
    else if (resource.type === 'carrier') document.carriers.push(resource.value);
    else if (resource.type === 'flow') document.flows.push(resource.value);
    else if (resource.type === 'network_group') document.network_groups.push(resource.value);
    else if (resource.type === 'trunk') trunks.push(resource.value);
    else orphans.push(resource.value);
  }
  for (const trunk of trunks) numbers.set(trunk.trunk_sid, []);
  for (const { trunk_sid, ...number } of orphans) {
    const list = numbers.get(trunk_sid);
    if (list === undefined) {
      const message = `phone number ${number.phone_number} belongs to the trunk '${trunk_sid}', which does not exist`;
      throw new TandemError({ code: 'trunk_not_found', message });
    }
    list.push(number);
  }
  for (const trunk of trunks) document.trunks.push({ ...trunk, phone_numbers: numbers.get(trunk.trunk_sid) ?? [] });
  return document;
}

function schemaProblems(list: readonly SchemaError[]): DocumentProblem[] {
  const unions = new Set(list.filter((error) => error.keyword === 'anyOf').map((error) => error.instancePath));
  // A failed union also reports each of its branches; the union's own sentence lists the choices.
  const told = list.filter((error) => error.keyword === 'anyOf' || !isBranch(error, unions));
  return told.slice(0, MAX_PROBLEMS).map(describeSchemaError);
}

function isBranch(error: SchemaError, unions: ReadonlySet<string>): boolean {
  return error.schemaPath.includes('/anyOf/') && [...ancestors(error.instancePath)].some((path) => unions.has(path));
}

function* ancestors(pointer: string): Generator<string> {
  for (let end = pointer.length; end > 0; end = pointer.lastIndexOf('/', end - 1)) yield pointer.slice(0, end);
}

function withoutLeadingDot(found: DocumentProblem): DocumentProblem {
  return problem(found.path.startsWith('.') ? found.path.slice(1) : found.path, found.rule);
}
