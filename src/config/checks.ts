/** Rules that look at more than one key, or deeper into a value than a schema can. */
import { isIP } from 'node:net';
import { isWildcard, parseAdvertised, parseHostPort, parseListener } from './address.js';
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
  config.media.egress.forEach((text, index) => {
    if (isNetwork(text)) return;
    const message = `"${text}" is neither a network nor an address`;
    problems.push({
      path: `media.egress.${index}`,
      rule: 'network',
      message,
      remedy: 'write, for example, 10.1.0.0/16',
    });
  });
  if (config.media.engine === 'freeswitch') {
    const message = 'this build does not serve freeswitch yet';
    problems.push({ path: 'media.engine', rule: 'media_engine_served', message, remedy: 'use embedded' });
  }
  return problems;
};

/** Everything that is wrong with a configuration that has the right shape. */
export const checkConfig = (config: Config): ConfigProblem[] => [
  ...listeners(config),
  ...certificates(config),
  ...advertised(config),
  ...address('admin.listen', config.admin.listen),
  ...address('drachtio.listen', config.drachtio.listen),
  ...drachtioSecret(config),
  ...failover(config),
  ...media(config),
];
