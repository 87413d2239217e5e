// How long to wait before the next attempt: doubling, bounded, and jittered so that a thousand dashboards
// that lost the same engine do not come back in the same instant.

export const FIRST_WAIT_MS = 500;
export const LONGEST_WAIT_MS = 15_000;

/** @param attempt counts from 0; @param random is uniform in [0, 1) */
export function backoff(attempt: number, random: number): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}
