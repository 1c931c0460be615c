import closeWithGrace from 'close-with-grace';
import { type AskHttp, DrachtioServer } from '../drachtio/index.js';
import { SystemClock, SystemRandom } from '../kernel/index.js';
import { HttpClient, NodeNetwork, SystemResolver, TlsIdentity, interfaceAddresses, serveText } from '../net/index.js';
import { type EngineHandler, type ListenSpec, type SipEngine, createEngine } from '../sip/index.js';
import { suitRuntime } from './runtime.js';
import { type EngineCommand, readEngineCommand } from './engineOptions.js';
import { VERSION } from './version.js';

const USAGE = `tandem engine: a SIP server for drachtio-srf programs, in place of drachtio-server

  tandem engine --contact sip:HOST:PORT[;transport=udp,tcp,tls,ws,wss] --secret S

  -c, --contact URI          where SIP is spoken; HOST is numeric, or * for every address; may be repeated
      --external-ip IP       what peers are told instead of the contact before it
      --secret S             what programs prove themselves by (or in the environment: DRACHTIO_SECRET)
  -p, --port N               control port for programs (9022)
      --address IP           where the control port is opened (127.0.0.1)
      --tls-port N           the control port over TLS
      --tls-cert, --tls-key FILE
                             PEM files for both TLS ports (drachtio-server: --chain-file or --cert-file, --key-file)
      --metrics [IP:]PORT    statistics for Prometheus, at /metrics (drachtio-server: --prometheus-scrape-port)
      --http-handler URL     asks there (http, https) which program gets a request, or connects to it (tcp://HOST:PORT,
                             tls://HOST:PORT)
      --http-method GET|POST how to ask
      --on-app-lost hangup|keep
                             what becomes of the calls of a program whose connection is lost (hangup)
      --user-agent-options-auto-respond UA
                             answers OPTIONS of this User-Agent by itself

Other options of drachtio-server that have no effect here are accepted with a remark. See docs/drachtio.md.
`;

/** How long the last messages may take when it ends. */
const STOP_MS = 2_000;
const STOP_LOOK_MS = 20;
const HTTP_ANSWER_MS = 10_000;
const HTTP_ANSWER_BYTES = 65_536;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const warn = (line: string): void => void process.stderr.write(`tandem engine: ${line}\n`);

/** Where requests of our own to web servers go: the operator has named them. */
const webAsker = (client: HttpClient): AskHttp => {
  return ({ url, httpMethod, body }, answered) => {
    const headers = httpMethod === 'POST' ? [['Content-Type', 'text/plain'] as const] : [];
    client.fetch(
      {
        ...{ url, headers, method: httpMethod, query: [], whole: true },
        ...{ timeoutMs: HTTP_ANSWER_MS, maxBytes: HTTP_ANSWER_BYTES },
        body: httpMethod === 'POST' ? body : undefined,
      },
      (answer) => {
        if (!answer.ok) warn(`${url.split('?')[0]}: ${answer.reason}`);
        answered(answer.ok && answer.status === 200 ? readJson(answer.body) : undefined);
      },
    );
  };
};

const readJson = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
};

/** `0.0.0.0` cannot stand in a Contact: every address of the machine gets a listener of its own. */
const everyAddress = (specs: readonly ListenSpec[]): ListenSpec[] =>
  specs.flatMap((spec) =>
    spec.address === '0.0.0.0' && spec.advertise === undefined
      ? interfaceAddresses(4).map((address) => ({ ...spec, address }))
      : [spec],
  );

/** OPTIONS that a load balancer sends all the time need no program. */
const withAutoAnswer = (handler: EngineHandler, userAgent: string | undefined): EngineHandler =>
  userAgent === undefined
    ? handler
    : {
        ...handler,
        onRequest: (incoming) => {
          const { request } = incoming;
          const known = request.method === 'OPTIONS' && request.header('User-Agent') === userAgent;
          if (known && incoming.dialog === undefined) incoming.respond(200);
          else handler.onRequest(incoming);
        },
      };

