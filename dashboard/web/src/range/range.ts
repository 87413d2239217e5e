// The ranges a page can show. Each becomes explicit half-open bounds, aligned to its buckets in the viewer's
// zone: two people who look at the same range then ask the same query, which the engine encodes once, and the
// comparison, the chart's empty buckets and the query agree on where a day starts.

import { localDate, offsetAt, startOf, weekday, type LocalDate } from './zone';

export type Interval = 'minute' | 'hour' | 'day' | 'week' | 'month';

export interface Bounds {
  /** milliseconds since the epoch, half-open */
  start: number;
  end: number;
}

export interface Preset {
  id: string;
  title: string;
  key: string;
}

export const presets: Preset[] = [
  { id: '1h', title: 'Last hour', key: 'R' },
  { id: 'today', title: 'Today', key: 'D' },
  { id: 'yesterday', title: 'Yesterday', key: 'E' },
  { id: '24h', title: 'Last 24 hours', key: 'H' },
  { id: '7d', title: 'Last 7 days', key: 'W' },
  { id: '30d', title: 'Last 30 days', key: 'F' },
  { id: '90d', title: 'Last 90 days', key: 'N' },
  { id: 'mtd', title: 'Month to date', key: 'M' },
  { id: 'ytd', title: 'Year to date', key: 'Y' },
  { id: '12mo', title: 'Last 12 months', key: 'L' },
  { id: 'all', title: 'All time', key: 'A' },
];

export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;
/** Nothing is older than the ids' own epoch. */
const BEGINNING = Date.UTC(2024, 0, 1);

function shift(date: LocalDate, days: number, months = 0): LocalDate {
  const moved = new Date(Date.UTC(date.year, date.month - 1 + months, date.day + days));
  return { year: moved.getUTCFullYear(), month: moved.getUTCMonth() + 1, day: moved.getUTCDate() };
}

function floorTo(at: number, step: number, zone: string): number {
  const offset = offsetAt(at, zone);
  return Math.floor((at + offset) / step) * step - offset;
}

/** "2026-11-01..2026-11-07": whole local days, both ends included */
export function parseCustom(range: string): [LocalDate, LocalDate] | null {
  const match = /^(\d{4})-(\d\d)-(\d\d)\.\.(\d{4})-(\d\d)-(\d\d)$/.exec(range);
  if (!match) return null;
  const of = (at: number): LocalDate => ({
    year: Number(match[at]),
    month: Number(match[at + 1]),
    day: Number(match[at + 2]),
  });
  const [from, to] = [of(1), of(4)];
  return Date.UTC(from.year, from.month - 1, from.day) <= Date.UTC(to.year, to.month - 1, to.day)
    ? [from, to]
    : null;
}

export function isRange(range: string): boolean {
  return presets.some(({ id }) => id === range) || parseCustom(range) !== null;
}

/** A query's range as pages have it: a name, or the days that it covers. */
export function rangeOf(range: unknown, zone: string): string {
  if (typeof range === 'string' && isRange(range)) return range;
  if (!Array.isArray(range) || range.length !== 2) return '7d';
  const [start, end] = range.map((at) => Date.parse(String(at)));
  if (!(Number(start) < Number(end))) return '7d';
  const day = (at: number) => {
    const { year, month, day } = localDate(at, zone);
    return [year, String(month).padStart(2, '0'), String(day).padStart(2, '0')].join('-');
  };
  return `${day(Number(start))}..${day(Number(end) - 1)}`;
}

export function rangeTitle(range: string): string {
  return presets.find(({ id }) => id === range)?.title ?? range.replace('..', ' to ');
}

/** A kept query's range in words; '' where it has none. */
export function rangeWords(range: unknown, zone: string): string {
  // The one name that queries know and no key chooses.
  if (range === 'qtd') return 'Quarter to date';
  if (typeof range === 'string') return rangeTitle(range);
  return Array.isArray(range) ? rangeTitle(rangeOf(range, zone)) : '';
}

