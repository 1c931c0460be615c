/** `tandem import rates FILE --carrier ID`: a carrier's price deck becomes its network groups, as one revision. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { Config } from '../config/index.js';
import { CsvReader, type Deck, DeckReader, type DeckDifference, deckChange } from '../control/index.js';
import { TandemError } from '../kernel/index.js';
import { type RatesTarget, nodeTarget, storeTarget } from './ratesTarget.js';

const USAGE =
  'tandem import rates FILE --carrier ID [--currency INR] [--dry-run] [--skip-bad] [--note TEXT] ' +
  '[--url URL] [--key KEY --token TOKEN] [--json]';

const bad = (detail: string): TandemError =>
  new TandemError({ code: 'bad_arguments', message: `tandem import: ${detail} (usage: ${USAGE})` });

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const tell = (text: string): void => void process.stderr.write(`${text}\n`);

interface Asked {
  readonly file: string;
  readonly carrier: string;
  readonly currency: string | undefined;
  readonly note: string | undefined;
  readonly dryRun: boolean;
  readonly skipBad: boolean;
  readonly json: boolean;
  /** `url`, `key`, `token`: any of them means a running node. */
  readonly node: Readonly<Record<string, string | undefined>> | undefined;
}

const readAsked = (argv: readonly string[]): Asked => {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      options: {
        ...{ carrier: text, currency: text, note: text, url: text, key: text, token: text },
        ...{ 'dry-run': flag, 'skip-bad': flag, json: flag },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  const { positionals, values } = parsed;
  const [what, file, ...more] = positionals;
  if (what !== 'rates' || file === undefined || more.length > 0) throw bad('rates and one FILE expected');
  const { carrier, currency, note, url, key, token } = values;
  if (carrier === undefined || carrier === '') throw bad('--carrier is missing');
  if (currency !== undefined && !/^[A-Z]{3}$/.test(currency))
    throw bad('--currency must be three capitals, such as INR');
  const remote = url !== undefined || key !== undefined || token !== undefined;
  return {
    ...{ file, carrier, currency, note },
    dryRun: values['dry-run'] === true,
    skipBad: values['skip-bad'] === true,
    json: values.json === true,
    node: remote ? { url, key, token } : undefined,
  };
};

/** A line on stderr for each so many rows: smaller decks are there at once. */
const PROGRESS_ROWS = 100_000;

/** Streams the file through the reader. @throws TandemError `unreadable_deck` */
const readDeck = async ({ file, currency }: Asked): Promise<Deck> => {
  const deck = new DeckReader({ currency });
  try {
    const { size } = await stat(file);
    const csv = new CsvReader();
    let next = PROGRESS_ROWS;
    let bytes = 0;
    // One character more than a byte is still a byte more: the share of what was read is near enough.
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 18 })) {
      const text = chunk as string;
      bytes += Buffer.byteLength(text);
      for (const row of csv.push(text)) deck.take(row);
      if (deck.rows < next) continue;
      next = deck.rows - (deck.rows % PROGRESS_ROWS) + PROGRESS_ROWS;
      tell(`read ${deck.rows} rows, ${Math.min(100, Math.round((bytes * 100) / size))} %`);
    }
    for (const row of csv.end()) deck.take(row);
  } catch (error) {
    if (error instanceof TandemError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new TandemError({ code: 'unreadable_deck', message: `${file}: ${why}`, cause: error });
  }
  const read = deck.finish();
  if (read.ok) return read.value;
  throw new TandemError({ code: 'unreadable_deck', message: `${file}: ${read.error}` });
};

/** Rows that are told of one by one on a terminal; with `--json` all of them are. */
const MAX_TOLD = 100;
const MAX_PRICES = 20;

/** Exit code 0; 1 when rows are bad: nothing is published then, unless `--skip-bad` leaves them out. */
export const importRates = async (config: Config, argv: readonly string[]): Promise<number> => {
  const asked = readAsked(argv);
  const { carrier, dryRun, skipBad, json } = asked;
  const deck = await readDeck(asked);
  if (!json) tellFaults(asked.file, deck);
  const stopped = deck.bad.length > 0 && !skipBad;
  const open = (): Promise<RatesTarget> =>
    asked.node === undefined ? storeTarget(config) : nodeTarget(config, asked.node);
  const target = await open();
  try {
    if (deck.rows >= PROGRESS_ROWS) tell('comparing');
    const outcome = await target.change(carrier, (current, now) => deckChange(carrier, deck.groups, current, now), {
      publish: !stopped && !dryRun && deck.groups.length > 0,
      note: asked.note ?? noteOf(asked, deck),
    });
    const { difference, revision } = outcome;
    if (json) sayJson(deck, difference, { revision, published: outcome.published });
    else sayDifference(deck, difference);
    if (stopped) tell(`nothing is published: correct the rows, or leave them out with --skip-bad`);
    else if (deck.groups.length === 0) tell('nothing is published: the deck has no row');
    else if (!json) say(outcomeText(outcome, dryRun));
  } finally {
    await target.close();
  }
  return deck.bad.length > 0 || deck.groups.length === 0 ? 1 : 0;
};

const outcomeText = ({ published, revision }: { published: boolean; revision: string }, dryRun: boolean): string => {
  if (dryRun) return `dry run: revision ${revision} stays`;
  return published ? `revision ${revision}` : `nothing to change; revision ${revision} stays`;
};

const noteOf = ({ file, carrier }: Asked, { prefixes }: Deck): string =>
  `rates of ${carrier} from ${file.split('/').at(-1) ?? file}: ${prefixes} prefixes`.slice(0, 500);

const tellFaults = (file: string, { warnings, bad }: Deck): void => {
  for (const warning of warnings) tell(`${file}: warning: ${warning}`);
  for (const { line, why } of bad.slice(0, MAX_TOLD)) tell(`${file}:${line}: the row ${why}`);
  if (bad.length > MAX_TOLD) tell(`${file}: ${bad.length - MAX_TOLD} more bad rows; --json names all`);
};

const sayJson = ({ rows, bad, warnings }: Deck, { groups, prefixes, prices }: DeckDifference, outcome: object): void =>
  say(JSON.stringify({ ...outcome, rows, groups, prefixes, prices, warnings, bad }, null, 2));

const sayDifference = ({ rows, bad }: Deck, { groups, prefixes, prices }: DeckDifference): void => {
  say(`${rows} rows, ${bad.length} bad`);
  say(
    `prefixes: ${prefixes.added} added, ${prefixes.removed} removed, ${prefixes.dearer} dearer, ` +
      `${prefixes.cheaper} cheaper, ${prefixes.same} at the same price`,
  );
  say(
    `groups: ${groups.added} added, ${groups.removed} removed, ${groups.changed} changed, ${groups.same} as they were`,
  );
  for (const { group, before, after, prefixes: count } of prices.slice(0, MAX_PRICES)) {
    say(`  ${group}: ${before ?? 'new'} -> ${after ?? 'gone'} (${count} ${count === 1 ? 'prefix' : 'prefixes'})`);
  }
  if (prices.length > MAX_PRICES) say(`  and ${prices.length - MAX_PRICES} more; --json names all`);
};
