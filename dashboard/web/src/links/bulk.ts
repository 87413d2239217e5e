// Changes of many links at once, and what came of the rows of a table.

import type { BulkResult } from '../api/types';

/** A link's tags with one more; none twice. */
export const withTag = (tags: string[] | undefined, tag: string): string[] => [
  ...new Set([...(tags ?? []), tag]),
];

/** How many rows became links, and for each other its line and what is wrong with it. */
export function imported(results: BulkResult[]): { made: number; failures: string[] } {
  const failures = results.flatMap(({ line, error }) => {
    if (!error) return [];
    const faults = (error.errors ?? []).map(({ field, detail }) => `${field} ${detail}`);
    return [`Line ${line}: ${faults.length > 0 ? faults.join('; ') : (error.detail ?? error.title)}`];
  });
  return { made: results.length - failures.length, failures };
}
