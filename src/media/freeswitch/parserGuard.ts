/** Holds the event socket library to what may be asked of a parser: whatever arrives, the process lives on. */

interface Parser {
  buffer: Buffer;
  readonly socket: { destroy(): void };
  emit(event: 'error', error: unknown): void;
}

interface ParserClass {
  readonly prototype: {
    _onData(this: Parser, data: Buffer): void;
    _parseHeaderText(text: string): Record<string, string | number>;
  };
}

/** A frame is a few kilobytes; a dump of a channel some ten. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024;

const guarded = new WeakSet<object>();

/**
 * Replaces two functions of the library's parser, once:
 *  - It decodes header values, and throws at a `%` that begins no escape. Such a value now stays as it is.
 *  - What its listeners throw (a media server without the profile that is looked for, an event that is no JSON) ends
 *    up as an uncaught exception. It now ends the connection that it came from.
 */
export const guardParser = (parser: ParserClass): void => {
  if (guarded.has(parser)) return;
  guarded.add(parser);
  const { prototype } = parser;
  const onData = prototype._onData;
  prototype._onData = function (data) {
    try {
      if (this.buffer.length + data.length > MAX_BUFFERED_BYTES) throw new Error('a frame of more than 8 MB');
      onData.call(this, data);
    } catch (error) {
      this.buffer = Buffer.alloc(0);
      this.emit('error', error);
      this.socket.destroy();
    }
  };
  prototype._parseHeaderText = readHeaders;
};

const readHeaders = (text: string): Record<string, string | number> => {
  const headers: Record<string, string | number> = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    const name = colon < 0 ? line : line.slice(0, colon);
    if (name === '__proto__') continue;
    const value = decoded(colon < 0 ? '' : line.slice(colon + 2));
    headers[name] = name === 'Content-Length' ? Number.parseInt(value, 10) : value;
  }
  return headers;
};

/** What is percent-encoded, decoded; everything else as it is. */
export const decoded = (text: string): string => {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
