import { expect, it } from 'vitest';
import { bounds, classOf } from './classes';

it('parts values into fifths, and equal values into one class', () => {
  const ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  expect(bounds(ten)).toEqual([2, 4, 6, 8]);
  expect(ten.map((value) => classOf(value, bounds(ten)))).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
  expect(bounds([7, 7, 7])).toEqual([]);
  expect([0, 7].map((value) => classOf(value, []))).toEqual([0, 1]);
  expect(bounds([])).toEqual([]);
});
