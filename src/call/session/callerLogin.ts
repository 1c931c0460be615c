/** Callers who prove a password: what their INVITE has proved, or what to ask of them. */
import { UnlistedLog } from '../admission/sourceGate.js';
import type { RoutingTable } from '../routing/table.js';
import { DigestServer, type HeaderEntry, type SignalMessage } from '../../signal/index.js';

export type Login =
  /** Nothing is asked of this caller; or only once its trunk is known. */
  | { readonly kind: 'open' }
  | { readonly kind: 'proved'; readonly userName: string; readonly trunks: readonly string[] }
  | { readonly kind: 'challenge'; readonly headers: readonly HeaderEntry[] }
  /** Too many wrong passwords from this address. */
  | { readonly kind: 'refused' };

const LOGIN_REALM = 'tandem';

/** Wrong passwords of one address in a minute, and of all addresses in a second. */
const GUESSES = { perSourcePerMinute: 10, perSecond: 200 };

const OPEN: Login = { kind: 'open' };
const REFUSED: Login = { kind: 'refused' };

export class CallerLogin {
  readonly #digest: DigestServer;
  readonly #guesses = new UnlistedLog(GUESSES);
  /** Addresses that have guessed too often, until when. */
  readonly #barred = new Map<string, number>();

  /** @param secret signs nonces; of this process alone */
  constructor(secret: string) {
    this.#digest = new DigestServer({ realm: LOGIN_REALM, secret });
  }

  /**
   * @param address the socket's
   * @param nowMs monotonic
   */
  look(table: RoutingTable, invite: SignalMessage, address: string, nowMs: number): Login {
    if (!table.hasUsers) return OPEN;
    const fields = authorizationOf(invite);
    const proven = { method: invite.method, uri: invite.uri ?? '', address };
    const proof = this.#digest.check(fields, proven, (userName) => passwordsOf(table, userName), nowMs);
    if (proof.kind === 'proved') {
      const { userName, passwords } = proof;
      return { kind: 'proved', userName, trunks: trunksOf(table, userName, passwords) };
    }
    // RFC 3261 §10.3 step 3: an address may be whitelisted, but is no user.
    if (invite.method !== 'REGISTER' && !mustProve(table, address)) return OPEN;
    if (this.#isBarred(address, nowMs, proof.kind === 'wrong')) return REFUSED;
    return { kind: 'challenge', headers: this.challenge(invite, address, nowMs, proof.kind === 'stale') };
  }

  /** The proof has served: it is good for no other call. */
  take(invite: SignalMessage): void {
    this.#digest.use(authorizationOf(invite));
  }

  /** @param request that is challenged: some senders are asked in the only way that they understand */
  challenge(request: SignalMessage, address: string, nowMs: number, stale = false): readonly HeaderEntry[] {
    const plain = MD5_ONLY.test(request.header('User-Agent') ?? '');
    return this.#digest.challenge(address, nowMs, stale, plain);
  }

  #isBarred(address: string, nowMs: number, wrong: boolean): boolean {
    const until = this.#barred.get(address);
    if (until !== undefined && nowMs < until) return true;
    if (until !== undefined) this.#barred.delete(address);
    if (!wrong || this.#guesses.shouldLog(address, nowMs)) return false;
    if (this.#barred.size >= MAX_BARRED) this.#barred.delete(this.#barred.keys().next().value as string);
    this.#barred.set(address, nowMs + BAR_MS);
    return true;
  }
}

/**
 * They fail at the first challenge that they do not know, where RFC 8760 §2.4 has them take the next. Whoever could write
 * this field in another's name could as well take the better challenge out of our answer.
 */
const MD5_ONLY = /^baresip v[0-2]\./i;

const BAR_MS = 60_000;
const MAX_BARRED = 10_000;

const authorizationOf = (invite: SignalMessage): readonly string[] =>
  invite.header('Authorization') === undefined
    ? NO_FIELDS
    : invite.headers().flatMap(([name, value]) => (name.toLowerCase() === 'authorization' ? [value] : []));

const NO_FIELDS: readonly string[] = [];

/** Nobody lists the address, or all who do are trunks that want a password besides. */
function mustProve(table: RoutingTable, address: string): boolean {
  return table
    .ownersOf(address)
    .every(({ kind, id }) => kind === 'trunk' && (table.trunk(id)?.trunk.credentials?.length ?? 0) > 0);
}

function passwordsOf(table: RoutingTable, userName: string): string[] {
  return credentialsOf(table, userName).map(({ password }) => password);
}

function trunksOf(table: RoutingTable, userName: string, passwords: readonly string[]): string[] {
  const fitting = credentialsOf(table, userName).filter(({ password }) => passwords.includes(password));
  return [...new Set(fitting.map(({ trunkSid }) => trunkSid))];
}

function credentialsOf(table: RoutingTable, userName: string): { trunkSid: string; password: string }[] {
  return table.trunksOfUser(userName).flatMap((trunkSid) => {
    const known = table.trunk(trunkSid)?.trunk.credentials ?? [];
    return known.flatMap((one) => (one.user_name === userName ? [{ trunkSid, password: one.password }] : []));
  });
}
