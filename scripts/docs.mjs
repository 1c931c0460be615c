// Writes the generated pages of docs/ from the compiled sources: `npm run docs`. The test of the documentation renders
// them again and compares; it also fails when a code in src has no entry here.
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** What to do about the end of a call, where there is something to do. The codes are those of endingReasons.ts. */
export const END_REMEDIES = {
  callee_unavailable: 'Look whether the phone is registered.',
  callee_unknown: 'Compare the number sent (`destination` of the record) with what the destination knows.',
  number_incomplete: 'Send E.164, or what the destination expects.',
  media_not_acceptable: 'Compare the SDP of both sides; Tandem does not change it.',
  no_answer: 'Raise `calls.maxSetupMs` if phones ring for longer.',
  destination_silent: 'Look whether the destination is up, and whether a firewall lets SIP through.',
  destination_unreachable: 'Check address, port and transport of the destination.',
  destination_unresolved: 'Check the name and the DNS servers.',
  destination_invalid:
    'Use udp or tcp in the destination, and listen on it (`sip.listen`); Tandem does not call itself.',
  destination_3xx: 'Configure the target of the redirection.',
  destination_4xx: 'The record names the status.',
  destination_5xx: 'The record names the status.',
  destination_6xx: 'The record names the status.',
  trunk_has_no_destination: 'Add an entry to destination_uris of the trunk.',
  ack_timeout: 'The answer does not reach the caller, or its ACK not us: look at NAT and Contact (`sip.advertise`).',
  leg_lost: 'That side restarted, or a device between has forgotten the call.',
  signalling_lost: 'The log says why.',
  spend_cap_reached: 'Find out who calls; raise spend_per_day if the calls are wanted.',
  credentials_refused:
    'Compare `credentials` of the carrier with what it gave you; set their `realm` to the one that it challenges with.',
  max_duration: 'Raise it if such calls are wanted.',
  drain_limit: 'Raise it, or drain earlier.',
  answer_failed: "Compare the caller's SDP with what the media plane speaks: G.711, RTP/AVP.",
  flow_failed: 'See `flow.path` of the record; give the node an `error` exit, or the flow a fallback.',
  flow_step_limit: 'Look for a loop in the flow.',
  internal_error: 'Report it with the fault in the log.',
};

/** Codes of errors that end a command or are logged: code -> [where, sentence, remedy]. */
export const ERROR_CODES = {
  config_invalid: ['start', 'The configuration has faults; each is listed with its line.', 'Correct them all.'],
  demo_credentials_exposed: [
    'start, new document',
    'An account has the key demo:demo, and `admin.listen` can be reached from other machines.',
    'Replace the key, or listen on 127.0.0.1.',
  ],
  drachtio_listen_invalid: ['start', '`drachtio.listen` or `drachtio.secret` cannot be used.', 'Set both.'],
  drachtio_refused: ['start', 'The drachtio-server refused the secret.', 'Correct `sip.drachtio.secret`.'],
  certificate_missing: ['start', 'A listener for TLS or WSS has no certificate.', 'Set `sip.tls.certificates`.'],
  certificate_invalid: [
    'start',
    'A file of `sip.tls` cannot be read, or certificate and key do not belong together.',
    'Correct the file; while the process runs, the certificates before it stay.',
  ],
  address_in_use: ['start', 'Another socket has the address and port.', 'Stop the other program, or change the port.'],
  address_not_available: ['start', 'No interface has the address.', 'Use an address of this machine.'],
  address_not_permitted: ['start', 'This user may not open the port.', 'Use a port above 1023, or grant the right.'],
  address_family_not_supported: ['start', 'The machine has no such address family.', 'Use the other one.'],
  address_invalid: ['start', 'Not a numeric address with a port.', 'Use an address of this machine.'],
  listen_failed: ['start', 'The port could not be opened; the message has the system code.', 'See the message.'],
  admin_listen_failed: ['start', '`admin.listen` cannot be opened.', 'Use a free address and port.'],
  cdr_path_unusable: ['start', 'Call records cannot be written to `cdr.path`.', 'Use a folder this process may write.'],
  cdr_not_written: ['stop', 'Records are still in memory, or may not be on disk.', 'Look at the disk.'],
  cdr_stream_refused: ['records', 'Redis takes no entry for the stream of records. Retried.', 'See the message.'],
  no_routing_document: [
    'start',
    'There is neither a valid document nor a snapshot.',
    'The message says what is wrong.',
  ],
  invalid_document: [
    'store',
    'The document breaks a rule; the last good one stays.',
    'Correct what the message names.',
  ],
  unreadable_document: ['store', 'The file cannot be read; the last good one stays.', 'Restore file or rights.'],
  watch_failed: ['store', 'The folder of the document can no longer be watched.', 'Restart; look at inotify limits.'],
  store_unreachable: ['store', 'Redis does not answer; the last good document stays. Retried.', 'Look at Redis.'],
  served_from_snapshot: ['store', 'Redis was out of reach at start; the snapshot is served.', 'Look at Redis.'],
  snapshot_corrupt: ['store', 'The snapshot is damaged and was not used.', 'Remove it; it is written again.'],
  snapshot_not_written: ['store', 'The snapshot could not be written.', 'Look at `store.snapshotPath` and the disk.'],
  routing_document_lost: ['store', 'Redis holds no document any more; the last one serves on.', 'Publish it again.'],
  delivery_failed: ['store', 'A document could not be put in place; the last good one stays.', 'See the message.'],
  routing_update_invalid: ['store', 'A change names something that is no network, number or target.', 'Correct it.'],
  routing_base_mismatch: ['store', 'A change is for another revision; the document is loaded anew.', ''],
  revision_not_found: ['revisions', 'There is no such revision.', 'List them.'],
  history_trimmed: ['revisions', 'What a revision changed is no longer kept.', ''],
  revision_conflict: ['publish', 'Somebody else published first.', 'Read the current revision and try again.'],
  revision_too_large: ['publish', 'More than 200,000 changes in one revision.', 'Publish several.'],
  store_busy: ['publish', 'Another process holds the lock of the file.', 'Try again.'],
  store_closed: ['publish', 'The store is closed.', ''],
  already_following: ['store', 'A store has one follower.', ''],
  trunk_not_found: ['store', 'A number is of a trunk that is not in the document.', 'Add the trunk.'],
  bad_network: [
    'start',
    'An entry of a list of networks is neither a network nor an address.',
    'Write it as 10.0.0.0/8.',
  ],
  bad_arguments: ['commands', 'The command line is not understood.', 'The message lists the options.'],
  invalid_routing_document: ['explain, lint', 'The document has faults.', 'Correct what the message names.'],
  unreadable_deck: [
    'import',
    'The price deck cannot be read, or its first row names no prefix or price.',
    'See the message.',
  ],
  unknown_carrier: ['import', 'The carrier of --carrier does not exist.', 'Create it first.'],
  call_not_found: ['explain', 'No call record has this id.', 'Look at `cdr.path`; ids stand in the log lines, too.'],
  node_unreachable: ['commands', 'No running node answers.', 'Start one, or name its configuration with --config.'],
  node_refused: ['commands', 'The node did not do it; the message is its own.', 'Do what the message says.'],
};

