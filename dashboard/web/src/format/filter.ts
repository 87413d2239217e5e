// A filter in words: what a rule is narrowed to, as people say it.

import { dimensionTitles } from './dimension';

const verbs: Record<string, string> = {
  is: 'is',
  is_not: 'is not',
  contains: 'contains',
  matches: 'matches',
  gt: 'is above',
  lt: 'is below',
};

/** "Country is Germany or Austria; Device is not Mobile"; null for what does not fit into such a line. */
export function filterWords(
  filter: unknown,
  name: (dimension: string, value: string) => string,
): string | null {
  if (!Array.isArray(filter)) return null;
  const [verb, of, values] = filter as [string, unknown, unknown];
  if (verb === 'and' && Array.isArray(of)) {
    const all = of.map((each) => filterWords(each, name));
    return all.includes(null) ? null : all.join('; ');
  }
  const said = verbs[verb];
  if (said === undefined || typeof of !== 'string') return null;
  const named = [values].flat().map((value) => name(of, String(value)));
  return `${dimensionTitles[of] ?? of.replace(/^property:/, '')} ${said} ${named.join(' or ')}`;
}
