/** Rules that look at more than one key, or deeper into a value than a schema can. */
import { isIP } from 'node:net';
import { isLoopbackHost, isWildcard, parseAdvertised, parseHostPort, parseListener } from './address.js';
import type { ConfigProblem } from './problems.js';
import type { Config } from './schema.js';

const certificates = (config: Config): ConfigProblem[] => {
  const secure = config.sip.listen.find((text) => /^(?:tls|wss):/i.test(text));
  if (secure === undefined || config.sip.tls.certificates.length > 0 || config.sip.engine !== 'embedded') return [];
  return [
    {
      path: 'sip.tls.certificates',
      rule: 'certificate_present',
      message: `"${secure}" needs a certificate`,
      remedy: 'name its files: [{certificate: FILE, key: FILE}]',
    },
  ];
};

const listeners = (config: Config): ConfigProblem[] =>
  config.sip.listen.flatMap((text, index) => {
    const path = `sip.listen.${index}`;
    const parsed = parseListener(text);
    if (!parsed.ok) return [{ path, ...parsed.error }];
    if (!isWildcard(parsed.value.host) || config.sip.advertise[text] !== undefined) return [];
    return [
      {
        path,
        rule: 'reachable_address',
        message: `"${text}" listens on every address, but peers need one to answer to`,
        remedy: `name it: sip.advertise: {"${text}": "203.0.113.5"}`,
      },
    ];
  });

const advertised = (config: Config): ConfigProblem[] =>
  Object.entries(config.sip.advertise).flatMap(([listen, host]) => {
    const path = `sip.advertise.${listen}`;
    if (!config.sip.listen.includes(listen)) {
      const remedy = `use one of ${config.sip.listen.join(', ')}`;
      return [{ path, rule: 'listener_exists', message: `"${listen}" is not an entry of sip.listen`, remedy }];
    }
    if (parseAdvertised(host) !== undefined) return [];
    return [{ path, rule: 'host', message: `"${host}" is not HOST or HOST:PORT`, remedy: 'write IPv6 in brackets' }];
  });

/** What is told to local peers is the address listened on: there must be one. */
const localNets = (config: Config): ConfigProblem[] => {
  const { localNets: nets, listen } = config.sip;
  const problems = nets.flatMap((text, index) => {
    if (isNetwork(text)) return [];
    const message = `"${text}" is no network`;
    return [{ path: `sip.localNets.${index}`, rule: 'network', message, remedy: 'write, for example, 10.0.0.0/8' }];
  });
  if (nets.length === 0) return problems;
  const open = listen.findIndex((text) => {
    const parsed = parseListener(text);
    return parsed.ok && isWildcard(parsed.value.host);
  });
  if (open < 0) return problems;
  const message = `"${listen[open]}" has no address of its own to tell the peers in sip.localNets`;
  const remedy = 'listen on the inner address itself, beside an entry for each other address';
  return [...problems, { path: `sip.listen.${open}`, rule: 'inner_address', message, remedy }];
};

const address = (path: string, text: string | undefined): ConfigProblem[] => {
  if (text === undefined || parseHostPort(text) !== undefined) return [];
  return [
    { path, rule: 'host_port', message: `"${text}" is not HOST:PORT`, remedy: 'write, for example, 127.0.0.1:8080' },
  ];
};

const drachtioSecret = (config: Config): ConfigProblem[] =>
  config.drachtio.listen === undefined || config.drachtio.secret !== undefined
    ? []
    : [
        {
          path: 'drachtio.secret',
          rule: 'required',
          message: 'drachtio.listen opens a port that can place calls, so it needs a secret',
          remedy: 'set drachtio.secret',
        },
      ];

const drachtioTls = ({ drachtio, sip }: Config): ConfigProblem[] => {
  if (drachtio.tlsListen === undefined) return [];
  const path = 'drachtio.tlsListen';
  const missing = drachtio.listen === undefined ? 'drachtio.listen' : 'sip.tls.certificates';
  if (drachtio.listen !== undefined && sip.tls.certificates.length > 0) return [];
  return [{ path, rule: 'required', message: `the control port over TLS needs ${missing}`, remedy: `set ${missing}` }];
};

