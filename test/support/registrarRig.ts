/** A registrar on a manual clock, with a store that the test chooses; REGISTERs come as texts. */
import { TableBuilder } from '../../src/call/routing/compile.js';
import { flatten, validateDocument } from '../../src/call/routing/schema.js';
import { Registrar, type RegistrarSettings } from '../../src/call/session/registrar/registrar.js';
import { RegistrationKeeper } from '../../src/call/registration/keeper.js';
import type { RegistrationStore } from '../../src/call/registration/store.js';
import type { RoutingTable } from '../../src/call/routing/table.js';
import type { CallEvent } from '../../src/call/session/events.js';
import { EventChannel, ManualClock } from '../../src/kernel/index.js';
import type { OutOfDialogRequest, ResponseSpec, SignalSource } from '../../src/signal/index.js';
import { MemoryRegistrationStore } from '../../src/store/index.js';
import { FakeMessage } from './fakeSignal.js';

export const ALICE = { userName: 'alice', trunks: ['trk_a'] } as const;
export const HERE: SignalSource = { transport: 'udp', address: '192.0.2.7', port: 40_000 };

export const DOCUMENT = {
  accounts: [{ sid: 'acme' }],
  trunks: ['a', 'b'].map((name) => ({
    trunk_sid: `trk_${name}`,
    account_sid: 'acme',
    trunk_name: name,
    domain_name: `${name}.example`,
    credentials: [{ user_name: 'alice', password: 'secret' }],
    destination_uris: [{ destination: 'registered:alice' }],
  })),
};

/** As a store delivers it. @throws with what is wrong with the document */
export const tableOf = (document: object): Promise<RoutingTable> => {
  const valid = validateDocument(structuredClone(document));
  if (!valid.ok) throw new Error(JSON.stringify(valid.error));
  return new TableBuilder().compile({ kind: 'full', revision: 'r1', batches: [flatten(valid.value)] });
};

const SETTINGS: RegistrarSettings = {
  minExpiresS: 60,
  maxExpiresS: 3600,
  defaultExpiresS: 1800,
  maxContacts: 3,
  maxBindings: 5,
};

let starts = 0;

export interface RegisterText {
  readonly contacts?: readonly string[];
  readonly expires?: number;
  readonly callId?: string;
  readonly cseq?: number;
  readonly to?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly source?: SignalSource;
  /** Undefined: the engine keeps its connections to itself. */
  readonly flow?: string;
  /** What the engine says for other nodes; undefined: there are none. */
  readonly nodeRoute?: string;
}

export interface Answer {
  readonly status: number;
  readonly reason: string | undefined;
  /** Values of a field, in order. */
  all(name: string): string[];
}

export class RegistrarRig {
  readonly clock: ManualClock;
  readonly events: CallEvent[] = [];
  readonly keeper: RegistrationKeeper;
  readonly registrar: Registrar;
  readonly storeNews: string[] = [];
  #cseq = 0;

  private constructor(table: RoutingTable, store: RegistrationStore, options: { clock: ManualClock; nodeId: string }) {
    const { clock, nodeId } = options;
    this.clock = clock;
    const events = new EventChannel<CallEvent>((error) => {
      throw error;
    });
    events.subscribe((event) => this.events.push(event));
    this.keeper = new RegistrationKeeper({
      store,
      clock,
      nodeId,
      start: `s${++starts}`,
      onExpired: (registration, binding) => this.registrar.expired(registration, binding),
      onStore: (up) => this.storeNews.push(up ? 'up' : 'down'),
    });
    this.registrar = new Registrar({
      keeper: this.keeper,
      clock,
      settings: SETTINGS,
      table: () => table,
      events,
      domains: new Set(['sip.example']),
    });
  }

  static async make(
    store: RegistrationStore = new MemoryRegistrationStore(),
    { clock = new ManualClock(), nodeId = 'n1', document = DOCUMENT as object } = {},
  ): Promise<RegistrarRig> {
    const rig = new RegistrarRig(await tableOf(document), store, { clock, nodeId });
    await rig.keeper.start();
    return rig;
  }

  /** What has happened to contacts, as `act contact`. */
  get acts(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'registration' ? [`${event.act} ${event.reasonCode ?? event.contact ?? ''}`] : [],
    );
  }

  register(text: RegisterText = {}, proved: { userName: string; trunks: readonly string[] } = ALICE): Promise<Answer> {
    const { contacts = [], expires, callId = 'call-1', cseq = ++this.#cseq, headers = [], source = HERE } = text;
    const { to = '<sip:alice@192.0.2.1>', flow, nodeRoute } = text;
    return new Promise((resolve) => {
      const message = new FakeMessage({
        method: 'REGISTER',
        uri: 'sip:192.0.2.1',
        callId,
        headers: [
          ['Via', 'SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK1;rport=40000;received=192.0.2.7'],
          ['To', to],
          ['CSeq', `${cseq} REGISTER`],
          ...contacts.map((contact) => ['Contact', contact] as const),
          ...(expires === undefined ? [] : [['Expires', String(expires)] as const]),
          ...headers,
        ],
      });
      const request: OutOfDialogRequest = {
        message,
        source,
        ...(flow === undefined ? {} : { keepFlow: () => flow }),
        ...(nodeRoute === undefined ? {} : { nodeRoute: () => nodeRoute }),
        respond: (status: number, spec: ResponseSpec = {}) => {
          const fields = spec.headers ?? [];
          const all = (name: string): string[] => fields.flatMap(([field, value]) => (field === name ? [value] : []));
          resolve({ status, reason: spec.reason, all });
        },
      };
      this.registrar.receive(request, proved);
    });
  }

  async close(): Promise<void> {
    await this.keeper.close();
  }
}