export function boundsOf(range: string, zone: string, now: number): Bounds {
  const today = localDate(now, zone);
  const tomorrow = startOf(shift(today, 1), zone);
  const days = (count: number): Bounds => ({ start: startOf(shift(today, 1 - count), zone), end: tomorrow });
  switch (range) {
    case '1h': {
      const end = floorTo(now, MINUTE, zone) + MINUTE;
      return { start: end - HOUR, end };
    }
    case '24h': {
      const end = floorTo(now, HOUR, zone) + HOUR;
      return { start: end - DAY, end };
    }
    case 'today':
      return days(1);
    case 'yesterday':
      return { start: startOf(shift(today, -1), zone), end: startOf(today, zone) };
    case '7d':
      return days(7);
    case '30d':
      return days(30);
    case '90d':
      return days(90);
    case 'mtd':
      return { start: startOf({ ...today, day: 1 }, zone), end: tomorrow };
    case 'ytd':
      return { start: startOf({ ...today, month: 1, day: 1 }, zone), end: tomorrow };
    case '12mo':
      return { start: startOf(shift({ ...today, day: 1 }, 0, -11), zone), end: tomorrow };
    case 'all':
      return { start: BEGINNING, end: tomorrow };
  }
  const custom = parseCustom(range);
  return custom ? { start: startOf(custom[0], zone), end: startOf(shift(custom[1], 1), zone) } : days(7);
}

export const comparisons = {
  previous: 'Period before',
  year: 'Same period a year before',
  none: 'No comparison',
} as const;
export type Comparison = keyof typeof comparisons;

export function isComparison(text: string): text is Comparison {
  return text in comparisons;
}

/** A stretch and how much of it had passed by the time of day that it is now. */
export interface Compared {
  whole: Bounds;
  /** as long as what has passed of the range so far */
  passed: Bounds;
}

/** What a range is compared with; null where nothing is, or nothing lies before. */
export function comparedBounds(
  range: string,
  zone: string,
  now: number,
  comparison: Comparison,
): Compared | null {
  if (range === 'all' || comparison === 'none') return null;
  const { start, end } = boundsOf(range, zone, now);
  const passed = Math.min(end, Math.max(start, now)) - start;
  let whole = { start: start - (end - start), end: start };
  if (comparison === 'year') {
    // The same dates, not the same number of days: of a leap year's February there is one day more.
    const back = (at: number) => {
      const date = localDate(at, zone);
      return startOf(shift(date, 0, -12), zone) + (at - startOf(date, zone));
    };
    whole = { start: back(start), end: back(end) };
  } else if (range === 'today') {
    whole = { start: startOf(shift(localDate(now, zone), -1), zone), end: start };
  }
  return { whole, passed: { start: whole.start, end: Math.min(whole.end, whole.start + passed) } };
}

export function intervalOf({ start, end }: Bounds): Interval {
  const length = end - start;
  if (length <= 2 * HOUR) return 'minute';
  if (length <= 3 * DAY) return 'hour';
  if (length <= 100 * DAY) return 'day';
  return length <= 2 * 366 * DAY ? 'week' : 'month';
}

/** A bound on what one chart holds; the intervals above stay far below it. */
const MOST_BUCKETS = 2_000;

/** The start of every bucket that the bounds touch, so that a bucket without a row still shows as zero. */
export function buckets({ start, end }: Bounds, interval: Interval, zone: string): number[] {
  const starts: number[] = [];
  if (interval === 'minute' || interval === 'hour') {
    const step = interval === 'minute' ? MINUTE : HOUR;
    for (let at = floorTo(start, step, zone); at < end && starts.length < MOST_BUCKETS; at += step)
      starts.push(at);
    return starts;
  }
  let date = localDate(start, zone);
  if (interval === 'week') date = shift(date, 1 - weekday(date));
  if (interval === 'month') date = { ...date, day: 1 };
  while (starts.length < MOST_BUCKETS) {
    const at = startOf(date, zone);
    if (at >= end) break;
    starts.push(at);
    date = interval === 'month' ? shift(date, 0, 1) : shift(date, interval === 'week' ? 7 : 1);
  }
  return starts;
}

export function asDateRange({ start, end }: Bounds): [string, string] {
  const iso = (at: number) => new Date(at).toISOString().replace('.000Z', 'Z');
  return [iso(start), iso(end)];
}