/** Codes in answers of the administration: code -> [HTTP status, sentence]. */
export const ADMIN_CODES = {
  bad_request: [400, 'Not an HTTP request, or one that cannot be read.'],
  invalid_request: [400, 'Body, query or path break the schema of the route.'],
  invalid_json: [400, 'The body is no JSON object.'],
  credentials_missing: [401, 'Account key and token are needed: `/v1`, `/v2`, or `admin.listen` is not on loopback.'],
  credentials_wrong: [401, 'No account has this key and token.'],
  scope_missing: [403, 'The key may do less than this asks for.'],
  operator_only: [403, 'This is of the whole node: an admin key of an account in `admin.operators` is needed.'],
  origin_not_allowed: [403, 'A web page of another origin may not change anything.'],
  cursor_unknown: [400, 'The cursor is not one of this node, or its file is gone.'],
  cdr_not_found: [404, 'No record is of this call, or it is of another account.'],
  records_not_searched: [503, 'The search failed or took too long.'],
  host_not_allowed: [403, 'On loopback, the Host field must name the loopback address.'],
  not_found: [404, 'Nothing is served at this path.'],
  resource_not_found: [404, 'There is no such resource, or it is of another account.'],
  call_not_found: [404, 'No live call has this id; for /api/explain, no record either.'],
  registration_not_found: [404, 'No such contact is registered, or its trunk is of another account.'],
  caller_number_unknown: [403, 'A call is placed from a number that is mapped to no trunk of the account.'],
  flow_unknown: [404, 'A call is placed with a flow that does not exist, or is of another account.'],
  method_not_allowed: [405, 'The path is served with other methods, see Allow.'],
  body_too_large: [413, 'The body is longer than 64 kB.'],
  unsupported_media_type: [415, 'The body is not application/json.'],
  revision_not_found: [404, 'There is no such revision.'],
  history_trimmed: [410, 'The revision is so old that the history no longer has it.'],
  reference_missing: [422, 'The change refers to something that is not there.'],
  too_many_keys: [409, 'An account has at most 100 keys.'],
  resource_in_use: [409, 'Something that stays refers to what would be deleted.'],
  too_many_attempts: [429, 'Ten wrong credentials within a minute came from this address.'],
  internal_error: [500, 'An exception; the log has it.'],
};

/** Codes within the process that no operator meets: ends of single requests, seen by the bridge only. */
export const INNER_CODES = [
  'address_not_allowed',
  'query_failed',
  'early_dialog_ended',
  'flow_gone',
  'engine_down',
  'engine_lost',
  'request_pending',
  'transfer_loop',
  'unreachable',
];

const cell = (/** @type {unknown} */ text) => String(text ?? '').replaceAll('|', '\\|');
/** @param {readonly string[]} head @param {readonly (readonly unknown[])[]} rows */
const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

