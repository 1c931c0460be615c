let second = NaN;
let prefix = '';

/**
 * ISO 8601 UTC with milliseconds of a wall-clock time. The text of the running second is kept: a record has half a
 * dozen dates, and a busy node makes thousands of them a second.
 */
export const isoTime = (wallMs: number): string => {
  const ms = Math.floor(wallMs);
  const whole = Math.floor(ms / 1000);
  if (whole !== second) {
    prefix = new Date(whole * 1000).toISOString().slice(0, 20);
    second = whole;
  }
  const rest = ms - whole * 1000;
  return `${prefix}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`;
};
