/** The command line of `tandem engine`, in our words and in those of drachtio-server. */
import t from 'tap';
import { readEngineCommand } from '../../src/cli/engineOptions.js';

const read = (line: string, env: Record<string, string> = {}) =>
  readEngineCommand(
    line.split(' ').filter((word) => word !== ''),
    env,
  );
const listeners = (line: string): string[] =>
  read(`${line} --secret s`).listen.map(
    ({ transport, address, port, advertise }) =>
      `${transport} ${address} ${port}${advertise ? ` as ${advertise.host}` : ''}`,
  );

t.test('contacts', async (t) => {
  t.strictSame(listeners('--contact sip:127.0.36.1:5070'), ['udp 127.0.36.1 5070', 'tcp 127.0.36.1 5070']);
  t.strictSame(listeners('-c sip:127.0.36.1;transport=UDP'), ['udp 127.0.36.1 5060']);
  t.strictSame(listeners('-c sip:x@127.0.36.1:0;transport=udp,tcp,ws'), [
    ...['udp 127.0.36.1 0', 'tcp 127.0.36.1 0', 'ws 127.0.36.1 0'],
  ]);
  t.strictSame(listeners('-c sip:[::1]:5070;transport=tcp'), ['tcp ::1 5070']);
  t.strictSame(listeners('-c sip:*;transport=udp'), ['udp 0.0.0.0 5060']);
  const pem = '--tls-cert c --tls-key k';
  t.strictSame(listeners(`-c sips:127.0.36.1 ${pem}`), ['tls 127.0.36.1 5061']);
  t.strictSame(
    listeners('-c sip:10.0.0.1;transport=udp --external-ip 203.0.113.7 -c sip:10.0.0.2;transport=udp'),
    ['udp 10.0.0.1 5060 as 203.0.113.7', 'udp 10.0.0.2 5060'],
    'what is announced belongs to the contact before it',
  );
  t.strictSame(
    listeners('--contact=sip:10.0.0.1;transport=udp,tcp,sip:10.0.0.2;transport=udp'),
    ['udp 10.0.0.1 5060', 'tcp 10.0.0.1 5060', 'udp 10.0.0.2 5060'],
    'several in one, as drachtio-server takes them',
  );
});

t.test('ports, secrets, handlers, statistics', async (t) => {
  const base = '-c sip:127.0.36.1';
  t.match(read(`${base} --secret s`), {
    ...{ secret: 's', control: { address: '127.0.0.1', port: 9022 }, controlTls: undefined, metrics: undefined },
    ...{ requestHandlers: [], onAppLost: 'hangup', remarks: [] },
  });
  t.equal(read(base, { DRACHTIO_SECRET: 'env' }).secret, 'env');
  t.equal(read(`${base} --secret line`, { DRACHTIO_SECRET: 'env' }).secret, 'line');
  const full = `${base} --secret s --address 127.0.36.2 -p 9000 --tls-port 9001 --chain-file c --key-file k`;
  t.match(read(`${full} --on-app-lost keep --prometheus-scrape-port 9100`), {
    control: { address: '127.0.36.2', port: 9000 },
    controlTls: { address: '127.0.36.2', port: 9001 },
    metrics: { address: '127.0.36.2', port: 9100 },
    tls: { certificate: 'c', key: 'k' },
    onAppLost: 'keep',
  });
  t.match(read(`${base} --secret s --metrics 127.0.36.3:9101`).metrics, { address: '127.0.36.3', port: 9101 });
  t.match(read(`${base} --secret s --metrics 127.0.36.3`).metrics, { address: '127.0.36.3', port: 9090 });
  t.strictSame(read(`${base} --secret s --http-handler http://h/x --http-method post`).requestHandlers, [
    { method: '*', url: 'http://h/x', httpMethod: 'POST' },
  ]);
  const remarks = read(`${base} --secret s --mtu 4096 --noconfig --loglevel=debug --dns-name a.example`).remarks;
  t.equal(remarks.length, 4);
  t.ok(remarks.every((remark) => remark.includes('has no effect')));
});

t.test('what is wrong is said', async (t) => {
  const contact = '--contact sip:127.0.36.1:0';
  const cases: [string, RegExp][] = [
    [contact, /--secret S .* is missing/],
    ['--secret x', /--contact .* is missing/],
    ['--contact http://x --secret x', /http:\/\/x is not sip:HOST:PORT/],
    ['--contact sip:pbx.example:5060 --secret x', /pbx\.example is a name/],
    ['--contact sip:127.0.36.1:0;transport=sctp --secret x', /transport sctp/],
    ['--contact sip:127.0.36.1:70000 --secret x', /--contact 70000 is no port/],
    ['--contact sips:127.0.36.1 --secret x', /TLS needs --tls-cert/],
    [`${contact} --secret x --tls-port 1`, /TLS needs --tls-cert/],
    [`${contact} --secret x --tls-cert c`, /go together/],
    [`${contact} --secret x --port 99999`, /--port 99999 is no port/],
    [`${contact} --secret x --no-such-thing`, /--no-such-thing is not known/],
    [`${contact} --secret x extra`, /extra is not known/],
    [`${contact} --secret`, /--secret needs a value/],
    [`${contact} --secret x --http-handler ftp://x`, /--http-handler ftp:\/\/x/],
    [`${contact} --secret x --http-handler http://x --http-method PUT`, /GET or POST/],
    [`${contact} --secret x --on-app-lost panic`, /hangup or keep/],
    [`--external-ip 1.2.3.4 ${contact} --secret x`, /follows the --contact/],
  ];
  for (const [line, message] of cases) {
    t.throws(() => read(line), { code: 'bad_arguments', message }, line);
  }
});
