// The cells of a report in words, by their column's type and name.

import { dimensionTitles } from '../format/dimension';
import type { CsvCell } from '../format/csv';
import { decimal, formatMoney } from '../format/money';
import { formatCount, formatRate } from '../format/number';
import { zoned } from '../format/time';
import type { Answer } from '../api/types';
import type { Cell, Column } from '../live/protocol';
import { valueName } from '../state/names.svelte';

/** Shares in basis points; other numbers are what they are. */
const BASIS_POINTS = /(^|_)(rate|share)$/;

const titles: Record<string, string> = {
  mrr: 'MRR',
  arpu: 'ARPU',
  logo_churn_rate: 'Customer churn',
  revenue_churn_rate: 'Revenue churn',
  ltv: 'LTV',
  aov: 'Average order',
  median_ltv: 'Median LTV',
  median_ms: 'Median time',
  average_ms: 'Average time',
  p_value: 'p',
  always_valid_p_value: 'p, any time',
  step_conversion_rate: 'Of the step before',
  name: 'Does',
  monetary: 'Spent',
  average_monetary: 'Spent each',
  average_frequency: 'Orders each',
  average_recency_days: 'Days since',
  recency_days: 'Days since',
  frequency: 'Orders',
};

export function columnTitle(name: string): string {
  const known = titles[name] ?? dimensionTitles[name];
  if (known) return known;
  const words = name.replace(/_mrr$/, '').replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function isNumeric({ type }: Column): boolean {
  return type === 'integer' || type === 'number' || type === 'money';
}

/** "350 ms", "4.2 s", "12 min", "3.5 h", "2.1 d" */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  const steps: [number, number, string][] = [
    [60_000, 1_000, 's'],
    [3_600_000, 60_000, 'min'],
    [86_400_000, 3_600_000, 'h'],
    [Infinity, 86_400_000, 'd'],
  ];
  const [, unit, name] = steps.find(([below]) => milliseconds < below) ?? [0, 86_400_000, 'd'];
  const count = milliseconds / unit;
  return `${count < 10 ? Number(count.toFixed(1)) : Math.round(count)} ${name}`;
}

export function formatDay(cell: Cell, zone: string, month = false): string {
  const at = Date.parse(String(cell));
  if (Number.isNaN(at)) return String(cell);
  const format: Intl.DateTimeFormatOptions = month
    ? { month: 'short', year: 'numeric' }
    : { day: 'numeric', month: 'short', year: 'numeric' };
  return zoned(zone, format).format(at);
}

export function cellText({ name, type }: Column, cell: Cell, currency: string, zone: string): string {
  if (cell === null) return type === 'string' ? valueName(name, '') : '–';
  if (type === 'money') return formatMoney(Number(cell), currency);
  if (type === 'time') return formatDay(cell, zone, name === 'month');
  if (name.endsWith('_ms')) return formatDuration(Number(cell));
  if (type === 'number') {
    return BASIS_POINTS.test(name) ? formatRate(Number(cell), 10_000) : formatCount(Number(cell));
  }
  if (type === 'integer') return formatCount(Number(cell));
  if (type === 'bool') return cell ? 'yes' : 'no';
  return valueName(name, cell);
}

/** What another program reads: money as decimals of its currency, everything else as it came. */
export function csvOf(answer: Answer, currency: string): CsvCell[][] {
  const head = answer.columns.map(({ name, type }) => (type === 'money' ? `${name} ${currency}` : name));
  const cell = (value: Cell, column: Column | undefined) =>
    column?.type === 'money' && value !== null ? decimal(Number(value), currency) : value;
  return [head, ...answer.rows.map((row) => row.map((value, at) => cell(value, answer.columns[at])))];
}
