import { expect, it } from 'vitest';
import { dimensionName } from './dimension';
import { filterWords } from './filter';

const words = (filter: unknown) => filterWords(filter, dimensionName);

it('says what a filter takes, and leaves what does not fit into a line', () => {
  expect(words(['is', 'country', ['DE', 'AT']])).toBe('Country is Germany or Austria');
  expect(
    words([
      'and',
      [
        ['is_not', 'device', ['mobile']],
        ['gt', 'property:price', 5],
      ],
    ]),
  ).toBe('Device is not Mobile; price is above 5');
  expect(words(['is', 'referrer', ['']])).toBe('Referrer is Direct or none');
  expect(words(['not', ['is', 'country', ['DE']]])).toBeNull();
  expect(words(['and', [['or', []]]])).toBeNull();
  expect(words(null)).toBeNull();
});
