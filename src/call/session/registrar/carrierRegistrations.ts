/** Our registrations at all carriers that want one, as the routing table of now has them. */
import { type Clock, type Random, bracketHost } from '../../../kernel/index.js';
import type { SignalPort } from '../../../signal/port.js';
import type { Carrier } from '../../routing/resources.js';
import { parseEndpoint } from '../../routing/endpoint.js';
import type { RoutingTable } from '../../routing/table.js';
import {
  CarrierRegistration,
  type CarrierRegistrationPlan,
  type CarrierRegistrationView,
} from './carrierRegistration.js';

export interface CarrierRegistrationsOptions {
  readonly signal: () => Pick<SignalPort, 'ask'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly onChange: (view: CarrierRegistrationView) => void;
}

const DEFAULT_EXPIRES_S = 3600;

export class CarrierRegistrations {
  readonly #options: CarrierRegistrationsOptions;
  readonly #live = new Map<string, CarrierRegistration>();
  /** Of carriers that are gone, or have changed. */
  readonly #leaving = new Set<CarrierRegistration>();
  #closing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: CarrierRegistrationsOptions) {
    this.#options = options;
  }

  /** Registers where the table says so, and nowhere else. Those that are as they were go on. */
  follow(table: RoutingTable): void {
    if (this.#closing) return;
    const wanted = new Map<string, CarrierRegistrationPlan>();
    for (const { carrier } of table.carriers()) {
      const plan = planOf(carrier);
      if (plan !== undefined) wanted.set(carrier.id, plan);
    }
    for (const [id, registration] of this.#live) {
      if (same(registration.plan, wanted.get(id))) wanted.delete(id);
      else this.#end(id, registration);
    }
    for (const [id, plan] of wanted) {
      const registration: CarrierRegistration = new CarrierRegistration(plan, {
        clock: this.#options.clock,
        random: this.#options.random,
        ask: (spec, done) => this.#options.signal().ask(spec, done),
        onChange: (view) => this.#changed(registration, view),
      });
      this.#live.set(id, registration);
      registration.start();
    }
  }

  /** Gives all of them back. @returns when the carriers know, or had time enough */
  async leave(): Promise<void> {
    this.#closing = true;
    for (const [id, registration] of this.#live) this.#end(id, registration);
    if (this.#leaving.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  /** Ends without a word. */
  close(): void {
    this.#closing = true;
    for (const registration of [...this.#live.values(), ...this.#leaving]) registration.abandon();
    this.#live.clear();
    this.#leaving.clear();
    this.#onEmpty?.();
  }

  list(): CarrierRegistrationView[] {
    return [...this.#live.values(), ...this.#leaving].map((registration) => registration.view());
  }

  /** Undefined: the carrier wants none. */
  of(carrierId: string): CarrierRegistrationView | undefined {
    return this.#live.get(carrierId)?.view();
  }

  /** How many are in which state. */
  counts(): [state: string, count: number][] {
    const counts = new Map<string, number>();
    for (const { state } of this.#live.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
    return [...counts];
  }

  #end(id: string, registration: CarrierRegistration): void {
    this.#live.delete(id);
    this.#leaving.add(registration);
    registration.stop();
  }

  #changed(registration: CarrierRegistration, view: CarrierRegistrationView): void {
    this.#options.onChange(view);
    if (view.state !== 'gone') return;
    this.#leaving.delete(registration);
    if (this.#leaving.size === 0) this.#onEmpty?.();
  }
}

function planOf({ id, register, credentials }: Carrier): CarrierRegistrationPlan | undefined {
  if (register === undefined) return undefined;
  const endpoint = parseEndpoint(register.registrar);
  const user = register.user ?? credentials?.user_name;
  if (!endpoint.ok || user === undefined) return undefined;
  const { host, text } = endpoint.value;
  return {
    carrierId: id,
    registrar: text,
    domain: register.domain ?? bracketHost(host),
    user,
    contactUser: register.contact_user ?? user,
    expiresS: register.expires_seconds ?? DEFAULT_EXPIRES_S,
    credentials:
      credentials === undefined
        ? undefined
        : { userName: credentials.user_name, password: credentials.password, realm: credentials.realm },
  };
}

const same = (a: CarrierRegistrationPlan, b: CarrierRegistrationPlan | undefined): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
