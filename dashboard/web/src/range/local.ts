// What a datetime-local input holds: a wall clock in a zone, to the minute.

import { offsetAt } from './zone';

/** "2026-11-01T09:30" for an instant; empty where there is none. */
export function toLocal(instant: string | null | undefined, zone: string): string {
  const at = Date.parse(instant ?? '');
  if (Number.isNaN(at)) return '';
  return new Date(at + offsetAt(at, zone)).toISOString().slice(0, 16);
}

/** The instant of a wall clock (the later side of a gap); null where it is none. */
export function fromLocal(local: string, zone: string): string | null {
  const clock = Date.parse(`${local}Z`);
  if (local === '' || Number.isNaN(clock)) return null;
  const guess = clock - offsetAt(clock, zone);
  return new Date(clock - offsetAt(guess, zone)).toISOString().replace('.000Z', 'Z');
}
