import { expect, it } from 'vitest';
import { counted, formatRate } from './number';

it('one of a thing is not many', () => {
  expect([counted(1, 'click'), counted(0, 'click'), counted(2_000, 'person', 'people')]).toEqual([
    '1 click',
    '0 clicks',
    '2,000 people',
  ]);
});

it('percentages of a column have the same digits, and whole ones none', () => {
  expect([formatRate(87, 1_000), formatRate(1, 4), formatRate(1522, 10_000), formatRate(0, 0)]).toEqual([
    '8.70%',
    '25%',
    '15.22%',
    '–',
  ]);
});
