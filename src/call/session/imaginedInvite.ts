/** An INVITE that nobody has sent: as much of one as routing, the headers of the other leg and flows depend on. */
import type { HeaderEntry, SignalMessage } from '../../signal/port.js';

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
