import { expect, test } from 'vitest';
import { imported, withTag } from './bulk';

test('a tag is added once', () => {
  expect(withTag(['a'], 'b')).toEqual(['a', 'b']);
  expect(withTag(['a', 'b'], 'b')).toEqual(['a', 'b']);
  expect(withTag(undefined, 'b')).toEqual(['b']);
});

test('each row that became no link says why', () => {
  const told = imported([
    { status: 201, line: 2 },
    {
      status: 422,
      line: 3,
      error: { detail: 'x', errors: [{ field: 'destination', detail: 'must not be empty' }] },
    },
    { status: 409, line: 5, error: { detail: 'the slug is taken' } },
  ]);
  expect(told).toEqual({
    made: 1,
    failures: ['Line 3: destination must not be empty', 'Line 5: the slug is taken'],
  });
});
