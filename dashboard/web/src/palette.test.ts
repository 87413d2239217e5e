import { expect, it } from 'vitest';
import { find, type Command } from './palette';

const command = (title: string, words = '', kind = 'Page'): Command => ({
  title,
  words,
  kind,
  run: () => {},
});
const all = [
  command('Payouts', 'money batch'),
  command('Links', 'short url'),
  command('New link'),
  command('Theme: dark'),
];
const titles = (text: string) => find(all, text).map(({ title }) => title);

it('finds by the beginnings of words, names before other words', () => {
  expect(titles('')).toHaveLength(4);
  expect(titles('link')).toEqual(['Links', 'New link']);
  expect(titles('da th')).toEqual(['Theme: dark']);
  expect(titles('mon')).toEqual(['Payouts']);
  expect(titles('ink')).toEqual([]);
  expect(titles('page url')).toEqual(['Links']);
});
