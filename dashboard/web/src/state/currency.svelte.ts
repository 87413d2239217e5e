// Which currency a page's money is in. Sums over several currencies mean nothing, so one is always chosen:
// the address bar's, else the workspace's, else the one that there is.

import { live } from '../live/page.svelte';
import { asDateRange } from '../range/range';
import { session } from './session.svelte';
import { view } from './view.svelte';

export interface CurrencyChoice {
  readonly chosen: string;
  readonly available: string[];
}

export function currencyChoice(): CurrencyChoice {
  const found = live(() => ({
    metrics: ['revenue'],
    dimensions: ['currency'],
    date_range: asDateRange(view.bounds),
    timezone: view.zone,
    limit: 200,
  }));
  const home = $derived(session.now?.workspace.currency ?? 'USD');
  const earned = $derived(
    (found.rows ?? [])
      .filter(([code]) => typeof code === 'string' && code !== '')
      .sort((a, b) => Number(b[1]) - Number(a[1]))
      .map(([code]) => String(code)),
  );
  const chosen = $derived(
    view.chosenCurrency ?? (earned.length === 0 || earned.includes(home) ? home : (earned[0] ?? home)),
  );
  const available = $derived([...new Set([chosen, ...earned])].sort());
  return {
    get chosen() {
      return chosen;
    },
    get available() {
      return available;
    },
  };
}