const FAILOVER_KEY =
  /^(?:[3-6]\d\d|[3-6]xx|transport_error|unresolved_host|silence|timeout|ring_timeout|invalid_request)$/;

const failover = (config: Config): ConfigProblem[] =>
  Object.keys(config.calls.failover)
    .filter((key) => !FAILOVER_KEY.test(key))
    .map((key) => ({
      path: `calls.failover.${key}`,
      rule: 'failover_key',
      message: `"${key}" is neither a status, a class nor an event`,
      remedy: 'use 503, 5xx, transport_error, unresolved_host, silence or ring_timeout',
    }));

const isNetwork = (text: string): boolean => {
  const [address = '', length, more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || more !== undefined) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128));
};

const media = (config: Config): ConfigProblem[] => {
  const problems: ConfigProblem[] = [];
  const [first, last] = config.media.rtpPorts;
  if (last <= first) {
    const message = `[${first}, ${last}] is not a range`;
    problems.push({ path: 'media.rtpPorts', rule: 'port_range', message, remedy: 'write [FIRST, LAST], FIRST < LAST' });
  }
  for (const key of ['address', 'bindAddress'] as const) {
    const text = config.media[key];
    if (text === undefined || isIP(text) > 0) continue;
    const message = `"${text}" is not a numeric address`;
    problems.push({ path: `media.${key}`, rule: 'numeric_address', message, remedy: 'write, for example, 192.0.2.10' });
  }
  return problems;
};

/** Where connections, or calls, may go. @param everywhere whether `*` is an entry */
const egress = (path: string, texts: readonly string[], everywhere: boolean): ConfigProblem[] =>
  texts.flatMap((text, index) => {
    if ((everywhere && text === '*') || isNetwork(text)) return [];
    const message = `"${text}" is neither a network nor an address`;
    return [{ path: `${path}.${index}`, rule: 'network', message, remedy: 'write, for example, 10.1.0.0/16' }];
  });

/** Paths as FreeSWITCH takes them: it gives a meaning of its own to other characters. */
const PLAIN_PATH = /^[A-Za-z0-9._~+=,/-]+$/;

const freeswitch = (config: Config): ConfigProblem[] => {
  const { media } = config;
  if (media.engine !== 'freeswitch') return [];
  const problems: ConfigProblem[] = [];
  if (media.freeswitch.length === 0) {
    const message = 'media.engine is freeswitch, and no media server is named';
    const remedy = 'write, for example, freeswitch: [{address: 127.0.0.1, secret: ...}]';
    problems.push({ path: 'media.freeswitch', rule: 'media_server_named', message, remedy });
  }
  media.freeswitch.forEach(({ listenAddress }, index) => {
    if (listenAddress === undefined || isIP(listenAddress) > 0) return;
    const path = `media.freeswitch.${index}.listenAddress`;
    const message = `"${listenAddress}" is not a numeric address`;
    problems.push({ path, rule: 'numeric_address', message, remedy: 'write, for example, 192.0.2.10' });
  });
  for (const key of ['soundsPath', 'recordingsPath'] as const) {
    if (PLAIN_PATH.test(media[key])) continue;
    const message = `FreeSWITCH would read "${media[key]}" as something else than a path`;
    const remedy = 'use a folder whose path has letters, digits and . _ ~ + = , - / alone';
    problems.push({ path: `media.${key}`, rule: 'plain_path', message, remedy });
  }
  return problems;
};

