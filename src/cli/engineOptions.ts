/** The command line of `tandem engine`: our words and those of drachtio-server, to one description. */
import { type RequestHandler, placeOf } from '../drachtio/index.js';
import { TandemError } from '../kernel/index.js';
import type { ListenSpec, TransportName } from '../sip/index.js';

export interface EngineCommand {
  /** Every address is numeric; `*` stands in `host` where it was written. */
  readonly listen: readonly ListenSpec[];
  readonly secret: string;
  readonly control: Place;
  readonly controlTls: Place | undefined;
  readonly metrics: Place | undefined;
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  readonly requestHandlers: readonly RequestHandler[];
  readonly onAppLost: 'hangup' | 'keep';
  /** OPTIONS of this User-Agent are answered without asking anybody. */
  readonly optionsAnsweredTo: string | undefined;
  /** Of what was asked for, what has no effect here, and why. */
  readonly remarks: readonly string[];
}

export interface Place {
  readonly address: string;
  readonly port: number;
}

const DEFAULT_CONTROL_PORT = 9022;
const DEFAULT_METRICS_PORT = 9090;

const TRANSPORTS: ReadonlySet<string> = new Set(['udp', 'tcp', 'tls', 'ws', 'wss']);

/** Options with a value. Those of drachtio-server keep their names. */
const VALUED: ReadonlySet<string> = new Set([
  ...['contact', 'external-ip', 'local-net', 'dns-name', 'address', 'port', 'tls-port', 'secret', 'metrics'],
  ...['tls-cert', 'tls-key', 'cert-file', 'chain-file', 'key-file', 'http-handler', 'http-method', 'on-app-lost'],
  ...['prometheus-scrape-port', 'user-agent-options-auto-respond', 'loglevel', 'sofia-loglevel', 'mtu'],
  ...['tcp-keepalive-interval', 'tls-version', 'min-tls-version', 'dh-param'],
]);
const FLAGS: ReadonlySet<string> = new Set(['noconfig', 'stdout', 'disable-nat-detection', 'aggressive-nat-detection']);
const SHORT: { readonly [letter: string]: string } = { c: 'contact', p: 'port' };

/** Accepted so that start scripts of drachtio-server go on working. */
const WITHOUT_EFFECT: { readonly [name: string]: string } = {
  'local-net': 'the way to a peer is chosen by its address',
  'dns-name': 'requests are taken whatever name they are sent to',
  loglevel: 'there is one level',
  'sofia-loglevel': 'there is no sofia in it',
  mtu: 'datagrams are as long as UDP allows',
  'tcp-keepalive-interval': 'the system decides',
  'tls-version': 'TLS 1.2 and later are served',
  'min-tls-version': 'TLS 1.2 and later are served',
  'dh-param': 'keys are agreed on by elliptic curves',
  noconfig: 'there is no configuration file',
  stdout: 'everything is said on standard output',
  'disable-nat-detection': 'a peer is answered where it is',
  'aggressive-nat-detection': 'a peer is answered where it is',
};

const bad = (what: string): TandemError =>
  new TandemError({ code: 'bad_arguments', message: `tandem engine: ${what}` });

interface Contact {
  readonly text: string;
  externalIp?: string;
}

/**
 * @param env of the process: DRACHTIO_SECRET stands for `--secret`, which other users of the machine could read
 * @throws TandemError `bad_arguments`
 */
export function readEngineCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): EngineCommand {
  const { contacts, options, remarks } = collect(argv);
  const one = (...names: string[]): string | undefined =>
    names.map((name) => options.get(name)).find((v) => v !== undefined);
  const secret = one('secret') ?? env['DRACHTIO_SECRET'];
  if (secret === undefined || secret === '')
    throw bad('--secret S (or DRACHTIO_SECRET) is missing: programs prove themselves by it');
  if (contacts.length === 0) throw bad('--contact sip:HOST:PORT[;transport=udp,tcp] is missing: where SIP is spoken');
  const address = one('address') ?? '127.0.0.1';
  const certificate = one('tls-cert', 'chain-file', 'cert-file');
  const key = one('tls-key', 'key-file');
  if ((certificate === undefined) !== (key === undefined)) throw bad('--tls-cert and --tls-key go together');
  const tls = certificate === undefined || key === undefined ? undefined : { certificate, key };
  const listen = contacts.flatMap(listenersOf);
  const tlsPort = one('tls-port');
  const wantsTls = tlsPort !== undefined || listen.some(({ transport }) => transport === 'tls' || transport === 'wss');
  if (wantsTls && tls === undefined) throw bad('TLS needs --tls-cert FILE and --tls-key FILE');
  const onAppLost = one('on-app-lost') ?? 'hangup';
  if (onAppLost !== 'hangup' && onAppLost !== 'keep') throw bad(`--on-app-lost ${onAppLost}: hangup or keep`);
  const metrics = one('metrics', 'prometheus-scrape-port');
  return {
    ...{ listen, secret, tls, onAppLost, remarks },
    control: { address, port: portOf('port', one('port') ?? String(DEFAULT_CONTROL_PORT)) },
    controlTls: tlsPort === undefined ? undefined : { address, port: portOf('tls-port', tlsPort) },
    metrics: metrics === undefined ? undefined : metricsPlace(metrics, address),
    requestHandlers: handlersOf(one('http-handler'), one('http-method')),
    optionsAnsweredTo: one('user-agent-options-auto-respond'),
  };
}

