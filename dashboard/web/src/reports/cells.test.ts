import { describe, expect, it, vi } from 'vitest';
vi.mock('../state/names.svelte', () => ({ valueName: (_: string, cell: unknown) => String(cell) }));
import { cellText, columnTitle, csvOf, formatDuration } from './cells';

describe('cells', () => {
  const text = (name: string, type: never, cell: never) =>
    cellText({ name, type }, cell, 'EUR', 'Europe/Berlin');
  it.each([
    ['retention_rate', 'number', 1234, '12.34%'],
    ['p_value', 'number', 0.25, '0.25'],
    ['revenue', 'money', 1999, '€19.99'],
    ['month', 'time', '2026-10-31T23:00:00Z', 'Nov 2026'],
    ['median_ms', 'integer', 90_000, '1.5 min'],
    ['median_ms', 'integer', null, '–'],
    ['complete', 'bool', false, 'no'],
  ])('%s of type %s: %s is %s', (name, type, cell, shown) => {
    expect(text(name, type as never, cell as never)).toBe(shown);
  });

  it('are called what people call them', () => {
    expect(['mrr', 'new_mrr', 'utm_source', 'drop_off'].map(columnTitle)).toEqual([
      'MRR',
      'New',
      'UTM source',
      'Drop off',
    ]);
    expect([950, 4_200, 7_200_000, 200_000_000].map(formatDuration)).toEqual([
      '950 ms',
      '4.2 s',
      '2 h',
      '2.3 d',
    ]);
  });

  it('become numbers of another program', () => {
    const columns = [
      { name: 'link', type: 'string' as const },
      { name: 'revenue', type: 'money' as const },
    ];
    expect(
      csvOf(
        {
          columns,
          rows: [
            ['a', -5],
            [null, null],
          ],
        },
        'EUR',
      ),
    ).toEqual([
      ['link', 'revenue EUR'],
      ['a', '-0.05'],
      [null, null],
    ]);
  });
});
