const whole = new Intl.NumberFormat();
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, {
  style: 'percent',
  // Two digits, so that a column can be read down; "25%" and not "25.00%".
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  trailingZeroDisplay: 'stripIfInteger',
} as Intl.NumberFormatOptions);
const exact = new Intl.NumberFormat(undefined, { maximumFractionDigits: 6 });
const change = new Intl.NumberFormat(undefined, {
  style: 'percent',
  maximumFractionDigits: 0,
  // What rounds to nothing is "0%", neither up nor down.
  signDisplay: 'exceptZero',
});

export function formatCount(count: number): string {
  return whole.format(count);
}

/** A count and what is counted: "1 click", "2,000 clicks". */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${whole.format(count)} ${count === 1 ? one : many}`;
}

/** with so many digits behind the point, also where they are 0 */
export function formatFixed(value: number, digits: number): string {
  return value.toLocaleString(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** with what is behind the point, to six digits */
export function formatDecimal(value: number): string {
  return exact.format(value);
}

export function formatCompact(count: number): string {
  return Math.abs(count) < 10_000 ? whole.format(count) : compact.format(count);
}

/** part of whole as a percentage; a dash when there is no whole to speak of */
export function formatRate(part: number, of: number): string {
  return of === 0 ? '–' : percent.format(part / of);
}

/** Change against an earlier value; null when there is nothing to compare with. */
export function formatChange(now: number, before: number): string | null {
  return before === 0 ? null : change.format((now - before) / Math.abs(before));
}