/** Records hold numbers and prices: they leave the machine only within TLS, and signed. */
const records = (config: Config): ConfigProblem[] => {
  const problems: ConfigProblem[] = [];
  const { redis, webhook } = config.cdr;
  if (redis.stream !== undefined && redis.url === undefined && config.store.kind !== 'redis') {
    const message = 'the stream of records needs a Redis, and the store is none';
    problems.push({ path: 'cdr.redis.url', rule: 'required', message, remedy: 'set cdr.redis.url' });
  }
  if (webhook.url === undefined) return problems;
  const url = URL.canParse(webhook.url) ? new URL(webhook.url) : undefined;
  const remedy = 'write https://HOST/PATH';
  if (url === undefined) {
    const message = `"${webhook.url}" is not a URL`;
    problems.push({ path: 'cdr.webhook.url', rule: 'url', message, remedy });
  } else if (url.protocol !== 'https:' && !isLoopbackHost(url.hostname.replace(/^\[|\]$/g, ''))) {
    const message = `call records would cross the network in clear to ${url.hostname}`;
    problems.push({ path: 'cdr.webhook.url', rule: 'https', message, remedy });
  }
  if (webhook.secret === undefined) {
    const message = 'a webhook without a signature can be forged';
    problems.push({ path: 'cdr.webhook.secret', rule: 'required', message, remedy: 'set cdr.webhook.secret' });
  }
  return problems;
};

/** The shortest is no longer than the longest, and the usual lies between. */
const registrar = ({ registrar: times }: Config): ConfigProblem[] => {
  const { minExpiresSeconds: min, maxExpiresSeconds: max, defaultExpiresSeconds: usual } = times;
  if (min <= usual && usual <= max) return [];
  const message = `registrar times do not fit: at least ${min}, usually ${usual}, at most ${max} seconds`;
  const remedy = 'minExpiresSeconds <= defaultExpiresSeconds <= maxExpiresSeconds';
  return [{ path: 'registrar.defaultExpiresSeconds', rule: 'range', message, remedy }];
};

/** Where other nodes are heard: an address that is theirs to reach, and a Redis to know them by. */
const cluster = ({ sip, store }: Config): ConfigProblem[] => {
  const text = sip.cluster.listen;
  if (text === undefined) return [];
  const path = 'sip.cluster.listen';
  const parsed = parseListener(text);
  if (!parsed.ok) return [{ path, ...parsed.error }];
  const { transport, host, port } = parsed.value;
  const problem = (rule: string, message: string, remedy: string): ConfigProblem => ({ path, rule, message, remedy });
  if (transport !== 'tcp' && transport !== 'udp')
    return [problem('transport', `"${text}" is neither tcp:// nor udp://`, 'write tcp://HOST:PORT')];
  if (isWildcard(host) || port === 0)
    return [problem('reachable_address', `"${text}" is no address that nodes could call`, 'name one of this machine')];
  if (sip.listen.some((other) => other.toLowerCase() === text.toLowerCase()))
    return [problem('own_port', `"${text}" is an entry of sip.listen, too`, 'give it a port of its own')];
  if (sip.engine !== 'embedded')
    return [problem('engine', 'a drachtio-server keeps its connections to itself', 'set sip.engine: embedded')];
  if (store.kind === 'redis') return [];
  return [
    problem('store', 'nodes know one another by Redis, and the store is none', 'set store: {kind: redis, url: ...}'),
  ];
};

/** Everything that is wrong with a configuration that has the right shape. */
export const checkConfig = (config: Config): ConfigProblem[] => [
  ...listeners(config),
  ...certificates(config),
  ...advertised(config),
  ...localNets(config),
  ...address('admin.listen', config.admin.listen),
  ...address('drachtio.listen', config.drachtio.listen),
  ...address('drachtio.tlsListen', config.drachtio.tlsListen),
  ...drachtioTls(config),
  ...drachtioSecret(config),
  ...failover(config),
  ...media(config),
  ...egress('media.egress', config.media.egress, false),
  ...egress('calls.egress', config.calls.egress ?? [], true),
  ...records(config),
  ...freeswitch(config),
  ...registrar(config),
  ...cluster(config),
];
