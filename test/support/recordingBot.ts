/** The bot's end of a WebSocket, in the hands of a test. */
import type { WebSocket } from 'ws';

export type Json = { readonly [key: string]: unknown };

/** A bot that keeps what it hears and says what the test wants. */
export class RecordingBot {
  readonly texts: Json[] = [];
  binaryBytes = 0;
  binaryMessages = 0;
  headers: { readonly [name: string]: string | string[] | undefined } = {};
  path = '';
  readonly #socket: WebSocket;
  #onMessage: (() => void) | undefined;

  constructor(socket: WebSocket, request: { url?: string; headers: RecordingBot['headers'] }) {
    this.#socket = socket;
    this.path = request.url ?? '';
    this.headers = request.headers;
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) {
        this.binaryMessages++;
        this.binaryBytes += data.length;
      } else this.texts.push(JSON.parse(data.toString()) as Json);
      this.#onMessage?.();
    });
    socket.on('close', () => this.#onMessage?.());
  }

  say(message: object | Buffer): void {
    this.#socket.send(Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  leave(): void {
    this.#socket.close(1000);
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  async until(what: string, isSo: () => boolean): Promise<void> {
    const late = AbortSignal.timeout(8000);
    while (!isSo()) {
      await new Promise<void>((resolve, reject) => {
        const onLate = (): void =>
          reject(new Error(`${what}: ${JSON.stringify(this.texts.filter(({ event }) => event !== 'media'))}`));
        late.addEventListener('abort', onLate, { once: true });
        this.#onMessage = () => {
          late.removeEventListener('abort', onLate);
          resolve();
        };
      });
    }
  }
}
