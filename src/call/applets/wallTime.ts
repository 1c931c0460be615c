/** Wall-clock time in IANA time zones, from a count of milliseconds, without a Date. */

export interface WallTime {
  readonly year: number;
  /** 1-12. */
  readonly month: number;
  readonly day: number;
  /** 0 Sunday - 6 Saturday. */
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** Making a format costs a thousand uses of it. There are some 600 zones, so the map stays small. */
const formats = new Map<string, Intl.DateTimeFormat>();

const formatOf = (zone: string): Intl.DateTimeFormat => {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      hourCycle: 'h23',
      weekday: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
};

export const isTimeZone = (zone: string): boolean => {
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
};

/** @param wallMs milliseconds since 1970-01-01 UTC. @throws RangeError for an unknown zone */
export function wallTimeIn(zone: string, wallMs: number): WallTime {
  const parts: { [type: string]: string } = {};
  for (const { type, value } of formatOf(zone).formatToParts(wallMs)) parts[type] = value;
  const number = (type: string): number => Number(parts[type] ?? 0);
  return {
    year: number('year'),
    month: number('month'),
    day: number('day'),
    weekday: Math.max(0, WEEKDAYS.indexOf(parts['weekday'] as (typeof WEEKDAYS)[number])),
    hour: number('hour'),
    minute: number('minute'),
    second: number('second'),
  };
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `2026-01-23`. */
export const dateText = (time: WallTime): string => `${time.year}-${two(time.month)}-${two(time.day)}`;

/** `2026-01-23 09:24:59`. */
export const dateTimeText = (time: WallTime): string =>
  `${dateText(time)} ${two(time.hour)}:${two(time.minute)}:${two(time.second)}`;

/** `Fri, 23 Jan 2026 09:24:59`. */
export const longDateText = (time: WallTime): string =>
  `${WEEKDAYS[time.weekday]}, ${two(time.day)} ${MONTHS[time.month - 1]} ${time.year} ` +
  `${two(time.hour)}:${two(time.minute)}:${two(time.second)}`;