/** One server with the engine below it. */
class StandaloneEngine {
  readonly #command: EngineCommand;
  readonly #clock = new SystemClock((error) => warn(String(error)));
  readonly #tls: TlsIdentity | undefined;
  readonly #http: HttpClient;
  readonly #server: DrachtioServer;
  readonly #network: NodeNetwork;
  readonly #random = new SystemRandom();
  readonly #resolver: SystemResolver;
  #engine: SipEngine | undefined;
  #closeMetrics: (() => void) | undefined;

  constructor(command: EngineCommand) {
    this.#command = command;
    const clock = this.#clock;
    const { tls, secret, control, controlTls, requestHandlers, onAppLost } = command;
    this.#tls =
      tls === undefined
        ? undefined
        : new TlsIdentity({ certificates: [tls] }, clock, (problem) => warn(problem.message));
    this.#network = new NodeNetwork({ clock, tls: this.#tls });
    this.#resolver = new SystemResolver({ clock });
    this.#http = new HttpClient({ clock, mayConnect: () => true, userAgent: `tandem/${VERSION}` });
    this.#server = new DrachtioServer({
      ...{ network: this.#network, clock, random: this.#random, resolver: this.#resolver, secret, onAppLost },
      ...{ requestHandlers, listen: control, listenTls: controlTls, ask: webAsker(this.#http) },
      onError: (error) => warn(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    });
  }

  /** @throws TandemError when an address cannot be bound; nothing stays open then */
  async start(): Promise<void> {
    const { listen, secret, optionsAnsweredTo, metrics } = this.#command;
    try {
      this.#engine = await createEngine({
        ...{ network: this.#network, clock: this.#clock, random: this.#random, resolver: this.#resolver },
        listen: everyAddress(listen),
        handler: withAutoAnswer(this.#server.handler, optionsAnsweredTo),
        // Which extensions are understood is the programs' business.
        supported: ['*'],
        routeKey: `routes ${secret}`,
        onEvent: (event) => {
          if (event.type === 'user_error') warn(String(event.error));
        },
      });
      this.#server.attach(this.#engine);
      const control = await this.#server.listen();
      say(`tandem engine ${VERSION}: SIP on ${this.#engine.listening.join(' ')}`);
      const secure = this.#server.tlsAddress;
      const tls = secure === undefined ? '' : `, over TLS at ${secure.address}:${secure.port}`;
      say(`programs connect to ${control.address}:${control.port}${tls}`);
      if (metrics !== undefined) await this.#serveMetrics(metrics);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #serveMetrics(place: { readonly address: string; readonly port: number }): Promise<void> {
    const page = { contentType: 'text/plain; version=0.0.4', render: () => this.#server.metrics() };
    const { local, close } = await serveText(place, '/metrics', page);
    this.#closeMetrics = close;
    say(`statistics at http://${local.address}:${local.port}/metrics`);
  }

  /** Ends the calls of all programs, waits a little for what they still have to say, and closes everything. */
  async stop(): Promise<void> {
    this.#closeMetrics?.();
    this.#http.close();
    this.#server.stop();
    const until = this.#clock.nowMs() + STOP_MS;
    // BYEs await their answers.
    while (Number(this.#server.dump()['releasing']) > 0 && this.#clock.nowMs() < until) await this.#pause(STOP_LOOK_MS);
    this.#engine?.stop();
    this.#tls?.close();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.setTimer('engine_stop', ms, resolve));
  }
}

/**
 * `tandem engine`: serves until SIGTERM or SIGINT.
 * @throws TandemError `bad_arguments`, or why an address cannot be bound
 */
export const engine = async (
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> => {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const command = readEngineCommand(argv, env);
  for (const remark of command.remarks) warn(remark);
  suitRuntime();
  const standalone = new StandaloneEngine(command);
  await standalone.start();
  closeWithGrace({ delay: STOP_MS * 2, logger: false }, async ({ err }) => {
    if (err !== undefined) warn(err.stack ?? err.message);
    await standalone.stop();
    say('tandem engine has stopped');
  });
  return new Promise(() => {});
};
