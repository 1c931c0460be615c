import { createHash } from 'node:crypto';
import { parse as parseYaml, stringify as printYaml } from 'yaml';
import { assemble, flatten, resourceKey, validateDocument, type RoutingDocument } from '../../call/routing/schema.js';
import type { ResourceChange } from '../../call/routing/history.js';
import type { Resource, ResourceKey } from '../../call/routing/resources.js';
import { err, ok, type Result } from '../../kernel/index.js';
import { canonicalJson } from '../canonicalJson.js';
import { changesOf } from '../changesOf.js';
import { describeProblems, errorText, type RoutingChange, type StoreProblem } from '../problem.js';

export type DocumentFormat = 'json' | 'yaml';

/** By the name's ending: `.json`, or else YAML (which JSON is a part of, but parses far slower). */
export const formatOf = (path: string): DocumentFormat => (path.toLowerCase().endsWith('.json') ? 'json' : 'yaml');

export interface ReadDocument {
  readonly resources: readonly Resource[];
  /** Equal for equal contents, whatever the layout and order of the text. */
  readonly hash: string;
}

/** Characters of a content hash in revision ids. */
const HASH_LENGTH = 12;

function contentHash(resources: Iterable<Resource>): string {
  const lines: string[] = [];
  for (const resource of resources) {
    lines.push(`${resource.type} ${resourceKey(resource).id} ${canonicalJson(resource.value)}\n`);
  }
  const hash = createHash('sha256');
  for (const line of lines.sort()) hash.update(line);
  return hash.digest('hex').slice(0, HASH_LENGTH);
}

const invalid = (message: string): { readonly ok: false; readonly error: StoreProblem } =>
  err({ code: 'invalid_document', message });

function parseText(text: string, format: DocumentFormat): Result<unknown, StoreProblem> {
  try {
    return ok(format === 'json' ? JSON.parse(text) : parseYaml(text));
  } catch (error) {
    // The first line holds reason, line and column; those after it quote the document, which may hold passwords.
    return invalid(`not ${format.toUpperCase()}: ${errorText(error).split('\n', 1)[0]}`);
  }
}

/** Parses, validates and flattens a routing document. */
export function readDocument(text: string, format: DocumentFormat): Result<ReadDocument, StoreProblem> {
  const parsed = parseText(text, format);
  if (!parsed.ok) return parsed;
  const checked = validateDocument(parsed.value);
  if (!checked.ok) return invalid(describeProblems(checked.error));
  const resources = flatten(checked.value);
  return ok({ resources, hash: contentHash(resources) });
}

export interface EditedDocument {
  readonly text: string;
  readonly hash: string;
  /** Content hash before the change. */
  readonly baseHash: string;
  readonly changes: readonly ResourceChange[];
}

/** Applies a change to the text of a document; layout and comments are those of the printer afterwards. */
export function editDocument(
  text: string,
  format: DocumentFormat,
  change: Pick<RoutingChange, 'upserts' | 'deletes'>,
): Result<EditedDocument, StoreProblem> {
  const read = readDocument(text, format);
  if (!read.ok) return read;
  // A Map keeps the order that people gave to their document.
  const resources = new Map(read.value.resources.map((resource) => [keyText(resourceKey(resource)), resource]));
  const changes = changesOf(change, (key) => resources.get(keyText(key)));
  for (const key of change.deletes) resources.delete(keyText(key));
  for (const resource of change.upserts) resources.set(keyText(resourceKey(resource)), resource);
  let document: RoutingDocument;
  try {
    document = assemble(resources.values());
  } catch (error) {
    return invalid(errorText(error));
  }
  const checked = validateDocument(document);
  if (!checked.ok) return invalid(describeProblems(checked.error));
  const hash = contentHash(resources.values());
  const printed = format === 'json' ? `${JSON.stringify(document, null, 2)}\n` : printYaml(document, { lineWidth: 0 });
  return ok({ text: printed, hash, baseHash: read.value.hash, changes });
}

const keyText = ({ type, id }: ResourceKey): string => `${type} ${id}`;
