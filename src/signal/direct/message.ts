import type { SipRequest, SipResponse } from '../../sip/index.js';
import type { ResponseFields } from '../../sip/index.js';
import type { HeaderEntry, ResponseSpec, SignalMessage } from '../port.js';

/** A view of the engine's own message: nothing is copied. */
export class DirectMessage implements SignalMessage {
  readonly #message: SipRequest | SipResponse;

  constructor(message: SipRequest | SipResponse) {
    this.#message = message;
  }

  get method(): string {
    return 'method' in this.#message ? this.#message.method : this.#message.cseq.method;
  }

  get uri(): string | undefined {
    return 'uri' in this.#message ? this.#message.uri : undefined;
  }

  get status(): number | undefined {
    return 'status' in this.#message ? this.#message.status : undefined;
  }

  get reason(): string | undefined {
    return 'reason' in this.#message ? this.#message.reason : undefined;
  }

  get callId(): string {
    return this.#message.callId;
  }

  header(name: string): string | undefined {
    return this.#message.header(name);
  }

  headers(): HeaderEntry[] {
    return this.#message.headers();
  }

  get contentType(): string | undefined {
    return this.#message.header('Content-Type');
  }

  get body(): Buffer {
    return this.#message.body;
  }
}

/** The engine's form of what the application wants to send. */
export const toFields = (spec: ResponseSpec): ResponseFields => {
  const { contentType } = spec;
  const headers: HeaderEntry[] | undefined =
    contentType === undefined || spec.body === undefined || spec.body.length === 0
      ? spec.headers === undefined
        ? undefined
        : [...spec.headers]
      : [...(spec.headers ?? []), ['Content-Type', contentType]];
  return { reason: spec.reason, headers, body: spec.body, fork: spec.fork };
};
