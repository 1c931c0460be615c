/** A response that nobody has sent: the word of a leg whose audio is in the media plane. */
import type { Content, HeaderEntry, SignalMessage } from '../../signal/port.js';

const NO_BODY = Buffer.alloc(0);

export class ImaginedResponse implements SignalMessage {
  readonly method: string;
  readonly uri = undefined;
  readonly status: number;
  readonly reason = undefined;
  readonly callId = '';
  readonly contentType: string | undefined;
  readonly body: Buffer;

  constructor(method: string, status: number, { contentType, body }: Content = {}) {
    this.method = method;
    this.status = status;
    this.contentType = contentType;
    this.body = body ?? NO_BODY;
  }

  header(): string | undefined {
    return undefined;
  }

  headers(): HeaderEntry[] {
    return [];
  }
}
