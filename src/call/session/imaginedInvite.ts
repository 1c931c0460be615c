/** An INVITE that nobody has sent: as much of one as routing, the headers of the other leg and flows depend on. */
import type { Content, HeaderEntry, SignalMessage } from '../../signal/port.js';

const NO_BODY = Buffer.alloc(0);

export class ImaginedInvite implements SignalMessage {
  readonly method = 'INVITE';
  readonly uri: string;
  readonly status = undefined;
  readonly reason = undefined;
  readonly callId = '';
  readonly contentType = undefined;
  readonly body = NO_BODY;
  readonly #headers: readonly HeaderEntry[];

  /** @param headers in order, with canonical names; values are byte strings without line ends */
  constructor(uri: string, headers: readonly HeaderEntry[]) {
    this.uri = uri;
    this.#headers = headers;
  }

  header(name: string): string | undefined {
    const wanted = name.toLowerCase();
    return this.#headers.find(([each]) => each.toLowerCase() === wanted)?.[1];
  }

  headers(): HeaderEntry[] {
    return [...this.#headers];
  }
}

/** A 200 that nobody has sent: what somebody who called us would have said, had we called. */
export class ImaginedAnswer implements SignalMessage {
  readonly method = 'INVITE';
  readonly uri = undefined;
  readonly status = 200;
  readonly reason = 'OK';
  readonly callId: string;
  readonly contentType: string | undefined;
  readonly body: Buffer;
  readonly #allow: string | undefined;

  /** @param invite of the one who answers */
  constructor(invite: SignalMessage, { contentType, body }: Content) {
    this.callId = invite.callId;
    this.contentType = contentType;
    this.body = body ?? NO_BODY;
    this.#allow = invite.header('Allow');
  }

  header(name: string): string | undefined {
    return name.toLowerCase() === 'allow' ? this.#allow : undefined;
  }

  headers(): HeaderEntry[] {
    return this.#allow === undefined ? [] : [['Allow', this.#allow]];
  }
}
