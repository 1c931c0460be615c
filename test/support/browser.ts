/** A real browser (Debian's chromium) whose page is a softphone made of sip.js. */
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, extname, join, normalize, sep } from 'node:path';
import { type Browser, type Page, chromium } from 'playwright-core';
import { programPath } from './endpoints.js';

const SIP_JS = dirname(createRequire(import.meta.url).resolve('sip.js'));
const TYPES: { readonly [extension: string]: string } = { '.js': 'text/javascript', '.html': 'text/html' };

/** Runs in the page: sip.js, and what tests ask of it. */
const SOFTPHONE = `<!doctype html><meta charset="utf-8"><title>softphone</title><script type="module">
import { Inviter, Registerer, RegistererState, SessionState, UserAgent, Web } from '/sip.js/index.js';

const stateOf = (session) => new Promise((resolve) => {
  session.stateChange.addListener((state) => {
    phone.states.push(state);
    if (state === SessionState.Established || state === SessionState.Terminated) resolve(state);
  });
});
const media = { constraints: { audio: true, video: false } };

globalThis.phone = {
  states: [],
  heard: [],
  async connect({ server, uri, user, password }) {
    phone.agent = new UserAgent({
      uri: UserAgent.makeURI(uri),
      authorizationUsername: user,
      authorizationPassword: password,
      transportOptions: { server, connectionTimeout: 5 },
      logLevel: 'error',
      sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: 300 },
      delegate: {
        onInvite: (invitation) => {
          phone.invitation = invitation;
          phone.caller = invitation.remoteIdentity.uri.toString();
          phone.ended = stateOf(invitation);
          phone.onCall?.();
        },
      },
    });
    await phone.agent.start();
  },
  /** The status of the answer to REGISTER. */
  async register(expires = 300) {
    const registerer = phone.registerer ?? new Registerer(phone.agent, { expires });
    phone.registerer = registerer;
    return new Promise((resolve, reject) => {
      const requestDelegate = {
        onAccept: (response) => resolve(response.message.statusCode),
        onReject: (response) => resolve(response.message.statusCode),
      };
      registerer.register({ requestDelegate }).catch(reject);
    });
  },
  async unregister() {
    return new Promise((resolve, reject) => {
      const requestDelegate = { onAccept: (response) => resolve(response.message.statusCode) };
      phone.registerer.unregister({ requestDelegate }).catch(reject);
    });
  },
  /** Calls, and waits for the answer or the end. */
  async call(uri) {
    const session = new Inviter(phone.agent, UserAgent.makeURI(uri), { sessionDescriptionHandlerOptions: media });
    phone.session = session;
    const settled = stateOf(session);
    session.delegate = phone.delegate();
    let status = 0;
    await session.invite({
      requestDelegate: {
        onAccept: (response) => (status = response.message.statusCode),
        onReject: (response) => (status = response.message.statusCode),
      },
    });
    const state = await settled;
    // The library tells of the answer after it has changed the state.
    for (let i = 0; i < 50 && status === 0; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    return { state, status, callId: session.request.callId };
  },
  /** Waits for a call and takes it. */
  async answer() {
    if (phone.invitation === undefined) await new Promise((resolve) => (phone.onCall = resolve));
    const session = phone.invitation;
    phone.session = session;
    session.delegate = phone.delegate();
    await session.accept({ sessionDescriptionHandlerOptions: media });
    return { state: await phone.ended, caller: phone.caller };
  },
  delegate: () => ({
    onInfo: (info) => {
      phone.heard.push(info.request.body);
      void info.accept();
    },
    onMessage: (message) => {
      phone.heard.push(message.request.body);
      void message.accept();
    },
  }),
  async press(digit) {
    const body = { contentDisposition: 'render', contentType: 'application/dtmf-relay', content: 'Signal=' + digit + '\\r\\nDuration=160\\r\\n' };
    return new Promise((resolve, reject) => {
      const requestDelegate = {
        onAccept: (response) => resolve(response.message.statusCode),
        onReject: (response) => resolve(response.message.statusCode),
      };
      phone.session.info({ requestOptions: { body }, requestDelegate }).catch(reject);
    });
  },
  async hangUp() {
    await phone.session.bye();
  },
  get state() {
    return phone.session?.state ?? 'none';
  },
  /** Packets of audio that came, once there are any; 0 after a while without. */
  async audio() {
    const peer = phone.session.sessionDescriptionHandler.peerConnection;
    for (let i = 0; i < 50; i++) {
      for (const report of (await peer.getStats()).values())
        if (report.type === 'inbound-rtp' && report.packetsReceived > 10) return report.packetsReceived;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return 0;
  },
  async disconnect() {
    await phone.agent?.stop();
  },
};
document.title = 'ready';
</script>`;

/** What a page answered to `call`. */
export interface CallOutcome {
  readonly state: 'Established' | 'Terminated';
  readonly status: number;
  readonly callId: string;
}

const servePages = async (address: string): Promise<Server> => {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://page').pathname);
    const inside = path.startsWith(`${sep}sip.js${sep}`);
    const found = inside ? readFile(join(SIP_JS, path.slice('/sip.js/'.length))) : Promise.resolve(SOFTPHONE);
    found.then(
      (content) => {
        response.setHeader('content-type', TYPES[inside ? extname(path) : '.html'] ?? 'application/octet-stream');
        response.end(content);
      },
      () => response.writeHead(404).end(),
    );
  });
  server.listen(0, address);
  await once(server, 'listening');
  return server;
};

/** Pages of one browser, served from a web server of the test. */
export class Softphones {
  readonly #browser: Browser;
  readonly #servers: Server[];

  private constructor(browser: Browser, servers: Server[]) {
    this.#browser = browser;
    this.#servers = servers;
  }

  /** @param addresses of the web servers: each is an origin of its own */
  static async start(addresses: readonly string[]): Promise<Softphones> {
    const servers = await Promise.all(addresses.map((address) => servePages(address)));
    const browser = await chromium.launch({
      executablePath: programPath('chromium', 'chromium'),
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--use-fake-device-for-media-stream',
        '--use-fake-ui-for-media-stream',
        '--ignore-certificate-errors',
        // Candidates with the machine's own addresses, loopback included: nothing else is there on some machines.
        '--disable-features=WebRtcHideLocalIpsWithMdns',
        '--allow-loopback-in-peer-connection',
      ],
    });
    return new Softphones(browser, servers);
  }

  /** `http://ADDRESS:PORT` of the n-th web server. */
  origin(index: number): string {
    const at = this.#servers[index]?.address();
    if (at === null || at === undefined || typeof at === 'string') throw new Error('no such web server');
    return `http://${at.address}:${at.port}`;
  }

  async open(index = 0): Promise<Page> {
    const context = await this.#browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(`${this.origin(index)}/`);
    await page.waitForFunction(() => 'phone' in globalThis);
    return page;
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}
