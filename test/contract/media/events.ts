import type { EndpointEvents } from '../../../src/media/index.js';

export type Told =
  | { readonly on: 'dtmf'; readonly digit: string; readonly durationMs: number; readonly by: string }
  | { readonly on: 'playEnded'; readonly id: string; readonly end: string; readonly detail: string }
  | { readonly on: 'recordEnded'; readonly id: string; readonly end: string; readonly durationMs: number }
  | { readonly on: 'streamStarted'; readonly id: string }
  | { readonly on: 'streamEnded'; readonly id: string; readonly status: string; readonly by: string }
  | { readonly on: 'mediaTimeout' }
  | { readonly on: 'failed'; readonly code: string };

/** Remembers an endpoint's events and waits for them. */
export class EventLog implements EndpointEvents {
  readonly told: Told[] = [];
  #waiting: { on: Told['on']; resolve: (told: Told) => void }[] = [];
  #taken = 0;

  onDtmf(digit: string, durationMs: number, by: 'rfc4733' | 'inband'): void {
    this.#add({ on: 'dtmf', digit, durationMs, by });
  }
  onPlayEnded(id: string, end: string, detail: string): void {
    this.#add({ on: 'playEnded', id, end, detail });
  }
  onRecordEnded(id: string, end: string, durationMs: number): void {
    this.#add({ on: 'recordEnded', id, end, durationMs });
  }
  onStreamStarted(id: string): void {
    this.#add({ on: 'streamStarted', id });
  }
  onStreamEnded(id: string, report: { status: string; disconnectedBy: string }): void {
    this.#add({ on: 'streamEnded', id, status: report.status, by: report.disconnectedBy });
  }
  onMediaTimeout(): void {
    this.#add({ on: 'mediaTimeout' });
  }
  onFailed(problem: { code: string }): void {
    this.#add({ on: 'failed', code: problem.code });
  }

  count(on: Told['on']): number {
    return this.told.filter((told) => told.on === on).length;
  }

  get digits(): string {
    return this.told.map((told) => (told.on === 'dtmf' ? told.digit : '')).join('');
  }

  /** The next event of this kind that was not waited for yet. */
  next<K extends Told['on']>(on: K, limitMs = 5000): Promise<Extract<Told, { on: K }>> {
    for (let i = this.#taken; i < this.told.length; i++) {
      const told = this.told[i] as Told;
      if (told.on !== on) continue;
      this.#taken = i + 1;
      return Promise.resolve(told as Extract<Told, { on: K }>);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${on} came`)), limitMs);
      this.#waiting.push({
        on,
        resolve: (told) => {
          clearTimeout(timer);
          resolve(told as Extract<Told, { on: K }>);
        },
      });
    });
  }

  #add(told: Told): void {
    this.told.push(told);
    const index = this.#waiting.findIndex((one) => one.on === told.on);
    if (index < 0) return;
    this.#taken = this.told.length;
    this.#waiting.splice(index, 1)[0]?.resolve(told);
  }
}
