import { describe, expect, it } from 'vitest';
import {
  asDateRange,
  boundsOf,
  buckets,
  comparedBounds,
  DAY,
  HOUR,
  intervalOf,
  isRange,
  rangeOf,
  rangeWords,
} from './range';
import { offsetAt, startOf } from './zone';

const BERLIN = 'Europe/Berlin';
const at = (text: string) => Date.parse(text);
const iso = (times: number[]) => times.map((time) => new Date(time).toISOString());

describe('a range', () => {
  const now = at('2026-11-21T10:20:30Z');

  it('starts and ends at midnight where the viewer is', () => {
    expect(asDateRange(boundsOf('today', BERLIN, now))).toEqual([
      '2026-11-20T23:00:00Z',
      '2026-11-21T23:00:00Z',
    ]);
    expect(asDateRange(boundsOf('7d', 'America/New_York', now))).toEqual([
      '2026-11-15T05:00:00Z',
      '2026-11-22T05:00:00Z',
    ]);
    expect(asDateRange(boundsOf('mtd', 'Asia/Kolkata', now))[0]).toBe('2026-10-31T18:30:00Z');
  });

  it('of whole days includes both ends, and nonsense is no range', () => {
    expect(asDateRange(boundsOf('2026-11-01..2026-11-02', 'UTC', now))).toEqual([
      '2026-11-01T00:00:00Z',
      '2026-11-03T00:00:00Z',
    ]);
    expect(isRange('2026-11-02..2026-11-01')).toBe(false);
    expect(isRange('8d')).toBe(false);
  });

  it('is compared with as much of the stretch before as has passed', () => {
    const before = (range: string) => comparedBounds(range, 'UTC', now, 'previous');
    expect(before('today')?.passed).toEqual({
      start: at('2026-11-20T00:00:00Z'),
      end: at('2026-11-20T10:20:30Z'),
    });
    const week = boundsOf('7d', 'UTC', now);
    expect(before('7d')?.whole).toEqual({ start: week.start - 7 * DAY, end: week.start });
    expect(before('7d')?.passed.end).toBe(now - 7 * DAY);
    expect(before('all')).toBeNull();
    expect(comparedBounds('7d', 'UTC', now, 'none')).toBeNull();
  });

  it('is compared with the same dates of the year before, in local time', () => {
    const year = (range: string) => comparedBounds(range, BERLIN, now, 'year');
    expect(asDateRange(year('mtd')!.whole)).toEqual(['2025-10-31T23:00:00Z', '2025-11-21T23:00:00Z']);
    expect(asDateRange(year('mtd')!.passed)).toEqual(['2025-10-31T23:00:00Z', '2025-11-21T10:20:30Z']);
    expect(asDateRange(year('2026-07-01..2026-07-02')!.whole)[0]).toBe('2025-06-30T22:00:00Z');
  });
});

describe('buckets', () => {
  it('of days follow the calendar through a change of the clocks', () => {
    // Berlin leaves summer time on 2026-10-25: that day has 25 hours.
    const bounds = {
      start: startOf({ year: 2026, month: 10, day: 24 }, BERLIN),
      end: at('2026-10-26T23:00:00Z'),
    };
    expect(iso(buckets(bounds, 'day', BERLIN))).toEqual([
      '2026-10-23T22:00:00.000Z',
      '2026-10-24T22:00:00.000Z',
      '2026-10-25T23:00:00.000Z',
    ]);
  });

  it('of weeks begin on Monday, of months on the first', () => {
    const bounds = { start: at('2026-11-04T00:00:00Z'), end: at('2026-11-21T00:00:00Z') };
    expect(iso(buckets(bounds, 'week', 'UTC')).map((text) => text.slice(0, 10))).toEqual([
      '2026-11-02',
      '2026-11-09',
      '2026-11-16',
    ]);
    expect(iso(buckets(bounds, 'month', 'UTC'))).toEqual(['2026-11-01T00:00:00.000Z']);
  });

  it('of hours stand on local hours, also half an hour beside UTC', () => {
    const bounds = { start: at('2026-11-20T18:30:00Z'), end: at('2026-11-20T20:30:00Z') };
    expect(iso(buckets(bounds, 'hour', 'Asia/Kolkata'))).toEqual([
      '2026-11-20T18:30:00.000Z',
      '2026-11-20T19:30:00.000Z',
    ]);
  });

  it('are as wide as the range allows', () => {
    const of = (length: number) => intervalOf({ start: 0, end: length });
    expect([HOUR, DAY, 7 * DAY, 366 * DAY, 900 * DAY].map(of)).toEqual([
      'minute',
      'hour',
      'day',
      'week',
      'month',
    ]);
  });
});

describe('a kept range', () => {
  it('is shown by its name, or as the days that it covers', () => {
    expect(rangeOf('30d', BERLIN)).toBe('30d');
    const days = asDateRange(boundsOf('2026-10-20..2026-11-02', BERLIN, at('2026-11-21T10:00:00Z')));
    expect(rangeOf(days, BERLIN)).toBe('2026-10-20..2026-11-02');
    for (const odd of ['a while', ['b', 'a'], [2], null]) expect(rangeOf(odd, BERLIN)).toBe('7d');
  });
});

describe('zones', () => {
  it('know their offset before and after a change of the clocks', () => {
    expect(offsetAt(at('2026-10-25T00:59:59Z'), BERLIN)).toBe(2 * HOUR);
    expect(offsetAt(at('2026-10-25T01:00:00Z'), BERLIN)).toBe(HOUR);
  });
});

it('a kept query’s range in words', () => {
  const week = ['2026-11-01T00:00:00Z', '2026-11-08T00:00:00Z'];
  expect(['7d', 'qtd', week, undefined].map((range) => rangeWords(range, 'UTC'))).toEqual([
    'Last 7 days',
    'Quarter to date',
    '2026-11-01 to 2026-11-07',
    '',
  ]);
});
