// What a cell of a table shows, as data: so that a page lists its columns and draws nothing itself.

import { formatMoney, type Money } from '../format/money';
import { formatInstant, zoned } from '../format/time';
import { nameOf, placeOf } from '../state/names.svelte';
import { view } from '../state/view.svelte';

export type Tone = '' | 'good' | 'warn' | 'bad' | 'accent';

export interface Shown {
  text: string;
  href?: string;
  /** shown as a badge of this tone */
  badge?: Tone;
  /** below it, smaller */
  sub?: string;
  mono?: boolean;
  /** kept on one line */
  whole?: boolean;
  muted?: boolean;
  /** how much of a whole, beside it as a bar */
  bar?: number;
  /** beside it a button that copies this */
  copy?: string;
  title?: string;
}

export type CellValue = Shown | readonly Shown[] | string | number | null | undefined;

export interface Column<T> {
  title: string;
  cell: (row: T) => CellValue;
  /** aligned at its end */
  number?: boolean;
  /** left out where the window is narrow: 1 on phones, 2 below a small desk's screen */
  spare?: 1 | 2;
}

export const money = (of: Money | null | undefined): string | null =>
  of ? formatMoney(of.amount, of.currency) : null;

export const moneys = (of: readonly Money[]): Shown[] =>
  of.map(({ amount, currency }) => ({ text: formatMoney(amount, currency) }));

/** Short, as it stands in rows: this year without its number; whole where it is pointed at. */
export function when(at: string | null | undefined, clock = true): Shown | null {
  if (!at) return null;
  const time = new Date(at);
  const thisYear = time.getFullYear() === new Date().getFullYear();
  const text = zoned(view.zone, {
    month: 'short',
    day: 'numeric',
    ...(thisYear ? {} : { year: 'numeric' }),
    ...(clock ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' as const } : {}),
  }).format(time);
  // Where it must stand on two lines, the clock is the second.
  return { text: text.replace(/(?<!,) /g, '\u00a0'), title: formatInstant(at, view.zone), whole: true };
}

export const code = (text: string | null | undefined): Shown | null =>
  text ? { text, mono: true, whole: text.length < 24 } : null;

/** A thing by its id: its name, and a link to its page; the id where it is pointed at, and for what has no name. */
export function named(id: string | null | undefined): Shown | null {
  if (!id) return null;
  const [text, place] = [nameOf(id), placeOf(id)];
  return { text, href: place && view.href(place), title: id, mono: text === id };
}

const tones: Record<string, Tone> = {
  approved: 'good',
  paid: 'good',
  processed: 'good',
  delivered: 'good',
  active: 'good',
  credited: 'good',
  reached: 'good',
  sale: 'good',
  renewal: 'good',
  pending: 'warn',
  processing: 'accent',
  held: 'warn',
  parked: 'warn',
  waiting: 'warn',
  past_due: 'warn',
  suspended: 'bad',
  rejected: 'bad',
  reversed: 'bad',
  failed: 'bad',
  abandoned: 'bad',
  conflict: 'bad',
  mode_mismatch: 'bad',
  lead: 'accent',
};

export const status = (name: string, sub?: string | null): Shown => ({
  text: name.replaceAll('_', ' '),
  badge: tones[name] ?? '',
  sub: sub ?? undefined,
});
