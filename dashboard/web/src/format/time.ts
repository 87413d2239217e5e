const formats = new Map<string, Intl.DateTimeFormat>();

export function zoned(zone: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = zone + JSON.stringify(options);
  let format = formats.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(undefined, { timeZone: zone, ...options });
    formats.set(key, format);
  }
  return format;
}

export function formatInstant(at: string | number, zone: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return String(at);
  return zoned(zone, { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' }).format(time);
}

export function formatClock(at: string | number, zone: string): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return String(at);
  return zoned(zone, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(
    time,
  );
}

/** "just now", "12 s ago", "3 min ago", "2 h ago", "5 d ago" */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 2) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** "2026-11-21" → "Nov 21, 2026" */
export function formatDate(date: string): string {
  const at = new Date(`${date}T12:00:00Z`);
  return Number.isNaN(at.getTime()) ? date : zoned('UTC', { dateStyle: 'medium' }).format(at);
}

/** "2026-11" → "November 2026" */
export function formatMonth(month: string): string {
  const at = new Date(`${month}-15T12:00:00Z`);
  return Number.isNaN(at.getTime()) ? month : zoned('UTC', { month: 'long', year: 'numeric' }).format(at);
}