/** @param {(path: string) => Promise<any>} load */
const errorsPage = async (load) => {
  const { describeReasons } = await load('call/routing/reasons.js');
  const { describeEndings } = await load('call/bridge/endingReasons.js');
  const { describeTransfers } = await load('call/session/transfer/reasons.js');
  const decisions = describeReasons().map((/** @type {any} */ r) => [
    `\`${r.code}\``,
    r.sipStatus ?? '–',
    r.sentence,
    r.remedy ?? '',
  ]);
  /** @type {Record<string, string>} */
  const remedies = END_REMEDIES;
  const ends = describeEndings().map((/** @type {any} */ end) => [`\`${end.code}\``, end.sentence, remedies[end.code]]);
  const transfers = describeTransfers().map((/** @type {any} */ one) => [`\`${one.code}\``, one.sentence]);
  const errors = Object.entries(ERROR_CODES).map(([code, row]) => [`\`${code}\``, ...row]);
  const admin = Object.entries(ADMIN_CODES).map(([code, row]) => [`\`${code}\``, ...row]);
  return `# Reason and error codes

Generated by \`npm run docs\`; do not edit.

## Decisions

Why a call is routed or refused, before anybody is called. The code stands in \`Reason: SIP;cause=STATUS;text="CODE"\` of
the answer, in \`reasonCode\` of the call record, in the log line and in \`tandem_calls_ended_total{reason}\`.

${table(['code', 'SIP status', 'meaning', 'what to do'], decisions)}

## Ends of calls

Why a call that went to a destination is over. Which status the caller gets stands in
[life-of-a-call.md](life-of-a-call.md#5-bridge).

${table(['code', 'meaning', 'what to do'], ends)}

Calls that the node refused by itself have \`draining\`, \`node_full\`, \`too_many_hops\`, \`extension_off\`, \`privacy_not_served\` or \`session_interval_too_small\` of the table above.

## Transfers

In \`transfers[].reasonCode\` of the call record, and in the Reason of the answer that refuses a REFER, beside the codes of
the two tables above: what a call to the target is refused for, and why a target did not answer.

${table(['code', 'meaning'], transfers)}

## Errors of the process

Printed as \`tandem: MESSAGE\` with exit code 1, or logged with the code.

${table(['code', 'where', 'meaning', 'what to do'], errors)}

## Answers of the administration

\`{"error": {"code", "message", "remedy"}}\`

${table(['code', 'HTTP status', 'meaning'], admin)}
`;
};

/** @param {any} value */
const shown = (value) => (value === undefined ? '–' : `\`${JSON.stringify(value)}\``);

/** @param {any} node */
const typeOf = (node) => {
  if (node.const !== undefined) return `\`${node.const}\``;
  if (node.enum !== undefined) return node.enum.map((/** @type {string} */ one) => `\`${one}\``).join(', ');
  if (node.patternProperties !== undefined) return 'map';
  if (node.type === 'array') return 'list';
  if (node.type === 'integer') {
    const { minimum = '', maximum = '' } = node;
    return minimum === '' && maximum === '' ? 'integer' : `integer ${minimum}–${maximum}`;
  }
  return node.type ?? '';
};

/** @param {string} path @param {any} node @param {(key: string) => string} variableOf @returns {string[][]} */
const rowsOf = (path, node, variableOf) => {
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([name, child]) => rowsOf(`${path}.${name}`, child, variableOf));
  }
  const what = node.description ?? '';
  return [[`\`${path}\``, typeOf(node), shown(node.default), `\`${variableOf(path)}\``, what]];
};

/** @param {(path: string) => Promise<any>} load */
const keysBlock = async (load) => {
  const { configSchema, variableOf } = await load('config/index.js');
  const sections = Object.entries(configSchema.properties).map(([name, node]) => {
    /** @type {any[]} */
    const variants = node.oneOf ?? [node];
    const tables = variants.map((variant) => {
      const title = node.oneOf === undefined ? '' : `\n\n\`kind: ${variant.properties.kind.const}\``;
      return `${title}\n\n${table(['key', 'type', 'default', 'environment', 'meaning'], rowsOf(name, variant, variableOf))}`;
    });
    return `### ${name}\n\n${node.description}.${tables.join('')}`;
  });
  return sections.join('\n\n');
};

const BEGIN = '<!-- begin generated: npm run docs -->';
const END = '<!-- end generated -->';

/** @param {string} page @param {string} block */
const withBlock = (page, block) => {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no "${BEGIN}" and "${END}"`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${block}\n\n${page.slice(end)}`;
};

/**
 * The generated pages as they should be: path -> text.
 * @param {URL} source the compiled tree, for example dist/
 */
export const pages = async (source) => {
  const load = (/** @type {string} */ path) => import(new URL(path, source).href);
  return {
    'docs/errors.md': await errorsPage(load),
    'docs/configuration.md': withBlock(readFileSync('docs/configuration.md', 'utf8'), await keysBlock(load)),
  };
};

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const [path, text] of Object.entries(await pages(pathToFileURL('dist/')))) writeFileSync(path, text);
}
