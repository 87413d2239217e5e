import { describe, expect, it } from 'vitest';
import { apart } from './story';

describe('the story of a conversion', () => {
  it('says how far a click is from it, in the largest unit that is full', () => {
    const sale = '2026-11-21T12:00:00Z';
    expect(apart('2026-11-18T11:59:00Z', sale, 'sale')).toBe('3 days before the sale');
    expect(apart('2026-11-21T10:59:00Z', sale, 'sale')).toBe('1 hour before the sale');
    expect(apart('2026-11-21T11:59:59.900Z', sale, 'lead')).toBe('right before the lead');
    expect(apart('2026-11-21T12:02:05Z', sale, 'sale')).toBe('2 minutes after the sale');
  });
});
