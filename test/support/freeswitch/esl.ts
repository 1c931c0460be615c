/** The server's side of FreeSWITCH's event socket: framing, replies, events, subscriptions. */
import type { Socket } from 'node:net';

/** One command: its first line, the lines below it as fields. */
export interface EslCommand {
  readonly line: string;
  readonly fields: ReadonlyMap<string, string>;
}

export const fields = (values: Record<string, string>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('');

export class EslSocket {
  readonly #socket: Socket;
  readonly #onCommand: (command: EslCommand) => void;
  readonly #events = new Set<string>();
  readonly #subclasses = new Set<string>();
  #text = '';
  /** Nothing is answered, nothing is sent: the process behind hangs. */
  frozen = false;
  open = true;

  constructor(socket: Socket, onCommand: (command: EslCommand) => void, onClosed: () => void) {
    this.#socket = socket;
    this.#onCommand = onCommand;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.open = false;
      onClosed();
    });
    socket.on('data', (data) => this.#read(data.toString('utf8')));
  }

  write(head: Record<string, string>, body?: string): void {
    if (this.frozen || !this.open) return;
    const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\n`;
    this.#socket.write(`${fields(head)}${length}\n${body ?? ''}`);
  }

  reply(text: string): void {
    this.write({ 'Content-Type': 'command/reply', 'Reply-Text': text });
  }

  respond(body: string): void {
    this.write({ 'Content-Type': 'api/response' }, body);
  }

  /** `event json A B CUSTOM c`: what is asked for adds up. */
  subscribe(words: readonly string[]): void {
    let custom = false;
    for (const word of words) {
      if (word === 'CUSTOM') custom = true;
      else if (custom) this.#subclasses.add(word);
      else this.#events.add(word.replace(/^SWITCH_EVENT_/, ''));
    }
    this.reply('+OK event listener enabled json');
  }

  event(values: Record<string, string>, body?: string): void {
    const name = values['Event-Name'] ?? '';
    if (!(name === 'CUSTOM' ? this.#subclasses.has(values['Event-Subclass'] ?? '') : this.#events.has(name))) return;
    const text = JSON.stringify(
      body === undefined ? values : { ...values, 'Content-Length': String(Buffer.byteLength(body)), _body: body },
    );
    if (this.frozen || !this.open) return;
    this.#socket.write(`Content-Length: ${Buffer.byteLength(text)}\nContent-Type: text/event-json\n\n${text}`);
  }

  /** Says goodbye, and closes. */
  leave(uuid: string): void {
    const words = 'Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n';
    const head = { 'Content-Type': 'text/disconnect-notice', 'Controlled-Session-UUID': uuid };
    this.write({ ...head, 'Content-Disposition': 'disconnect' }, words);
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      const [line = '', ...rest] = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      const values = new Map<string, string>();
      for (const field of rest) {
        const colon = field.indexOf(':');
        values.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim());
      }
      if (!this.frozen && line !== '') this.#onCommand({ line, fields: values });
    }
  }
}