function collect(argv: readonly string[]) {
  const contacts: Contact[] = [];
  const options = new Map<string, string>();
  const remarks: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const written = argv[i] as string;
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(written) ?? /^-([a-z])$/.exec(written);
    const name = match === null ? undefined : (SHORT[match[1] as string] ?? match[1]);
    if (name === undefined || (!VALUED.has(name) && !FLAGS.has(name))) {
      throw bad(`${written} is not known (see tandem engine --help)`);
    }
    const value = FLAGS.has(name) ? '' : (match?.[2] ?? argv[++i]);
    if (value === undefined) throw bad(`${written} needs a value`);
    const why = WITHOUT_EFFECT[name];
    if (why !== undefined) remarks.push(`--${name} has no effect: ${why}`);
    else if (name === 'contact') for (const text of contactsIn(value)) contacts.push({ text });
    else if (name === 'external-ip') announce(contacts, value);
    else options.set(name, value);
  }
  return { contacts, options, remarks };
}

/** `sip:a,sip:b` as drachtio-server takes them; a comma between transports is none between contacts. */
const contactsIn = (value: string): string[] => value.split(/,(?=\s*sips?:)/i).map((text) => text.trim());

function announce(contacts: Contact[], value: string): void {
  const last = contacts.at(-1);
  if (last === undefined) throw bad(`--external-ip ${value} follows the --contact that it is for`);
  last.externalIp = value;
}

/** Scheme, host (`*` for any), port, parameters; a user part means nothing here. */
const CONTACT = /^(sips?):(?:[^@;]*@)?(\*|\[[0-9a-f:.]+\]|[^:;[\]@]+)(?::(\d{1,5}))?((?:;[^;]*)*)$/i;

/** `sip:HOST:PORT;transport=udp,tcp` (both, where none is named); HOST is numeric, or `*` for all of the machine's. */
function listenersOf({ text, externalIp }: Contact): ListenSpec[] {
  const match = CONTACT.exec(text);
  if (match === null) throw bad(`--contact ${text} is not sip:HOST:PORT[;transport=udp,tcp]`);
  const [, scheme = '', written = '', port, params = ''] = match;
  const host = written === '*' ? '0.0.0.0' : written.replace(/[[\]]/g, '');
  if (!/^[\d.]+$|:/.test(host)) throw bad(`--contact ${text}: ${host} is a name; write the address to listen on`);
  const named = /;transport=([^;]*)/i.exec(params)?.[1];
  const transports = (named ?? (scheme.toLowerCase() === 'sips' ? 'tls' : 'udp,tcp')).toLowerCase().split(',');
  const unknown = transports.find((transport) => !TRANSPORTS.has(transport));
  if (unknown !== undefined) throw bad(`--contact ${text}: transport ${unknown} is not one of udp, tcp, tls, ws, wss`);
  return transports.map((transport) => ({
    transport: transport as TransportName,
    address: host,
    port: port === undefined ? (transport === 'tls' || transport === 'wss' ? 5061 : 5060) : portOf('contact', port),
    advertise: externalIp === undefined ? undefined : { host: externalIp },
  }));
}

function portOf(option: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw bad(`--${option} ${text} is no port`);
  return port;
}

/** `HOST:PORT`, or `PORT` alone, or `HOST` alone. */
function metricsPlace(text: string, address: string): Place {
  if (/^\d+$/.test(text)) return { address, port: portOf('metrics', text) };
  const match = /^\[?([0-9a-f.:]+?)\]?:(\d+)$/i.exec(text);
  if (match === null) return { address: text, port: DEFAULT_METRICS_PORT };
  return { address: match[1] as string, port: portOf('metrics', match[2] as string) };
}

function handlersOf(url: string | undefined, method: string | undefined): RequestHandler[] {
  if (url === undefined) return [];
  if (placeOf(url) === undefined && !/^https?:\/\/./.test(url)) {
    throw bad(`--http-handler ${url} is none of http://, https://, tcp://HOST:PORT, tls://HOST:PORT`);
  }
  const httpMethod = (method ?? 'GET').toUpperCase();
  if (httpMethod !== 'GET' && httpMethod !== 'POST') throw bad(`--http-method ${httpMethod}: GET or POST`);
  return [{ method: '*', url, httpMethod }];
}
