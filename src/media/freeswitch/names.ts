/** What FreeSWITCH is told to play or to write, as text: nothing in it may mean more than it says. */
import type { PlaySource } from '../port.js';

/**
 * Absolute, and of characters without a meaning of their own: FreeSWITCH expands `${...}` (commands among them), takes
 * `@@` for an offset, `!` for a separator and `scheme://` for another kind of source.
 */
const PLAIN_PATH = /^(?:\/[A-Za-z0-9._~+=,-]+)+$/;

export const isPlainPath = (path: string): boolean => PLAIN_PATH.test(path) && path.length < 1024;

const MAX_FREQUENCIES = 8;

/** `times`: over; 0 without end. @returns undefined when there is nothing to hear */
export const toneName = (source: PlaySource & { kind: 'tone' }, times: number): string | undefined => {
  const ms = Math.round(source.durationMs);
  const frequencies = source.frequenciesHz.filter((hz) => hz > 0 && hz < 4000).slice(0, MAX_FREQUENCIES);
  if (!(ms > 0) || frequencies.length === 0) return undefined;
  return `tone_stream://%(${ms},0,${frequencies.join(',')});loops=${times === 0 ? -1 : times}`;
};

export const silenceName = (durationMs: number): string | undefined => {
  const ms = Math.round(durationMs);
  return ms > 0 ? `silence_stream://${ms}` : undefined;
};

/** Keys alone. */
export const keysOf = (digits: string): string => digits.replace(/[^0-9A-Da-d*#]/g, '');
