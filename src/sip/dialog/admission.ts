import type { EngineHandler, HeaderField, ResponseFields, Screening } from '../face.js';
import type { SipRequest, SipResponse } from '../message/message.js';
import type { ParseFailure } from '../message/parse.js';
import type { Arrival } from '../transport/layer.js';
import { MAGIC_COOKIE } from '../transaction/layer.js';
import type { CoreHost } from './host.js';
import { buildResponse } from './incomingRequest.js';
import { isSipUri } from '../locate/nextHop.js';
import { ALLOW, DIALOG_ONLY, KNOWN_METHODS } from './methods.js';

const SCHEMES: ReadonlySet<string> = new Set(['sip', 'sips', 'tel']);

/**
 * What a request outside a dialog must pass before it costs any state: the user's gate, then RFC 3261 §8.2. All
 * refusals are stateless (§8.2.7): one packet in, at most one out, nothing kept.
 */
export class Admission {
  readonly #core: CoreHost;
  readonly #handler: EngineHandler;
  readonly #supported: ReadonlySet<string>;

  constructor(core: CoreHost, handler: EngineHandler, supported: readonly string[]) {
    this.#core = core;
    this.#handler = handler;
    this.#supported = new Set(supported);
  }

  /** @returns false when the request was refused or dropped. */
  admit(request: SipRequest, arrival: Arrival): boolean {
    if (!this.screened(request, arrival)) return false;
    if (this.#core.layer.mergedWith(request) !== undefined) {
      this.refuse(request, arrival, 482); // §8.2.2.2
      return false;
    }
    const colon = request.uri.indexOf(':');
    if (!SCHEMES.has(request.uri.slice(0, Math.max(0, colon)).toLowerCase())) {
      this.refuse(request, arrival, 416); // §8.2.2.1
      return false;
    }
    if (!KNOWN_METHODS.has(request.method)) {
      this.refuse(request, arrival, 501, { headers: [['Allow', ALLOW]] }); // §21.5.2
      return false;
    }
    if (DIALOG_ONLY.has(request.method)) {
      this.refuse(request, arrival, 481);
      return false;
    }
    if (request.method === 'INVITE' && !hasTarget(request)) {
      this.refuse(request, arrival, 400, { reason: 'Contact Missing' });
      return false;
    }
    return this.requirementsMet(request, arrival);
  }

  /** §8.2.2.3. */
  requirementsMet(request: SipRequest, arrival: Arrival): boolean {
    if (request.count('Require') === 0 || this.#supported.has('*')) return true;
    const unsupported = request.headerList('Require').filter((tag) => !this.#supported.has(tag.toLowerCase()));
    if (unsupported.length === 0) return true;
    this.refuse(request, arrival, 420, { headers: [['Unsupported', unsupported.join(', ')]] });
    return false;
  }

  /** The user's gate. @returns false when it refused or dropped the request, or threw */
  screened(request: SipRequest, arrival: Arrival): boolean {
    const { screen } = this.#handler;
    if (screen === undefined) return true;
    let verdict: Screening | undefined;
    this.#core.guard(() => {
      verdict = screen.call(this.#handler, request, arrival);
    });
    if (verdict === undefined) {
      this.refuse(request, arrival, 500);
      return false;
    }
    if (verdict.action === 'accept') return true;
    if (verdict.action === 'reject') {
      const { status, headers, reason, mayExceed = NEVER } = verdict;
      const response = buildResponse(this.#core, request, status, {
        fields: { headers, reason },
        ...{ tag: statelessTag(request), listener: arrival.listener, contact: false, anonymous: true },
      });
      this.#core.layer.replyStatelessly(request, arrival, response, mayExceed);
    }
    return false;
  }

  refuse(request: SipRequest, arrival: Arrival, status: number, fields: ResponseFields = {}): void {
    this.#core.layer.replyStatelessly(request, arrival, this.#response(request, arrival, status, fields));
  }

  #response(request: SipRequest, arrival: Arrival, status: number, fields: ResponseFields): SipResponse {
    return buildResponse(this.#core, request, status, {
      fields,
      tag: statelessTag(request),
      listener: arrival.listener,
      contact: false,
    });
  }

  refuseMalformed(failure: ParseFailure, arrival: Arrival): void {
    const { partial, status } = failure;
    if (partial === undefined || status === 0 || partial.method === 'ACK' || partial.count('Via') === 0) return;
    if (!this.screened(partial, arrival)) return;
    const headers: HeaderField[] = [['Warning', `399 tandem "${printable(failure.reason)}"`]];
    if (status === 501 || status === 405) headers.push(['Allow', ALLOW]);
    this.refuse(partial, arrival, status, { headers });
  }
}

/**
 * §8.1.1.8: an INVITE names in one SIP URI where the dialog's requests go. Peers of RFC 2543, known by their branch, may
 * leave it out: From serves them.
 */
const hasTarget = (request: SipRequest): boolean => {
  const { contact } = request;
  if (contact !== undefined) return isSipUri(contact.uri);
  return request.count('Contact') === 0 && request.topVia.branch?.startsWith(MAGIC_COOKIE) !== true;
};

/** §8.2.7: the same request gets the same tag, though nothing is remembered. */
const statelessTag = (request: SipRequest): string => {
  const seed = `${request.header('Via') ?? ''}${request.header('Call-ID') ?? ''}`;
  let hash = 0x811c9dc5;
  for (let i = 0; i < seed.length; i++) hash = Math.imul(hash ^ seed.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
};

const NEVER = (): boolean => false;

const printable = (text: string): string => text.replaceAll(/[^\w .,:-]/g, '').slice(0, 120);
