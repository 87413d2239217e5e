import { describe, expect, it } from 'vitest';
import { fromLocal, toLocal } from './local';

describe('local times', () => {
  it.each([
    ['2026-07-01T08:00:00Z', 'Europe/Berlin', '2026-07-01T10:00'],
    ['2026-12-01T08:00:00Z', 'America/New_York', '2026-12-01T03:00'],
    ['2026-12-01T20:00:00Z', 'Asia/Kathmandu', '2026-12-02T01:45'],
    ['2026-03-29T01:00:00Z', 'Europe/Berlin', '2026-03-29T03:00'],
  ])('%s in %s is %s, and back', (instant, zone, local) => {
    expect(toLocal(instant, zone)).toBe(local);
    expect(fromLocal(local, zone)).toBe(instant);
  });

  it('are empty where there is none', () => {
    expect([toLocal(null, 'UTC'), toLocal('soon', 'UTC')]).toEqual(['', '']);
    expect([fromLocal('', 'UTC'), fromLocal('2026-13-01T00:00', 'UTC')]).toEqual([null, null]);
  });
});
