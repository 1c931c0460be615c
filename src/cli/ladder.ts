import type { Clock } from '../kernel/index.js';

const LANES = 30;

/** Prints a call as a sequence of arrows between a caller, the exchange and a callee, each with its time. */
export class LadderPrinter {
  readonly #clock: Clock;
  readonly #write: (text: string) => void;
  #startedMs: number | undefined;

  constructor(clock: Clock, write: (text: string) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  title(caller: string, exchange: string, callee: string): void {
    const place = (text: string, width: number): string => text.padEnd(width);
    this.#write(`${' '.repeat(12)}${place(caller, LANES)}${place(exchange, LANES)}${callee}\n`);
  }

  /** @param lane left: between caller and exchange; right: between exchange and callee. */
  arrow(lane: 'left' | 'right', direction: '>' | '<', text: string): void {
    const nowMs = this.#clock.nowMs();
    this.#startedMs ??= nowMs;
    const time = `${(nowMs - this.#startedMs).toFixed(1)} ms`.padStart(10);
    const label = ` ${text} `.slice(0, LANES - 4);
    const dashes = '-'.repeat(Math.max(1, LANES - 4 - label.length));
    const arrow = direction === '>' ? `|${label}${dashes}>` : `|<${label}${dashes}`;
    const left = lane === 'left' ? arrow.padEnd(LANES) : '|'.padEnd(LANES);
    this.#write(`${time}  ${left}${lane === 'right' ? arrow : '|'}\n`);
  }
}
