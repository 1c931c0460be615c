/** An application's connection, as the SIP side sees it. */
export interface AppConnection {
  /** False once it is lost. */
  readonly open: boolean;
  readonly outstanding: Outstanding;
  /** It asked for 100 Trying too, which drachtio-server keeps to itself. */
  readonly wantsTrying: boolean;
  /** Sends a frame of our own; a fresh frame id is put before `leader`. Dropped when the connection is lost. */
  send(leader: string, message?: Buffer): void;
}

/** Requests of one application that await a final response, counted by Call-ID. */
export class Outstanding {
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  enter(callId: string): void {
    this.#counts.set(callId, (this.#counts.get(callId) ?? 0) + 1);
  }

  /** Runs what waited for the last one. */
  leave(callId: string): void {
    const left = (this.#counts.get(callId) ?? 1) - 1;
    if (left > 0) {
      this.#counts.set(callId, left);
      return;
    }
    this.#counts.delete(callId);
    const waiting = this.#waiting.get(callId);
    this.#waiting.delete(callId);
    for (const run of waiting ?? []) run();
  }

  /** Runs `run` at once when nothing is outstanding, else after the last final response. */
  whenIdle(callId: string, run: () => void): void {
    if (!this.#counts.has(callId)) {
      run();
      return;
    }
    const waiting = this.#waiting.get(callId);
    if (waiting === undefined) this.#waiting.set(callId, [run]);
    else waiting.push(run);
  }

  get size(): number {
    return this.#counts.size;
  }
}
