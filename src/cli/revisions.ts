/** `tandem revisions | diff A B | rollback ID | publish FILE`, of a running node. */
import { readFile } from 'node:fs/promises';
import { parse as parseYaml } from 'yaml';
import type { ResourceChange, RevisionPage } from '../call/routing/history.js';
import type { Config } from '../config/index.js';
import { TandemError } from '../kernel/index.js';
import { readAsking } from './adminClient.js';

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const asJson = (value: unknown): void => say(JSON.stringify(value, null, 2));

/** Columns as wide as their widest cell. */
const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

/** `tandem revisions [--limit N]`: newest first. */
export const revisions = async (config: Config, argv: readonly string[]): Promise<number> => {
  const { client, options, json } = readAsking('revisions', config, argv, { names: [], options: ['limit'] });
  const page = await client.ask<RevisionPage & { readonly current: string }>(
    'GET',
    `/api/revisions?limit=${encodeURIComponent(options['limit'] ?? '20')}`,
  );
  if (json) asJson(page);
  else {
    const rows = page.revisions.map((one) => [
      one.revision === page.current ? '*' : ' ',
      one.revision,
      one.at.slice(0, 19).replace('T', ' '),
      String(one.changes),
      one.author,
      one.note ?? '',
    ]);
    say(table([['', 'REVISION', 'AT (UTC)', 'CHANGES', 'AUTHOR', 'NOTE'], ...rows]));
    if (page.trimmed) say('older revisions are no longer kept');
  }
  return 0;
};

/** `tandem diff A B`: what leads from one revision to the other. Exit code 1 where they differ, as diff has it. */
export const diff = async (config: Config, argv: readonly string[]): Promise<number> => {
  const { client, names, json } = readAsking('diff', config, argv, { names: ['A', 'B'] });
  const [from, to] = names.map((name) => encodeURIComponent(name)) as [string, string];
  const found = await client.ask<{ readonly changes: readonly ResourceChange[] }>(
    'GET',
    `/api/revisions/diff?from=${from}&to=${to}`,
  );
  if (json) asJson(found);
  else for (const change of found.changes) say(changeText(change));
  return found.changes.length === 0 ? 0 : 1;
};

const changeText = ({ key, before, after }: ResourceChange): string => {
  const name = `${key.type} ${key.id}`;
  if (before === undefined) return `+ ${name}\n${membersText('+', after)}`;
  if (after === undefined) return `- ${name}\n${membersText('-', before)}`;
  const [old, now] = [before, after] as unknown as Record<string, unknown>[] as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  const changed = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(
    (member) => JSON.stringify(old[member]) !== JSON.stringify(now[member]),
  );
  const pick = (value: Record<string, unknown>) =>
    Object.fromEntries(changed.filter((member) => member in value).map((member) => [member, value[member]]));
  return [`~ ${name}`, membersText('-', pick(old)), membersText('+', pick(now))]
    .filter((line) => line !== '')
    .join('\n');
};

const membersText = (sign: string, value: object | undefined): string =>
  Object.entries(value ?? {})
    .map(([name, member]) => `    ${sign} ${name}: ${JSON.stringify(member)}`)
    .join('\n');

/** `tandem rollback ID [--note TEXT]`: a new revision that restores that one. */
export const rollback = async (config: Config, argv: readonly string[]): Promise<number> => {
  const { client, names, options, json } = readAsking('rollback', config, argv, {
    names: ['REVISION'],
    options: ['note'],
  });
  const { note } = options;
  const path = `/api/revisions/${encodeURIComponent(names[0] as string)}/rollback`;
  return published(await client.ask<Published>('POST', path, note === undefined ? {} : { note }), json);
};

/** `tandem publish FILE [--note TEXT]`: makes the node's document what the file says, as one revision. */
export const publish = async (config: Config, argv: readonly string[]): Promise<number> => {
  const { client, names, options, json } = readAsking('publish', config, argv, { names: ['FILE'], options: ['note'] });
  const query = options['note'] === undefined ? '' : `?note=${encodeURIComponent(options['note'])}`;
  return published(
    await client.ask<Published>('PUT', `/api/document${query}`, await readDocument(names[0] as string)),
    json,
  );
};

interface Published {
  readonly revision: string;
  readonly changes: number;
}

const published = (answer: Published, json: boolean): number => {
  if (json) asJson(answer);
  else if (answer.changes === 0) say(`nothing to change; revision ${answer.revision} stays`);
  else say(`revision ${answer.revision}, ${answer.changes} ${answer.changes === 1 ? 'change' : 'changes'}`);
  return 0;
};

const readDocument = async (path: string): Promise<unknown> => {
  try {
    const text = await readFile(path, 'utf8');
    return path.toLowerCase().endsWith('.json') ? (JSON.parse(text) as unknown) : (parseYaml(text) as unknown);
  } catch (error) {
    // The first line: those after it quote the document, which may hold passwords.
    const why = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0];
    throw new TandemError({ code: 'unreadable_document', message: `${path}: ${why}`, cause: error });
  }
};
