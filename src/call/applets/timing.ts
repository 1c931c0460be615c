import { type Static, Type } from '../../kernel/index.js';
import { type Outcome, defineApplet, exit, wait } from '../flow/applet.js';
import { type WallTime, dateText, isTimeZone, wallTimeIn } from './wallTime.js';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const day = Type.Union(DAYS.map((name) => Type.Literal(name)));
const time = (description: string) => Type.String({ pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$', description });

const Params = Type.Object(
  {
    time_zone: Type.String({ minLength: 1, maxLength: 64, description: 'IANA, for example Asia/Kolkata' }),
    open: Type.Array(
      Type.Object(
        {
          days: Type.Array(day, { minItems: 1, maxItems: 7 }),
          from: time('first minute'),
          to: time('first minute after; before `from`: on the next day'),
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 32 },
    ),
    holidays: Type.Array(Type.String({ pattern: '^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$' }), {
      default: [],
      maxItems: 400,
      description: 'dates, with a year or every year',
    }),
  },
  { additionalProperties: false },
);
type TimingParams = Static<typeof Params>;
type Hours = TimingParams['open'][number];

const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/** Whether a window holds this minute; one that runs over midnight belongs to the day on which it began. */
function isWithin(hours: Hours, now: WallTime): boolean {
  const at = now.hour * 60 + now.minute;
  const from = minutes(hours.from);
  const to = minutes(hours.to);
  const today = DAYS[now.weekday] as Hours['days'][number];
  const yesterday = DAYS[(now.weekday + 6) % 7] as Hours['days'][number];
  if (from < to) return hours.days.includes(today) && at >= from && at < to;
  return (hours.days.includes(today) && at >= from) || (hours.days.includes(yesterday) && at < to);
}

/** Branches on opening hours and holidays where the business is. */
export const timing = defineApplet({
  name: 'timing',
  does: 'Branches on opening hours in a time zone, and on holidays.',
  params: Params,
  exits: (params) => [
    { name: 'open', unwired: 'refused' },
    { name: 'closed', unwired: 'refused' },
    ...(params.holidays.length > 0 ? [{ name: 'holiday', unwired: 'refused' as const }] : []),
  ],
  offline: true,
  check({ time_zone: zone }, report) {
    if (!isTimeZone(zone)) report('time_zone', `'${zone}' is no IANA time zone`);
  },
  enter(run, { time_zone: zone, open, holidays }): Outcome<undefined> {
    const now = wallTimeIn(zone, run.wallMs);
    const date = dateText(now);
    run.input('time_zone', zone);
    run.input('date', date);
    run.input('minute', now.hour * 60 + now.minute);
    if (holidays.includes(date) || holidays.includes(date.slice(5))) return exit('holiday', { date });
    return exit(open.some((hours) => isWithin(hours, now)) ? 'open' : 'closed', { date });
  },
  on: (_run, _params, { data }) => wait(data),
});
