// Calendar arithmetic in an IANA zone with nothing but Intl: the offset at an instant, and the instant of a
// local date.

const partsOf = new Map<string, Intl.DateTimeFormat>();

function parts(zone: string): Intl.DateTimeFormat {
  let format = partsOf.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    partsOf.set(zone, format);
  }
  return format;
}

export interface LocalDate {
  year: number;
  /** 1 to 12; what lies outside is carried over into the year, as Date.UTC does */
  month: number;
  day: number;
}

/** The wall clock of `zone` at `at`, as if it were UTC, in milliseconds. */
function wallClock(at: number, zone: string): number {
  const of: Record<string, number> = {};
  for (const { type, value } of parts(zone).formatToParts(at)) of[type] = Number(value);
  return Date.UTC(of.year ?? 0, (of.month ?? 1) - 1, of.day, of.hour, of.minute, of.second);
}

/** Milliseconds to add to UTC to get the zone's wall clock. */
export function offsetAt(at: number, zone: string): number {
  const second = Math.floor(at / 1000) * 1000;
  return wallClock(second, zone) - second;
}

export function localDate(at: number, zone: string): LocalDate {
  const date = new Date(wallClock(at, zone));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** The first instant of a local date (the later side of a gap when midnight does not exist that day). */
export function startOf(date: LocalDate, zone: string): number {
  const midnight = Date.UTC(date.year, date.month - 1, date.day);
  let at = midnight - offsetAt(midnight, zone);
  at = midnight - offsetAt(at, zone);
  return at;
}

/** 1 is Monday, 7 Sunday */
export function weekday(date: LocalDate): number {
  return new Date(Date.UTC(date.year, date.month - 1, date.day)).getUTCDay() || 7;
}

export function zoneExists(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}
