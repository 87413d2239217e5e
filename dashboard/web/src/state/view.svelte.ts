// What every page shows numbers of: range, timezone, currency and filters. The address bar is the only copy.

import type { Filter, FilterValue } from '../live/protocol';
import { boundsOf, comparedBounds, intervalOf, isComparison, isRange, MINUTE, rangeOf } from '../range/range';
import { zoneExists } from '../range/zone';
import { route } from './route.svelte';
import { session } from './session.svelte';

export const filterable = [
  'link',
  'partner',
  'program',
  'variant',
  'continent',
  'country',
  'region',
  'city',
  'device',
  'browser',
  'os',
  'referrer',
  'medium',
  'utm_source',
  'utm_medium',
  'utm_campaign',
];
const DEFAULT_RANGE = '7d';

class View {
  /** The minute we are in: ranges that end now move with it. */
  minute = $state(Math.floor(Date.now() / MINUTE) * MINUTE);
  readonly range = $derived.by(() => {
    const range = route.params.get('range') ?? DEFAULT_RANGE;
    return isRange(range) ? range : DEFAULT_RANGE;
  });
  readonly zone = $derived.by(() => {
    const zone = route.params.get('tz') ?? session.now?.workspace.timezone ?? 'UTC';
    return zoneExists(zone) ? zone : 'UTC';
  });
  /** Whether the API knows the range by its name, so that a kept question goes along with time. */
  readonly moves = $derived(/^(today|yesterday|24h|7d|30d|90d|12mo|mtd|ytd|all)$/.test(this.range));
  readonly compare = $derived.by(() => {
    const compare = route.params.get('compare') ?? 'previous';
    return isComparison(compare) ? compare : 'previous';
  });
  /** What the range is compared with; null where nothing is. */
  readonly before = $derived(comparedBounds(this.range, this.zone, this.minute, this.compare));
  readonly chosenCurrency = $derived(route.params.get('currency'));
  readonly bounds = $derived(boundsOf(this.range, this.zone, this.minute));
  readonly interval = $derived(intervalOf(this.bounds));
  readonly filters = $derived.by(() => {
    const chosen: [string, string[]][] = [];
    for (const dimension of filterable) {
      const values = route.params.getAll(dimension);
      if (values.length > 0) chosen.push([dimension, values]);
    }
    return chosen;
  });

  /** The query's filter: the chosen ones and, of `more`, what the caller adds. */
  where(...more: Filter[]): Filter | undefined {
    const all: Filter[] = this.filters.map(([dimension, values]) => [
      'is',
      dimension,
      values as FilterValue[],
    ]);
    all.push(...more);
    return all.length > 1 ? ['and', all] : all[0];
  }

  set(name: string, value: string | null): void {
    const params = new URLSearchParams(route.search);
    if (value === null) params.delete(name);
    else params.set(name, value);
    this.show(params);
  }

  toggle(dimension: string, value: string): void {
    const params = new URLSearchParams(route.search);
    const values = params.getAll(dimension);
    params.delete(dimension);
    const rest = values.filter((held) => held !== value);
    if (rest.length === values.length) rest.push(value);
    for (const held of rest) params.append(dimension, held);
    this.show(params);
  }

  clear(): void {
    const params = new URLSearchParams(route.search);
    for (const dimension of filterable) params.delete(dimension);
    this.show(params);
  }

  /** Another page with the same range, comparison, zone and currency, and where it shows them, filters. */
  href(path: string, filtered = false): string {
    const kept = new URLSearchParams();
    for (const name of ['range', 'compare', 'tz', 'currency', ...(filtered ? filterable : [])]) {
      for (const value of route.params.getAll(name)) kept.append(name, value);
    }
    const query = kept.toString();
    return query === '' ? path : `${path}?${query}`;
  }

  private show(params: URLSearchParams): void {
    const query = params.toString();
    route.go(query === '' ? route.path : `${route.path}?${query}`);
  }
}

export const view = new View();

/** The overview's address for a kept question: its range, timezone and filters, as far as an address can say them. */
export function viewOf(query: { date_range?: unknown; timezone?: unknown; filters?: unknown }): string {
  const zone = typeof query.timezone === 'string' && zoneExists(query.timezone) ? query.timezone : view.zone;
  const params = new URLSearchParams({ range: rangeOf(query.date_range, zone), tz: zone });
  const walk = (filter: unknown): void => {
    if (!Array.isArray(filter)) return;
    const [verb, name, values] = filter as [unknown, unknown, unknown];
    if (verb === 'and' && Array.isArray(name)) name.forEach(walk);
    else if (verb === 'is' && filterable.includes(String(name)) && Array.isArray(values)) {
      for (const value of values) params.append(String(name), String(value));
    }
  };
  walk(query.filters);
  return `/?${params}`;
}

setInterval(() => {
  const minute = Math.floor(Date.now() / MINUTE) * MINUTE;
  if (minute !== view.minute) view.minute = minute;
}, 1000);
