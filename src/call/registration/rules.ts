/** What a REGISTER does to the contacts of its user: RFC 3261 §10.3, steps 6 to 8, as a table. Pure. */
import type { Binding } from './binding.js';

/** One Contact of a REGISTER. */
export interface ContactWish {
  readonly key: string;
  readonly contact: string;
  readonly q: number;
  /** As asked for; undefined: the registrar's choice. */
  readonly expiresS: number | undefined;
  readonly instance?: string;
  readonly regId?: number;
}

export interface RegisterWish {
  /** None: the caller only asks what there is. `all`: `*` with an expiry of 0. */
  readonly contacts: readonly ContactWish[] | 'all';
  readonly callId: string;
  readonly cseq: number;
}

export interface RegistrarLimits {
  readonly minExpiresS: number;
  readonly maxExpiresS: number;
  readonly defaultExpiresS: number;
  /** Contacts of one user at a time. */
  readonly maxContacts: number;
}

/** How a REGISTER stands to a binding that it names. */
export type Standing = 'none' | 'other_call' | 'newer' | 'older';
export type BindingAct = 'insert' | 'replace' | 'remove' | 'ignore' | 'refuse';

/**
 * RFC 3261 §10.3, step 7: another Call-ID is another life of the user agent and counts; of one Call-ID only what comes
 * later does, and what does not spoils the whole request.
 */
export const REGISTER_TABLE: {
  readonly [standing in Standing]: { readonly [wish in 'add' | 'remove']: BindingAct };
} = {
  none: { add: 'insert', remove: 'ignore' },
  other_call: { add: 'replace', remove: 'remove' },
  newer: { add: 'replace', remove: 'remove' },
  older: { add: 'refuse', remove: 'refuse' },
};

export type RegisterRefusal = 'registration_out_of_order' | 'registration_too_brief' | 'registration_contacts_full';

export interface BindingChange {
  readonly act: Extract<BindingAct, 'insert' | 'replace' | 'remove'>;
  readonly binding: Binding;
}

export type RegisterOutcome =
  | { readonly ok: true; readonly bindings: readonly Binding[]; readonly changes: readonly BindingChange[] }
  | { readonly ok: false; readonly refusal: RegisterRefusal };

/** What a new or refreshed binding has besides the wish for it. */
export type BindingFacts = Pick<Binding, 'source' | 'owner'> &
  Partial<Pick<Binding, 'path' | 'flow' | 'nodeRoute' | 'nextHop' | 'userAgent'>>;

export const standingOf = (binding: Binding | undefined, { callId, cseq }: RegisterWish): Standing => {
  if (binding === undefined) return 'none';
  if (binding.callId !== callId) return 'other_call';
  return cseq > binding.cseq ? 'newer' : 'older';
};

/** RFC 3261 §10.3 step 6: shorter than it was asked for if need be, and never longer. */
export const grantedS = (askedS: number | undefined, { maxExpiresS, defaultExpiresS }: RegistrarLimits): number =>
  Math.min(askedS ?? defaultExpiresS, maxExpiresS);

/** An hour: shorter registrations may be too brief, longer ones never (RFC 3261 §10.3 step 7). */
const HOUR_S = 3600;

const tooBrief = (askedS: number | undefined, { minExpiresS }: RegistrarLimits): boolean =>
  askedS !== undefined && askedS > 0 && askedS < HOUR_S && askedS < minExpiresS;

/** Those that have not run out. */
export const living = (bindings: readonly Binding[], wallMs: number): readonly Binding[] =>
  bindings.some(({ expiresMs }) => expiresMs <= wallMs)
    ? bindings.filter(({ expiresMs }) => expiresMs > wallMs)
    : bindings;

/**
 * All of the request's contacts, or none.
 * @param before as stored; those that have run out are dropped
 */
export const applyRegister = (
  before: readonly Binding[],
  wish: RegisterWish,
  limits: RegistrarLimits,
  at: { readonly wallMs: number; readonly facts: BindingFacts },
): RegisterOutcome => {
  const { wallMs, facts } = at;
  const bindings = new Map(living(before, wallMs).map((binding) => [binding.key, binding]));
  const changes: BindingChange[] = [];
  const contacts = wish.contacts === 'all' ? [...bindings.values()].map(removal) : wish.contacts;
  for (const contact of contacts) {
    if (tooBrief(contact.expiresS, limits)) return { ok: false, refusal: 'registration_too_brief' };
    const known = bindings.get(contact.key);
    const seconds = grantedS(contact.expiresS, limits);
    const act = REGISTER_TABLE[standingOf(known, wish)][seconds === 0 ? 'remove' : 'add'];
    if (act === 'refuse') return { ok: false, refusal: 'registration_out_of_order' };
    if (act === 'ignore') continue;
    if (act === 'remove') {
      bindings.delete(contact.key);
      if (known !== undefined) changes.push({ act, binding: known });
      continue;
    }
    const binding = bindingOf(contact, wish, facts, { wallMs, seconds });
    bindings.set(contact.key, binding);
    changes.push({ act, binding });
  }
  if (bindings.size > limits.maxContacts && changes.some(({ act }) => act === 'insert')) {
    return { ok: false, refusal: 'registration_contacts_full' };
  }
  return { ok: true, bindings: [...bindings.values()], changes };
};

const removal = ({ key, contact, q }: Binding): ContactWish => ({ key, contact, q, expiresS: 0 });

const bindingOf = (
  { key, contact, q, instance, regId }: ContactWish,
  { callId, cseq }: RegisterWish,
  facts: BindingFacts,
  { wallMs, seconds }: { readonly wallMs: number; readonly seconds: number },
): Binding => ({
  key,
  contact,
  q,
  expiresMs: wallMs + seconds * 1000,
  updatedMs: wallMs,
  callId,
  cseq,
  ...(instance === undefined ? {} : { instance }),
  ...(regId === undefined ? {} : { regId }),
  ...facts,
});

/** RFC 3261 §16.6: by preference, and of equals whoever was heard of last. */
export const byPreference = (a: Binding, b: Binding): number => b.q - a.q || b.updatedMs - a.updatedMs;
