import { expect, it } from 'vitest';
import { counted } from './number';

it('one of a thing is not many', () => {
  expect([counted(1, 'click'), counted(0, 'click'), counted(2_000, 'person', 'people')]).toEqual([
    '1 click',
    '0 clicks',
    '2,000 people',
  ]);
});
